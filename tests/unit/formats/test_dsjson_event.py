"""One line of dsjson: what becomes a row, what is left out, and what is refused with a reason."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offer_optimizer.core.features import Features
from offer_optimizer.formats.dsjson_event import DsjsonEvent, LeftOut, read_event
from offer_optimizer.formats.lines import LineProblem
from tests.conftest import Size

SOUND: Final[dict[str, Any]] = {
    "_label_cost": -1.5,
    "_label_probability": 0.75,
    "_label_Action": 2,
    "_labelIndex": 1,
    "Timestamp": "2021-02-04T16:31:29.2460000Z",
    "EventId": "e1",
    "a": [2, 1],
    "c": {"user": [{"id": "v7", "age": 31}], "_multi": [{"_tag": "mug"}, {"i": {"id": "pen", "price": 2}}]},
    "p": [0.75, 0.25],
}


def line(**changes: Any) -> bytes:  # noqa: ANN401  (any JSON)
    """Return the sound line with some keys changed; None takes a key away."""
    event = {key: value for key, value in (SOUND | changes).items() if value is not None}
    return json.dumps(event).encode()


def read(data: bytes) -> DsjsonEvent:
    found = read_event(data, "", ())
    assert isinstance(found, DsjsonEvent)
    return found


def test_an_event_says_what_was_chosen_at_which_probability_and_cost() -> None:
    event = read_event(line(), "user.id", ())
    assert event == DsjsonEvent(
        event_id="e1",
        time_us=1_612_456_289_246_000,
        cost=-1.5,
        probability=0.75,
        chosen=1,
        offers=("mug", "pen"),
        attributes=(Features(), Features((("i.id", "pen"),), (("i.price", 2.0),))),
        context=Features(numbers=(("user.age", 31.0),)),
        pmf=(0.25, 0.75),
        weight=1.0,
        visitor_id="v7",
    )


def test_offers_without_a_name_are_called_by_their_position() -> None:
    assert read(line(c={"_multi": [{}, {"x": 1}]})).offers == ("1", "2")


def test_what_was_dropped_is_made_up_for_by_weight() -> None:
    assert read(line(pdrop=0.75)).weight == 4.0


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"_skipLearn": True}, LeftOut.SKIP_LEARN),
        ({"DeferredAction": True}, LeftOut.NOT_ACTIVATED),
        ({"DeferredAction": True, "o": [{"ActionTaken": False}]}, LeftOut.NOT_ACTIVATED),
        ({"_label_cost": None}, LeftOut.UNLABELLED),
        ({"_outcomes": []}, LeftOut.SLOTS),
        ({"c": {"_multi": [{}], "_slots": [{}]}}, LeftOut.SLOTS),
    ],
    ids=["skip-learn", "deferred", "not-taken", "no-label", "outcomes", "slots"],
)
def test_what_no_estimate_could_use_is_left_out_by_its_kind(changes: dict[str, Any], kind: LeftOut) -> None:
    assert read_event(line(**changes), "", ()) is kind


def test_lines_that_are_no_decisions_are_told_apart_from_bad_ones() -> None:
    assert read_event(b'{"RewardValue": 1.0, "EventId": "e1"}', "", ()) is LeftOut.OBSERVATION


def test_a_deferred_event_that_was_activated_is_a_row() -> None:
    assert read(line(DeferredAction=True, o=[{"v": 1.0}, {"ActionTaken": True}])).event_id == "e1"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"_labelIndex": 2}, "_labelIndex: 2 is not one of 2 offers"),
        ({"_labelIndex": -1}, "_labelIndex: -1"),
        ({"_labelIndex": True}, "_labelIndex: True"),
        ({"_label_probability": 0.0}, "_label_probability: 0 is outside"),
        ({"_label_probability": 1.01}, "_label_probability: 1.01 is outside"),
        ({"_label_probability": "1"}, "_label_probability: is not a number"),
        ({"_label_cost": 10**400}, "_label_cost: is not a number up to 1e"),
        ({"pdrop": 1.0}, r"pdrop: 1 is outside \[0, 1\)"),
        ({"c": {"_multi": []}}, "c._multi: there are no offers"),
        ({"c": {"_multi": [{}] * 201}}, "c._multi: 201 offers, at most 200"),
        ({"c": {"_multi": [{"_tag": "a"}, {"_tag": "a"}]}}, "c._multi: 'a' is there twice"),
        ({"c": {"_multi": [{}, 7]}}, r"c._multi\[1\]: is not an object"),
        ({"c": {"x": 1e10, "_multi": [{}, {}]}}, "c: 'x': 1e"),
        ({"c": {"x": 10**400, "_multi": [{}, {}]}}, "c: 'x': inf is over 1e"),
        ({"c": None}, "c: there is no context"),
        ({"Timestamp": "yesterday"}, "Timestamp: 'yesterday' is not a time"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_line_says_where_and_what_and_the_limit(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(LineProblem, match=problem):
        read_event(line(**changes), "", ())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[1]", "is not a JSON object"),
        (b'{"c": ', "column 7: Expecting value"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"c": {"x": 1, "x": 2}}', "'x' is twice in one object"),
        (b'{"c": "\xff"}', "utf-8"),
        (b'{"c": "\\ud800"}', "surrogates"),
        (b"[" * 100_000, "is too deep"),
        (b'{"c":' * 5000 + b"1" + b"}" * 5000, "is too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300 digits"),
    ],
    ids=["list", "cut", "nan", "twice", "bytes", "surrogate", "brackets", "nested", "digits"],
)
def test_what_is_no_json_is_a_bad_line(data: bytes, problem: str) -> None:
    with pytest.raises(LineProblem, match=problem):
        read_event(data, "", ())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["_tag", "i", "id", "x", "_text", "a.b", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*SOUND, "o", "pdrop", "_skipLearn", "DeferredAction"]), json_values))
@example({"a": [None], "p": [True, 0.25]})
def test_whatever_the_values_a_line_is_a_row_left_out_or_refused(changes: dict[str, Any]) -> None:
    try:
        found = read_event(json.dumps(SOUND | changes).encode(), "user.id", ())
    except LineProblem:
        return
    if isinstance(found, DsjsonEvent):
        assert 0.0 < found.probability <= 1.0
        assert 0 <= found.chosen < len(found.offers) == len(found.attributes)


def test_mangled_lines_are_rows_left_out_or_refused(size: Size) -> None:
    random_source = random.Random(5)
    sound = line(pdrop=0.5, o=[{"ActionTaken": True}], DeferredAction=True)
    refused = 0
    for _ in range(size.pick(test=20_000, ci=50_000, proof=1_000_000)):
        data = bytearray(sound)
        for _ in range(random_source.randint(1, 4)):
            at = random_source.randrange(len(data))
            match random_source.randrange(3):
                case 0:
                    data[at] = random_source.randrange(256)
                case 1:
                    del data[at : at + random_source.randint(1, 8)]
                case _:
                    data[at:at] = random_source.choice(
                        [b'"', b"{", b"[", b"}", b"]", b"1e999", b"-", b"null"]
                    )
        try:
            read_event(bytes(data), "user.id", ("user.age",))
        except LineProblem:
            refused += 1
    assert refused > 10_000
