"""A reply that is joined from remembered parts is the reply that the generated class writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.api.convert import decide_response
from offer_optimizer.api.reply import decide_reply
from offer_optimizer.core.decision import ModelVersion, Reason
from offer_optimizer.decide.requests import Outcome, ShownSlot
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.api.fakes import ANSWER

# Few texts, so that parts come again; the longest needs two bytes for its length.
texts = st.sampled_from(["", "a", "ü" * 40, "x" * 3000]) | st.text(max_size=9)
slots = st.builds(ShownSlot, texts, st.floats(0.0, 1.0), texts)
versions = st.builds(ModelVersion, st.binary(max_size=16), st.integers(0, 2**62))
outcomes = st.builds(
    Outcome,
    st.none() | st.binary(min_size=16, max_size=16),
    st.lists(slots, max_size=3).map(tuple),
    st.sampled_from(Reason),
    st.none() | versions,
)


@given(outcomes)
def test_a_joined_reply_has_the_bytes_of_the_generated_class(outcome: Outcome) -> None:
    assert decide_reply(outcome) == decide_response(outcome).SerializeToString(deterministic=True)


def test_a_reply_differs_where_a_remembered_part_stays_and_the_rest_changes() -> None:
    first = pb.DecideResponse.FromString(decide_reply(ANSWER))
    other = Outcome(bytes(16), (ShownSlot("coupon", 0.75, "10 % off"),), Reason.HOLDOUT, None)
    second = pb.DecideResponse.FromString(decide_reply(other))
    assert (first.slots[0].propensity, second.slots[0].propensity) == (0.25, 0.75)
    assert first.slots[0].payload == second.slots[0].payload == "10 % off"
    assert (second.reason, second.model_version) == (pb.DECISION_REASON_HOLDOUT, "")
