"""`offer-optimizer learning`, `rollback` and `quarantine` against a service played by fake stubs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from offer_optimizer.cli import learning, operator_call, quarantine, rollback
from offer_optimizer.v1 import catalog_service_pb2 as pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb

EPOCH = "ab" * 16


class Service:
    """Remembers requests, and keeps the versions 30, 20 and 0."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.note = ""

    def SetLearning(self, request: pb.SetLearningRequest, timeout: float) -> pb.SetLearningResponse:
        self.asked.append(request)
        return pb.SetLearningResponse()

    def RollBackModel(self, request: pb.RollBackModelRequest, timeout: float) -> pb.RollBackModelResponse:
        self.asked.append(request)
        return pb.RollBackModelResponse()

    def Quarantine(self, request: pb.QuarantineRequest, timeout: float) -> pb.QuarantineResponse:
        self.asked.append(request)
        return pb.QuarantineResponse(note=self.note)

    def ListModels(
        self, request: insight_pb.ListModelsRequest, timeout: float
    ) -> insight_pb.ListModelsResponse:
        reply = insight_pb.ListModelsResponse()
        for position, count in ((30, 1200), (20, 7), (0, 0)):
            model = reply.models.add(model_version=f"{EPOCH}:{position}", learned_count=count)
            if position:
                model.publish_time.seconds = 1_700_000_000
        reply.models[0].is_current = True
        return reply


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    fake = Service()

    @contextmanager
    def stubs(_target: str) -> Iterator[tuple[Any, Any]]:
        yield fake, fake

    for module in (learning, rollback, quarantine):
        monkeypatch.setattr(module, "stubs", stubs)
    for module in (learning, rollback, quarantine, operator_call):
        monkeypatch.setattr(module, "local_user", lambda: "local user alice", raising=False)
    return fake


def run(command: typer.Typer | Callable[..., None], *arguments: str, answer: str = "") -> Result:
    if isinstance(command, typer.Typer):
        app = command
    else:
        app = typer.Typer()
        app.command()(command)
    return CliRunner().invoke(app, list(arguments), input=answer)


def test_freeze_and_resume_say_what_happens_to_what_closes(service: Service) -> None:
    frozen = run(learning.learning_app, "freeze", "home", "--reason", "sale")
    resumed = run(learning.learning_app, "resume")
    assert (frozen.exit_code, resumed.exit_code) == (0, 0)
    assert service.asked == [
        pb.SetLearningRequest(placement="home", frozen=True, reason="sale", actor="local user alice"),
        pb.SetLearningRequest(actor="local user alice"),
    ]
    assert "Learning is frozen at home" in frozen.output
    assert "is never learned" in frozen.output
    assert "Learning goes on at all placements" in resumed.output


def test_rollback_lists_what_is_kept(service: Service) -> None:
    result = run(rollback.rollback, "home", "--list")
    assert result.exit_code == 0
    lines = [line for line in result.output.splitlines() if EPOCH in line]
    assert "1,200" in lines[0]
    assert "current" in lines[0]
    assert "2023-11-14 22:13:20Z" in lines[1]
    assert "as the epoch began" in lines[2]
    assert service.asked == []


@pytest.mark.parametrize("version", [f"{EPOCH}:20", "20"])
def test_rollback_takes_a_version_or_its_position(service: Service, version: str) -> None:
    result = run(rollback.rollback, "home", "--to", version)
    assert result.exit_code == 0
    assert [request.model_version for request in service.asked] == [f"{EPOCH}:20"]
    assert f"home goes back to {EPOCH}:20" in result.output
    assert "is not learned again" in result.output


@pytest.mark.parametrize("arguments", [("--to", "21"), (), ("--to", "20", "--list")], ids=str)
def test_rollback_without_a_kept_version_asks_nothing(service: Service, arguments: tuple[str, ...]) -> None:
    result = run(rollback.rollback, "home", *arguments)
    assert result.exit_code == 1
    assert "--list" in result.output
    assert service.asked == []


INTERVAL = ("--from", "2026-03-01T09:30", "--to", "2026-03-01T12:00+01:00")


def test_quarantine_takes_times_with_and_without_zone_and_asks_first(service: Service) -> None:
    refused = run(quarantine.quarantine, *INTERVAL, "--offer", "save5", answer="n\n")
    assert refused.exit_code == 1
    assert service.asked == []
    done = run(quarantine.quarantine, *INTERVAL, "--offer", "save5", answer="y\n")
    assert done.exit_code == 0
    (request,) = service.asked
    assert request.start_time.ToJsonString() == "2026-03-01T09:30:00Z"
    assert request.end_time.ToJsonString() == "2026-03-01T11:00:00Z"
    assert (request.placement, request.offer_id, request.actor) == ("", "save5", "local user alice")
    assert "decisions at all placements that chose save5 made from 2026-03-01T09:30:00+00:00" in done.output
    assert "But " not in done.output


def test_quarantine_says_what_stays_learned(service: Service) -> None:
    service.note = "what closed before noon stays learned"
    done = run(quarantine.quarantine, *INTERVAL, "--yes")
    assert "But what closed before noon stays learned." in done.output


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("yesterday", "2026-03-01", "--from: must be a time"),
        ("2026-03-01", "2026-03-01", "--to: is not after"),
    ],
)
def test_quarantine_refuses_what_is_no_interval(service: Service, start: str, end: str, said: str) -> None:
    result = run(quarantine.quarantine, "--from", start, "--to", end, "--yes")
    assert result.exit_code == 1
    assert said in result.output
    assert service.asked == []
