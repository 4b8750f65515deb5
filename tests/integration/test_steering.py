"""Freeze, rollback and quarantine of a running service, from the command line to the page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from offer_optimizer.cli.main import build_app
from offer_optimizer.client import Client, ModelInfo, RequestRejected
from tests.running_service import RunningService, serving

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
    with serving(tmp_path_factory.mktemp("service"), CATALOG) as service:
        yield service


def until(client: Client, holds: Callable[[ModelInfo], bool]) -> ModelInfo:
    """Return the model once it is as wanted."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        model = client.get_model("home")
        if holds(model):
            return model
        time.sleep(0.02)
    raise AssertionError(f"not within {WAIT_S:g} s; the model stays another")


def visit(client: Client, count: int) -> str:
    """Decide and click a few times; return the last decision's id."""
    decision_id = ""
    for number in range(count):
        made = client.decide("home", visitor_id=f"v{number}")
        assert made.decision_id is not None
        decision_id = made.decision_id
        client.feedback("click", decision_id=decision_id)
    return decision_id


def until_frozen(client: Client, decision_id: str) -> None:
    """Wait until a decision has closed without being learned."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(RequestRejected):  # not drained yet
            if "learning was frozen" in client.explain(decision_id).text:
                return
        time.sleep(0.05)
    raise AssertionError(f"{decision_id} is not frozen within {WAIT_S:g} s")


def steer(running: RunningService, *arguments: str) -> str:
    """Run a command in this process: seven starts of an interpreter would take longer than all the rest."""
    done = CliRunner().invoke(build_app(), [*arguments, "--target", running.target])
    assert done.exit_code == 0, done.output
    return done.output


def test_learning_is_steered_while_the_service_runs_and_a_rebuild_finds_it_all_again(
    running: RunningService, figure: Callable[[str], None]
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
        asked_s = time.monotonic()
        until(client, lambda model: model.learned_count == 5)
        took_s = time.monotonic() - asked_s
        figure(f"a rollback served {took_s:.2f} s after it was asked for")
        # A second where the machine is ours alone; here others take it for a while.
        assert took_s < 3.0
        steer(running, "rollback", "home", "--to", second.model_version)
        until(client, lambda model: model.learned_count == 9)

        steer(running, "learning", "freeze", "home")
        frozen = visit(client, 3)
        until_frozen(client, frozen)
        steer(running, "learning", "resume", "home")
        visit(client, 2)
        until(client, lambda model: model.learned_count == 11)

        steer(running, "quarantine", "--from", began.isoformat(), "--to", ended.isoformat(), "--yes")
        until(client, lambda model: model.learned_count == 7)
        study = (
            "rebuild", "--data", str(running.directory), "--placement", "home", "--final",
            "--reward", "count.click > 0.0 ? 0.5 : 0.0",
        )  # fmt: skip
        told = steer(running, *study, "--promote", "--yes")
        assert "10 of them earn something else" in told
        old_epoch = first.model_version.partition(":")[0]
        promoted = until(client, lambda model: not model.model_version.startswith(old_epoch))
        assert promoted.learned_count == 7
        visit(client, 1)
        until(client, lambda model: model.learned_count == 8)
        assert '"formula": "count.click > 0.0 ? 0.5 : 0.0"' in client.get_catalog().document
    assert running.check_rebuild()["equal"]
    tail = CliRunner().invoke(build_app(), ["ledger", "tail", "-n", "200", "--data", str(running.directory)])
    assert "back to" in tail.output
    assert "learning is frozen" in tail.output
    assert ": a test" in tail.output
