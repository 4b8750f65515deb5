"""Shadow policies of a running service, from the command line: judged, promoted, taken back, rebuilt."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from offer_optimizer.cli.main import build_app
from offer_optimizer.client import Client
from tests.running_service import RunningService, serving

CATALOG = """\
version: 1
offers:
  - {id: save5, type: COUPON}
  - {id: greeting, type: MESSAGE}
placements:
  - id: home
    offers: [save5, greeting]
    policy: {name: vw, options: {bits: 10}}
    window: 1s
    shadows:
      - name: beta
        policy: thompson
        gate: {margin: 0.05, visitors: 1000}
      - name: quick
        policy: {name: vw, options: {bits: 10, learning_rate: 2.0}}
"""
WAIT_S = 25.0


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with serving(tmp_path_factory.mktemp("service"), CATALOG) as service:
        yield service


def shadow(running: RunningService, *arguments: str) -> str:
    done = CliRunner().invoke(build_app(), ["shadow", *arguments, "--target", running.target])
    assert done.exit_code == 0, done.output
    return done.output


def visit(client: Client, count: int) -> None:
    for number in range(count):
        made = client.decide("home", visitor_id=f"v{number}")
        assert made.decision_id is not None
        if number % 2:
            client.feedback("click", decision_id=made.decision_id)


def until_judged(running: RunningService, count: int) -> None:
    deadline_s = time.monotonic() + WAIT_S
    said = ""
    while time.monotonic() < deadline_s:
        said = shadow(running, "status", "home")
        if re.findall(r"judged on (\d+) decisions", said) == [str(count), str(count)]:
            return
        time.sleep(0.5)
    raise AssertionError(f"not within {WAIT_S:g} s: {said}")


def test_a_shadow_is_judged_killed_promoted_taken_back_and_rebuilt(running: RunningService) -> None:
    with Client(running.target, timeout_s=5.0) as client:
        visit(client, 20)
        until_judged(running, 20)
        (learner,) = [pid for pid, role in running.children().items() if role == "learner"]
        running.kill(learner)
        visit(client, 10)
        until_judged(running, 30)
        told = shadow(running, "report", "home")
        assert "home, shadow quick (vw): judged on 30 decisions" in told
        assert "refused" in told
        assert "promoted once that is surely above 0.05" in shadow(running, "list")

        before = client.get_model("home").model_version.partition(":")[0]
        shadow(running, "promote", "home", "quick", "--reason", "a test")
        deadline_s = time.monotonic() + WAIT_S
        while (model := client.get_model("home")).model_version.startswith(before):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert model.learned_count == 30
        assert "home  previous" in shadow(running, "list")

        shadow(running, "revert", "home")
        while not client.get_model("home").model_version.startswith(before):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        visit(client, 5)
    assert running.stop() == 0
    rebuilt = running.check_rebuild()
    assert rebuilt["equal"]
    compared = {model["placement"] for model in rebuilt["models"]}
    assert {"home", "home, shadow beta", "home, shadow previous"} <= compared
