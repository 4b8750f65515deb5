"""Decide's messages become core values within the limits, or an error that names field and limit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.api import convert
from offer_optimizer.api.refusals import RequestTooLarge, UnreadableRequest
from offer_optimizer.core import limits
from offer_optimizer.core.decision import Consent, Reason
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.decide.requests import Outcome
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import ANSWER, DECISION_TEXT


def ask(**fields: object) -> pb.DecideRequest:
    return pb.DecideRequest(placement="home", **fields)  # type: ignore[arg-type]


def context(**maps: object) -> pb.DecideRequest:
    return ask(context=pb.Features(**maps))  # type: ignore[arg-type]


def refused(request: pb.DecideRequest) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        convert.decide_input(request)
    return caught.value


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_unreadable(data: bytes) -> None:
    try:
        request = convert.parse(pb.DecideRequest, data, limits.MESSAGE_BYTES)
        convert.decide_input(request)
    except InvalidInput:
        pass


def test_bytes_that_are_no_message_are_unreadable() -> None:
    with pytest.raises(UnreadableRequest, match=r"offer_optimizer\.v1\.DecideRequest"):
        convert.parse(pb.DecideRequest, b"\xff\xff\xff", limits.MESSAGE_BYTES)


def test_text_that_is_not_utf8_is_unreadable() -> None:
    with pytest.raises(UnreadableRequest):
        convert.parse(pb.DecideRequest, b"\x0a\x02\xff\xfe", limits.MESSAGE_BYTES)


def test_a_message_may_have_the_limit_in_bytes_and_not_one_more() -> None:
    data = pb.DecideRequest(placement="x" * 1000).SerializeToString()
    convert.parse(pb.DecideRequest, data, len(data))
    with pytest.raises(RequestTooLarge, match=f"{len(data)} bytes, at most {len(data) - 1}"):
        convert.parse(pb.DecideRequest, data, len(data) - 1)


def test_a_question_keeps_all_that_was_said() -> None:
    request = ask(
        visitor=pb.Visitor(visitor_id="v", consent=pb.CONSENT_SERVE_ONLY),
        context=pb.Features(
            categories={"device": "phone"},
            numbers={"cart": 41.5},
            tags={"seen": pb.Tags(values=["b", "a", "b"])},
        ),
        deferred=True,
    )
    asked = convert.decide_input(request)
    assert (asked.placement_id, asked.visitor_id, asked.consent, asked.deferred) == (
        "home",
        "v",
        Consent.SERVE_ONLY,
        True,
    )
    assert asked.context.categories == (("device", "phone"),)
    assert asked.context.numbers == (("cart", 41.5),)
    assert asked.context.tags == (("seen", ("a", "b")),)


def test_a_question_without_visitor_and_context_is_anonymous() -> None:
    asked = convert.decide_input(ask())
    assert (asked.visitor_id, asked.consent, asked.context.count()) == ("", Consent.UNSPECIFIED, 0)


@pytest.mark.parametrize("name", ["a\nb", "a|b", "a:b", "a b", "\x00", "🛒", "123", "%0a"])
def test_names_and_values_may_hold_any_character(name: str) -> None:
    asked = convert.decide_input(
        context(categories={name: name}, numbers={name + "n": 1.0}, tags={name + "t": pb.Tags(values=[name])})
    )
    assert asked.context.categories == ((name, name),)
    assert asked.context.count() == 3


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1.0000001e9, -1.0000001e9])
def test_numbers_out_of_bounds_are_refused_by_path(number: float) -> None:
    error = refused(context(numbers={"cart": number}))
    assert error.field == "context.numbers['cart']"


def test_numbers_at_the_bound_are_taken() -> None:
    assert convert.decide_input(context(numbers={"a": 1e9, "b": -1e9})).context.count() == 2


def test_a_tag_set_without_values_is_left_out() -> None:
    assert convert.decide_input(context(tags={"seen": pb.Tags()})).context.tags == ()


@pytest.mark.parametrize("length", [127, 128])
def test_every_text_may_be_128_bytes(length: int) -> None:
    text = "é" * (length // 2) + "x" * (length % 2)
    request = pb.DecideRequest(
        placement=text,
        visitor=pb.Visitor(visitor_id=text),
        context=pb.Features(categories={text: text}, tags={"t": pb.Tags(values=[text])}),
    )
    assert convert.decide_input(request).visitor_id == text


LONG = "é" * 64 + "x"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.DecideRequest(placement=LONG), "placement"),
        (ask(visitor=pb.Visitor(visitor_id=LONG)), "visitor.visitor_id"),
        (context(categories={LONG: "v"}), "context.categories"),
        (context(categories={"name": LONG}), "context.categories['name']"),
        (context(numbers={LONG: 1.0}), "context.numbers"),
        (context(tags={LONG: pb.Tags(values=["v"])}), "context.tags"),
        (context(tags={"name": pb.Tags(values=[LONG])}), "context.tags['name']"),
    ],
)
def test_every_text_over_128_bytes_is_refused_by_path_and_limit(
    request_: pb.DecideRequest, field: str
) -> None:
    error = refused(request_)
    assert error.field == field
    assert "129 bytes, at most 128" in error.problem


@pytest.mark.parametrize("count", [200, 201, 10_000])
@pytest.mark.parametrize("shape", ["categories", "numbers", "tags", "one tag set"])
def test_a_context_may_have_200_features_and_not_one_more(count: int, shape: str) -> None:
    names = [f"f{index}" for index in range(count)]
    request = {
        "categories": lambda: context(categories=dict.fromkeys(names, "v")),
        "numbers": lambda: context(numbers=dict.fromkeys(names, 1.0)),
        "tags": lambda: context(tags={name: pb.Tags(values=["v"]) for name in names}),
        "one tag set": lambda: context(tags={"t": pb.Tags(values=names)}),
    }[shape]()
    if count <= limits.CONTEXT_FEATURES:
        assert convert.decide_input(request).context.count() == count
    else:
        error = refused(request)
        assert (error.field, error.problem) == ("context", f"{count} features, at most 200")


def test_a_name_used_in_two_maps_is_refused() -> None:
    assert "more than one map" in refused(context(categories={"a": "x"}, numbers={"a": 1.0})).problem


def test_a_missing_placement_is_refused() -> None:
    assert refused(pb.DecideRequest()).field == "placement"


def test_an_unknown_consent_is_refused() -> None:
    unknown = pb.DecideRequest.FromString(ask().SerializeToString() + b"\x12\x02\x10\x63")
    assert unknown.visitor.consent == 99
    assert refused(unknown).field == "visitor.consent"


def test_errors_about_a_visitor_id_do_not_quote_it() -> None:
    assert "secret" not in str(refused(ask(visitor=pb.Visitor(visitor_id="secret" * 30))))


def inline(offer_id: str = "x", **maps: object) -> pb.Candidate:
    return pb.Candidate(offer_id=offer_id, attributes=pb.Features(**maps))  # type: ignore[arg-type]


def test_a_question_keeps_inline_candidates_in_order_with_their_attributes() -> None:
    asked = convert.decide_input(ask(candidates=[inline("b", numbers={"cost": 2.0}), inline("a")]))
    assert [(one.offer_id, one.attributes.numbers) for one in asked.candidates] == [
        ("b", (("cost", 2.0),)),
        ("a", ()),
    ]


def test_an_empty_list_of_candidates_is_the_same_as_none() -> None:
    assert convert.decide_input(ask(candidates=[])) == convert.decide_input(ask())


def test_a_question_keeps_exclusions_and_request_id() -> None:
    asked = convert.decide_input(ask(exclude_offer_ids=["nobody knows it", "b", "b"], request_id="r 1"))
    assert (asked.exclude_offer_ids, asked.request_id) == (("nobody knows it", "b", "b"), "r 1")


@pytest.mark.parametrize(
    ("request_", "field", "problem"),
    [
        (ask(candidates=[inline("")]), "candidates[0].offer_id", "empty"),
        (ask(candidates=[inline("a"), inline("b c")]), "candidates[1].offer_id", "may hold letters"),
        (ask(candidates=[inline("a\n")]), "candidates[0].offer_id", "may hold letters"),
        (ask(candidates=[inline("a"), inline("a")]), "candidates[1].offer_id", "each id once"),
        (ask(candidates=[inline("x" * 129)]), "candidates[0].offer_id", "129 bytes, at most 128"),
        (
            ask(candidates=[inline("a", numbers={"cost": math.inf})]),
            "candidates[0].attributes.numbers['cost']",
            "not finite",
        ),
        (ask(exclude_offer_ids=["a", ""]), "exclude_offer_ids[1]", "empty"),
        (ask(exclude_offer_ids=["x" * 129]), "exclude_offer_ids[0]", "129 bytes, at most 128"),
        (ask(request_id="x" * 129), "request_id", "129 bytes, at most 128"),
    ],
)
def test_what_is_wrong_with_candidates_exclusions_and_request_id_is_named(
    request_: pb.DecideRequest, field: str, problem: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert.decide_input(request_, "requests[3].")
    assert caught.value.field == f"requests[3].{field}"
    assert problem in caught.value.problem


@pytest.mark.parametrize("count", [200, 201])
def test_a_question_may_have_200_candidates_and_not_one_more(count: int) -> None:
    request = ask(candidates=[inline(f"o{index}") for index in range(count)])
    if count <= limits.CANDIDATES:
        assert len(convert.decide_input(request).candidates) == count
    else:
        assert (refused(request).field, refused(request).problem) == ("candidates", "201 offers, at most 200")


@pytest.mark.parametrize("count", [50, 51])
def test_an_inline_candidate_may_have_50_attributes_and_not_one_more(count: int) -> None:
    request = ask(candidates=[inline(numbers={f"f{index}": 1.0 for index in range(count)})])
    if count <= limits.OFFER_FEATURES:
        assert convert.decide_input(request).candidates[0].attributes.count() == count
    else:
        assert refused(request).problem == "51 features, at most 50"


@pytest.mark.parametrize("count", [200, 201])
def test_a_question_may_leave_out_200_offers_and_not_one_more(count: int) -> None:
    request = ask(exclude_offer_ids=[f"o{index}" for index in range(count)])
    if count <= limits.EXCLUDED_OFFERS:
        assert len(convert.decide_input(request).exclude_offer_ids) == count
    else:
        assert refused(request).problem == "201 ids, at most 200"


def test_a_request_id_that_is_too_long_is_not_quoted() -> None:
    assert "secret" not in str(refused(ask(request_id="secret" * 30)))


def test_an_item_of_a_batch_may_not_be_larger_than_a_question_asked_alone() -> None:
    big = pb.DecideRequest(
        placement="home", context=pb.Features(categories={"a": "x" * limits.MESSAGE_BYTES})
    )
    with pytest.raises(RequestTooLarge, match=r"^requests\[5\]: \d+ bytes, at most 262144$"):
        convert.check_item_size(big, 5)


def test_a_reply_has_the_outcome() -> None:
    reply = convert.decide_response(ANSWER)
    assert (reply.decision_id, reply.model_version) == (DECISION_TEXT, f"{'00' * 16}:7")
    assert reply.reason == pb.DECISION_REASON_MODEL
    assert [(slot.offer_id, slot.propensity, slot.payload) for slot in reply.slots] == [
        ("coupon", 0.25, "10 % off")
    ]


def test_a_reply_that_was_not_recorded_has_no_decision_id() -> None:
    reply = convert.decide_response(Outcome(None, (), Reason.UNRECORDED, None))
    assert (reply.decision_id, reply.model_version, len(reply.slots)) == ("", "", 0)


def test_reasons_and_consents_have_the_same_names_and_numbers_in_the_api_as_in_the_core() -> None:
    api_reasons = {
        name.removeprefix("DECISION_REASON_"): number for name, number in pb.DecisionReason.items()
    }
    assert api_reasons == {"UNSPECIFIED": 0} | {reason.name: reason.value for reason in Reason}
    api_consents = {name.removeprefix("CONSENT_"): number for name, number in pb.Consent.items()}
    assert api_consents == {consent.name: consent.value for consent in Consent}
