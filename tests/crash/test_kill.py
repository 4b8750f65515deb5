"""Kill -9 of any process at any moment: nothing answered is lost, and the model is the rebuilt one."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
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
from tests.crash.faulty_disk import FaultyDisk
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
HARM = ("learner", "decider", "supervisor", "all", "stopped learner", "stopped decider")
ROUNDS_A_DIRECTORY = 10
"""Rebuilding all after each kill must stay a matter of seconds."""


@pytest.mark.timeout(7200)
def test_nothing_answered_is_lost_whatever_is_killed_or_stopped(
    tmp_path: Path, size: Size, figure: Callable[[str], None]
) -> None:
    """The client keeps the list of what was answered; the ledger has it all, and `rebuild --check` holds.

    Any process, all at once, and deciders and learners that are stopped and stay so.
    """
    rounds = size.pick(test=3, ci=len(HARM), proof=210)
    chance = random.Random(20261121)
    tally = Tally()
    for first in range(0, rounds, ROUNDS_A_DIRECTORY):
        folder = tmp_path / str(first)
        folder.mkdir()
        catalog = folder / "catalog.yaml"
        catalog.write_text(CATALOG)
        service = RunningService(folder / "data", catalog)
        try:
            service.start()
            for number in range(first, min(first + ROUNDS_A_DIRECTORY, rounds)):
                _round(service, chance, HARM[number % len(HARM)], number, tally)
            assert service.stop() == 0, service.log_tail()
            service.check_rebuild()
        finally:
            service.end()
    figure(tally.sentence(_import_s()))


class Tally:
    """What happened, for the summary."""

    def __init__(self) -> None:
        self.harm: dict[str, int] = {}
        self.decisions = self.items = 0
        self.starts_s: list[float] = []
        self.rates: list[tuple[float, float]] = []

    def sentence(self, floor_s: float) -> str:
        """Return what was measured. Restarts are set against what importing takes on the same machine."""
        harm = ", ".join(f"{count} {what}" for what, count in sorted(self.harm.items()))
        least = [min(rate[kind] for rate in self.rates) for kind in (0, 1)]
        starts = f"{statistics.median(self.starts_s):.2f} s" if self.starts_s else "never"
        return (
            f"{sum(self.harm.values())} kills ({harm}): {self.decisions} decisions and {self.items} items"
            f" answered, all in the ledger; least rates before a kill {least[0]:.0f}/s and"
            f" {least[1]:.0f}/s; restart to ready {starts} (median), {floor_s:.2f} s of which imports"
            " alone take"
        )


def _import_s() -> float:
    """Return how long a process takes that only imports what a decider needs."""
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import offer_optimizer.app.decider"], check=True)
    return time.monotonic() - began_s


def _round(service: RunningService, chance: random.Random, what: str, number: int, tally: Tally) -> None:
    load = AnsweredLoad(service.target, "home", seed=number)
    load.start()
    tally.rates.append(_watch(load, chance.uniform(0.5, 1.5)))
    _harm(service, chance, what, tally)
    _wait_for_more(load, load.counts()[0] + 20)
    load.stop()
    _check_ledger(service, load)
    service.check_rebuild()
    done = service.run_command("doctor", "--data", str(service.directory))
    assert done.returncode == 0, done.stdout
    tally.harm[what] = tally.harm.get(what, 0) + 1
    tally.decisions += len(load.decisions)
    tally.items += len(load.feedback)


def _harm(service: RunningService, chance: random.Random, what: str, tally: Tally) -> None:
    """Kill or stop a process, or kill all of them at once; return once there is somebody to ask again."""
    role = what.removeprefix("stopped ")
    if what == "all":
        service.kill_all()
    elif role == "supervisor":
        service.kill(service.supervisor)
    else:
        _wait(lambda: role in service.children().values(), 15.0, f"a {role}")
        pid = chance.choice([pid for pid, found in service.children().items() if found == role])
        if what == role:
            service.kill(pid)
            return
        os.kill(pid, signal.SIGSTOP)
        _wait(lambda: pid not in service.children(), 15.0, f"the supervisor to kill the stopped {role}")
        return
    tally.starts_s.append(service.start(service.port))


POINTS = (
    ("/segments/journal-", "fdatasync"),
    ("/segments/inbox-", "fdatasync"),
    ("/segments/.journal-", "rename"),
    ("/snapshots/", "rename"),
    ("/segments/", "unlink"),
    ("/data/catalog", "sync_dir"),
)
"""Durable steps of deciders, then of the learner, then of an operator's call."""
NEED_A_NEW_LIFE = (("/segments/.journal-", "rename"), ("/segments/", "unlink"))
"""A decider that begins makes a segment; that of one that died is drained whole and removed."""


@pytest.mark.timeout(600)
def test_processes_that_die_in_a_durable_step_lose_nothing_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: Size
) -> None:
    disk = FaultyDisk(tmp_path / "shim")
    for name, value in disk.environment.items():
        monkeypatch.setenv(name, value)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    # One decider: beside another one, a new one might not be called, and makes no segment before it is.
    service = RunningService(tmp_path / "data", catalog, workers=1)
    changed = tmp_path / "changed.yaml"
    chance = random.Random(7)
    some = chance.sample(POINTS, 3)
    points = size.pick(test=some[:1], ci=some, proof=list(POINTS) * 5)
    try:
        service.start()
        for number, (match, call) in enumerate(points):
            load = AnsweredLoad(service.target, "home", seed=number)
            load.start()
            _wait_for_more(load, 10)
            disk.kill_once(match, call)
            if (match, call) in NEED_A_NEW_LIFE:
                service.kill(next(pid for pid, role in service.children().items() if role == "decider"))
            if "catalog" in match:
                changed.write_text(CATALOG.replace("hello", f"hello {number}"))
                service.run_command("catalog", "apply", str(changed), "--target", service.target)
            _wait(lambda: disk.has_killed, 60.0, f"a process to die at {call} of {match}")
            disk.heal()
            _wait_for_more(load, load.counts()[0] + 20)
            load.stop()
            _check_ledger(service, load)
        service.check_rebuild()
        assert service.stop() == 0, service.log_tail()
    finally:
        service.end()


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
