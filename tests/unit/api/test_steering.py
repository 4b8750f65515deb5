"""The calls that steer learning: what reaches the desk, and what is refused before it."""

from __future__ import annotations

import pytest

from offer_optimizer.api.admission import Share
from offer_optimizer.api.steering import KeptModelsServicer, SteeringServicer
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.learn.ports import Asker
from offer_optimizer.v1 import catalog_service_pb2 as pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from tests.unit.api.fakes import DECIDED_US, FakeContext, FakeLearning

PEER = "ipv4:127.0.0.1:40404"


@pytest.fixture
def desk() -> FakeLearning:
    return FakeLearning()


@pytest.fixture
def steering(desk: FakeLearning) -> SteeringServicer:
    return SteeringServicer(desk, Share("operator", 1))


def quarantine(**changes: object) -> bytes:
    request = pb.QuarantineRequest(placement="home", source="crm", reason="bots", actor="alice")
    request.start_time.seconds, request.end_time.seconds = 10, 20
    for name, value in changes.items():
        if value is None:
            request.ClearField(name)
        else:
            setattr(request, name, value)
    return request.SerializeToString()


def test_every_verb_reaches_the_desk_with_who_asks_from_where_and_why(
    steering: SteeringServicer, desk: FakeLearning
) -> None:
    freeze = pb.SetLearningRequest(placement="home", frozen=True, reason="r", actor="alice")
    back = pb.RollBackModelRequest(placement="home", model_version="e:1")
    steering.set_learning(freeze.SerializeToString(), FakeContext())
    steering.roll_back_model(back.SerializeToString(), FakeContext())
    reply = pb.QuarantineResponse.FromString(steering.quarantine(quarantine(), FakeContext()))
    assert reply.note == "some stays learned"
    assert desk.asked == [
        ("home", True, Asker(f"alice at {PEER}", "r")),
        ("home", "e:1", Asker(f"somebody at {PEER}", "")),
        ("home", 10_000_000, 20_000_000, "", "crm", Asker(f"alice at {PEER}", "bots")),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("start_time", None),
        ("end_time", None),
        ("reason", "x" * 1001),
        ("reason", "two\nlines"),
        ("actor", "é" * 101),
        ("actor", "\x1b[2J"),
        ("source", "x" * 129),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_name_and_asks_nothing(
    steering: SteeringServicer, desk: FakeLearning, field: str, value: object
) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: "):
        steering.quarantine(quarantine(**{field: value}), FakeContext())
    assert desk.asked == []


def test_reasons_and_actors_may_be_as_long_as_the_limits_say(
    steering: SteeringServicer, desk: FakeLearning
) -> None:
    steering.quarantine(quarantine(reason="x" * 1000, actor="é" * 100), FakeContext())
    assert len(desk.asked) == 1


def test_kept_models_are_listed_with_when_they_were_published(desk: FakeLearning) -> None:
    listing = KeptModelsServicer(desk, Share("operator", 1))
    request = insight_pb.ListModelsRequest(placement="home", policy_epoch="ab" * 16)
    reply = insight_pb.ListModelsResponse.FromString(
        listing.list_models(request.SerializeToString(), FakeContext())
    )
    newest, initial = reply.models
    assert desk.asked == [("home", b"\xab" * 16)]
    assert (newest.model_version, newest.learned_count) == (f"{'ab' * 16}:7", 41)
    assert newest.publish_time.ToMicroseconds() == DECIDED_US
    assert (newest.is_current, newest.is_promoted) == (True, True)
    assert (initial.model_version, initial.HasField("publish_time")) == (f"{'ab' * 16}:0", False)
    bad = insight_pb.ListModelsRequest(placement="home", policy_epoch="ab")
    with pytest.raises(InvalidInput, match=r"^policy_epoch: must be 32 hexadecimal digits"):
        listing.list_models(bad.SerializeToString(), FakeContext())
