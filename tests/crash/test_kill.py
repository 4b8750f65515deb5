"""Kill -9 of any process at any moment: nothing answered is lost, and the model is the rebuilt one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import parse_decision_id
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from tests.conftest import Size
from tests.crash.answered_load import AnsweredLoad
from tests.running_service import RunningService

CATALOG = """
version: 1
offers:
  - {id: welcome, type: MESSAGE, payload: hello}
  - {id: coupon, type: COUPON, attributes: {cost: 2.0}}
  - {id: guide, type: CONTENT, attributes: {topic: size}}
  - {id: nothing, type: NOTHING}
placements:
  - id: home
    offers: [welcome, coupon, guide, nothing]
    baseline: [nothing]
    policy: vw
    window: 1s
    reward: {formula: "count.click > 0.0 ? 1.0 : 0.0 - 0.2 * count.dismiss", min: -1, max: 1}
"""
DECISIONS_A_SECOND = 200
FEEDBACK_A_SECOND = 50
TRIES = 10


@pytest.mark.timeout(1800)
def test_nothing_answered_is_lost_when_any_process_is_killed(
    tmp_path: Path, size: Size, figure: Callable[[str], None]
) -> None:
    """The client keeps the list of what was answered; the ledger has it all, and `rebuild --check` holds."""
    rounds = size.pick(test=3, ci=5, proof=50)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    service = RunningService(tmp_path / "data", catalog)
    chance = random.Random(20261121)
    victims: dict[str, int] = {}
    slowest_s, totals = 0.0, [0, 0]
    rates: list[tuple[float, float]] = []
    try:
        service.start()
        for number in range(rounds):
            load = AnsweredLoad(service.target, "home", seed=number)
            load.start()
            rates.append(_watch(load, chance.uniform(1.0, 2.0)))
            role, pid = _choose(service, chance, number)
            victims[role] = victims.get(role, 0) + 1
            service.kill(pid)
            if role == "supervisor":
                slowest_s = max(slowest_s, service.start(service.port))
            before = load.counts()
            _wait_for_more(load, before[0] + 20)
            load.stop()
            _check_ledger(service, load)
            service.check_rebuild()
            totals = [totals[0] + len(load.decisions), totals[1] + len(load.feedback)]
        assert service.stop() == 0, service.log_tail()
        service.check_rebuild()
    finally:
        service.end()
    killed = ", ".join(f"{count} {role}" for role, count in sorted(victims.items()))
    least = [min(rate[kind] for rate in rates) for kind in (0, 1)]
    figure(
        f"{rounds} kills ({killed}): {totals[0]} decisions and {totals[1]} items of feedback answered, all in"
        f" the ledger; least rates before a kill {least[0]:.0f}/s and {least[1]:.0f}/s; slowest restart"
        f" {slowest_s:.1f} s"
    )


def _wait_for_more(load: AnsweredLoad, wanted: int) -> None:
    _wait(lambda: load.counts()[0] > wanted, 15.0, "decisions after the kill")


def _watch(load: AnsweredLoad, seconds: float) -> tuple[float, float]:
    """Let the load run until it has had the wanted rates for so long, and return them.

    A busy machine gets several tries; what is killed is always a service under that load.
    """
    _wait(lambda: load.counts()[0] > 0, 15.0, "a first decision")
    rates = (0.0, 0.0)
    for _ in range(TRIES):
        began_s, before = time.monotonic(), load.counts()
        time.sleep(seconds)
        elapsed_s, after = time.monotonic() - began_s, load.counts()
        rates = ((after[0] - before[0]) / elapsed_s, (after[1] - before[1]) / elapsed_s)
        if rates[0] >= DECISIONS_A_SECOND and rates[1] >= FEEDBACK_A_SECOND:
            return rates
    raise AssertionError(
        f"{rates[0]:.0f} decisions/s and {rates[1]:.0f} feedback items/s answered,"
        f" wanted {DECISIONS_A_SECOND} and {FEEDBACK_A_SECOND}"
    )


def _choose(service: RunningService, chance: random.Random, number: int) -> tuple[str, int]:
    """Choose a process; the first three rounds take one of each role."""
    by_role: dict[str, list[int]] = {"supervisor": [service.supervisor]}
    for pid, role in service.children().items():
        by_role.setdefault(role, []).append(pid)
    roles = ["learner", "decider", "supervisor"]
    role = roles[number] if number < len(roles) else chance.choice(roles)
    if role not in by_role:
        role = "supervisor"
    return role, chance.choice(by_role[role])


def _check_ledger(service: RunningService, load: AnsweredLoad) -> None:
    wanted = {parse_decision_id(text, "decision_id") for text in load.decisions}
    deadline_s = time.monotonic() + 20.0
    while True:
        ledger = Ledger.open_for_reading(DataDirectory(service.directory).ledger_path)
        lost = {decision for decision in wanted if ledger.find_decision(decision) is None}
        items = _feedback_ids(ledger)
        ledger.connection.close()
        missing = load.feedback.keys() - items
        if not lost and not missing:
            return
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{len(lost)} decisions and {len(missing)} items lost\n{service.log_tail()}")
        time.sleep(0.2)


def _feedback_ids(ledger: Ledger) -> set[str]:
    found = set()
    for record in ledger.records():
        if record.kind is RecordKind.FEEDBACK:
            body = record.body()
            assert isinstance(body, Feedback)
            found.add(body.feedback_id)
    return found


def _wait(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {limit_s} s for {what}"
        time.sleep(0.02)
