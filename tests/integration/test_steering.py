"""Freeze, rollback and quarantine of a running service, from the command line to the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from offer_optimizer.client import Client, ModelInfo
from tests.running_service import RunningService

CATALOG = """\
version: 1
offers:
  - {id: save5, type: COUPON}
  - {id: greeting, type: MESSAGE}
placements:
  - {id: home, offers: [save5, greeting], policy: {name: vw, options: {bits: 10}}, window: 1s}
"""
WAIT_S = 15.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("service")
    catalog = folder / "catalog.yaml"
    catalog.write_text(CATALOG)
    service = RunningService(folder / "data", catalog, workers=1)
    try:
        service.start()
        yield service
    finally:
        service.end()


def until(client: Client, holds: Callable[[ModelInfo], bool]) -> ModelInfo:
    """Return the model once it is as wanted."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        model = client.get_model("home")
        if holds(model):
            return model
        time.sleep(0.02)
    raise AssertionError(f"not within {WAIT_S:g} s; the model stays another")


def visit(client: Client, count: int) -> None:
    for number in range(count):
        decision = client.decide("home", visitor_id=f"v{number}")
        client.feedback("click", decision_id=decision.decision_id)


def steer(running: RunningService, *arguments: str) -> str:
    done = running.run_command(*arguments, "--target", running.target)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_learning_is_steered_while_the_service_runs_and_a_rebuild_finds_it_all_again(
    running: RunningService,
) -> None:
    with Client(running.target, timeout_s=5.0) as client:
        visit(client, 5)
        first = until(client, lambda model: model.learned_count == 5)
        began = datetime.now(UTC)
        visit(client, 4)
        second = until(client, lambda model: model.learned_count == 9)
        ended = datetime.now(UTC)
        listed = steer(running, "rollback", "home", "--list")
        assert first.model_version in listed
        assert second.model_version in listed

        steer(running, "rollback", "home", "--to", first.model_version, "--reason", "a test")
        until(client, lambda model: model.learned_count == 5)
        steer(running, "rollback", "home", "--to", second.model_version)
        until(client, lambda model: model.learned_count == 9)

        steer(running, "learning", "freeze", "home")
        visit(client, 3)
        time.sleep(2.5)
        steer(running, "learning", "resume", "home")
        visit(client, 2)
        until(client, lambda model: model.learned_count == 11)

        steer(running, "quarantine", "--from", began.isoformat(), "--to", ended.isoformat(), "--yes")
        until(client, lambda model: model.learned_count == 7)
        study = (
            "rebuild", "--data", str(running.directory), "--placement", "home", "--final",
            "--reward", "count.click > 0.0 ? 0.5 : 0.0",
        )  # fmt: skip
        told = running.run_command(*study)
        assert "10 of them earn something else" in told.stdout, told.stdout + told.stderr
        steer(running, *study, "--promote", "--yes")
        promoted = until(client, lambda model: model.learned_count == 7)
        assert promoted.model_version.partition(":")[0] != first.model_version.partition(":")[0]
        visit(client, 1)
        until(client, lambda model: model.learned_count == 8)
        assert '"formula": "count.click > 0.0 ? 0.5 : 0.0"' in client.get_catalog().document
    assert running.check_rebuild()["equal"]
    tail = running.run_command("ledger", "tail", "-n", "200", "--data", str(running.directory)).stdout
    assert "back to" in tail
    assert "learning is frozen" in tail
    assert ": a test" in tail
