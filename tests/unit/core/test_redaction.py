"""What redaction leaves: others' figures, and nobody's trace."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.store.decision_codec import encode_decision
from tests.unit.store.test_codec import decisions

keys = st.integers(0, 2**63 - 1)
shares = st.lists(st.floats(0, 1), max_size=4).map(lambda found: tuple(sorted({0.0, *found})))
secrets = st.binary(min_size=32, max_size=32)


@given(decisions(), secrets, shares)
def test_what_estimates_rewards_and_caps_need_stays(
    decision: Decision, secret: bytes, known: tuple[float, ...]
) -> None:
    found = Redaction(secret, frozenset(), known).decision(decision)
    assert found.erased
    assert found.context.count() == 0
    assert (found.request_digest, found.body_digest) == (b"", b"")
    assert all(not offer.attributes.categories + offer.attributes.tags for offer in found.inline)
    numbers = [offer.attributes.numbers for offer in found.inline]
    assert numbers == [offer.attributes.numbers for offer in decision.inline]
    expected = replace(
        decision,
        context=found.context,
        request_digest=b"",
        body_digest=b"",
        holdout_u=found.holdout_u,
        inline=found.inline,
        erased=True,
    )
    assert encode_decision(expected) == encode_decision(found)


@given(st.floats(0, 1, exclude_max=True), shares, decisions())
def test_the_holdout_number_compares_with_every_share_as_it_did_and_tells_no_more(
    u: float, known: tuple[float, ...], decision: Decision
) -> None:
    kept = Redaction(bytes(32), frozenset(), known).decision(replace(decision, holdout_u=u)).holdout_u
    assert kept is not None
    assert kept in known
    assert all((u < share) == (kept < share) for share in known)


@given(st.sets(keys, min_size=1, max_size=20), keys, secrets)
def test_keys_are_replaced_one_for_one_and_others_stay(theirs: set[int], other: int, secret: bytes) -> None:
    redaction = Redaction(secret, frozenset(theirs))
    new = redaction.new_keys()
    assert new.keys() == theirs
    assert len(set(new.values())) == len(theirs)
    assert all(0 <= key < 2**63 for key in new.values())
    if other not in theirs:
        assert redaction.key(other) == other


@given(st.sets(st.text(max_size=20), min_size=1), secrets)
def test_ids_of_feedback_that_differed_differ_and_tell_nothing(ids: set[str], secret: bytes) -> None:
    redaction = Redaction(secret, frozenset())
    new = {redaction.feedback_id(name) for name in ids}
    assert len(new) == len(ids)
    assert all(name == "" or name.startswith("erased-") for name in new)
    other = Redaction(bytes(byte ^ 1 for byte in secret), frozenset())
    assert not {other.feedback_id(name) for name in ids if name} & new


def test_an_item_keeps_what_it_said_and_what_it_took_back() -> None:
    redaction = Redaction(bytes(32), frozenset())
    first = Feedback("order-7", b"d" * 16, "", 0, "click", 2.5, 10, 5, source="crm")
    taken_back = replace(first, feedback_id="refund-7", retracts_feedback_id="order-7")
    one, two = redaction.feedback(first), redaction.feedback(taken_back)
    assert two.retracts_feedback_id == one.feedback_id
    assert replace(one, feedback_id="order-7") == first
