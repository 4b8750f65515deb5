"""Snapshots, kills and restarts at random, under a clock that jumps: the model of an uninterrupted run.

Every round happens at the same clock in every run; what is random is where the learner dies in it, how often
it publishes, and when it is stopped in good order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random

from offer_optimizer.core.control import Audit, ClockAccepted
from offer_optimizer.store.files import nothing
from tests.conftest import Size
from tests.unit.learn.histories import E1, FIRST, check, current
from tests.unit.learn.service_in_memory import ServiceInMemory
from tests.unit.learn.worlds import WINDOW_S, catalog, decision_of, feedback_of, stored

PER_ROUND = 12
JUMP_SHARE = 0.1
"""Of rounds, that end in a jump of the clock."""
KILL_SHARE = 0.4
"""Of rounds, in which the learner is killed, once or several times."""


class Killed(BaseException):
    """The process is gone; nothing of it may clean up."""


class Run:
    """Traffic that is the same in every run, and a learner that dies as `chaos` has it."""

    def __init__(self, decision_count: int, chaos: Random | None) -> None:
        self.chaos = chaos
        self.traffic = Random(4)
        self.service = ServiceInMemory()
        self.writer = self.service.writer(1)
        self.service.apply(self.writer, stored(1, catalog(FIRST)))
        self.kills = 0
        self.kills_before_jumps = 0
        self.jumps = 0
        self.made = 0
        self.away_us = 0
        """How far the clock is from the right time, where that is not for good."""
        while self.made < decision_count:
            self._round()
        self._jump(-self.away_us)
        self._let_pass(WINDOW_S + 2)
        self._let_pass(8000.0)
        self.service.learner.close()

    def digest(self) -> str:
        return hashlib.sha256(current(self.service).state).hexdigest()

    def _round(self) -> None:
        for _ in range(PER_ROUND):
            self._visit()
        self._let_pass(self.traffic.choice([0.2, 1.0, 3.0]))
        if self.traffic.random() < JUMP_SHARE:
            self._jump_somewhere()

    def _visit(self) -> None:
        service, number = self.service, self.made
        self.made += 1
        service.clock_us += 1000
        service.boot_us += 1000
        self.writer.decide(decision_of(number, service.clock_us, epoch=E1), f"v{number % 97}")
        for _ in range(self.traffic.choice([0, 0, 1, 1, 2])):
            of = max(number - self.traffic.randrange(60), 0)
            value = self.traffic.choice([0.25, 0.5, 1.0])
            item = feedback_of(f"f{number}", service.clock_us, decision=of, value=value)
            self.writer.hear(item)

    def _let_pass(self, seconds: float) -> None:
        self.service.clock_us += round(seconds * 1e6)
        self.service.boot_us += round(seconds * 1e6)
        self._perhaps_die()
        self._learn()

    def _perhaps_die(self) -> None:
        if self.chaos is not None and self.chaos.random() < KILL_SHARE:
            for _ in range(self.chaos.choice([1, 1, 3])):
                self._die(self.chaos)

    def _learn(self) -> None:
        while self.service.learner.step():
            pass

    def _die(self, chaos: Random) -> None:
        """Kill the learner at a step on the disk, at a statement, or stop it in good order; start another."""
        service = self.service
        service.publish_interval_us = chaos.choice([0, 300_000, 5_000_000])
        how = chaos.choice(["step", "statement", "stop"])
        left = chaos.randrange(8)

        def on_step(_step: str, _moment: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        try:
            if how == "step":
                service.on_step = on_step
            elif how == "statement":
                service.connection.failure = Killed()
                service.connection.fail_at = chaos.randrange(200)
            else:
                service.learner.close()
            self._learn()
        except Killed:
            self.kills += 1
        service.on_step, service.connection.fail_at = nothing, -1
        service.start()

    def _jump_somewhere(self) -> None:
        """Step within what is trusted; or go far away, and come back later or stay for good."""
        if self.away_us:
            self._jump(-self.away_us)
            self.away_us = 0
            return
        seconds = self.traffic.choice([-20, 30, -3600, 3600, 5000])
        self._jump(seconds * 1_000_000)
        if seconds == 5000:
            self.service.steer(self.writer, ClockAccepted(Audit("ops", "", 0)))
        elif abs(seconds) > 60:
            self.away_us = seconds * 1_000_000

    def _jump(self, microseconds: int) -> None:
        self._visit()
        self.service.clock_us += 1_000_000
        self.service.boot_us += 1_000_000
        # A kill may leave ledger time a round behind. What is stamped after a jump back depends on that,
        # unless the clock was not trusted anyway.
        if microseconds > 0 or abs(self.away_us) > 60_000_000:
            kills = self.kills
            self._perhaps_die()
            self.kills_before_jumps += self.kills - kills
        self._learn()
        self.service.clock_us += microseconds
        self.jumps += bool(microseconds)


def test_any_schedule_of_snapshots_kills_and_restarts_gives_the_model_of_an_uninterrupted_run(
    size: Size, figure: Callable[[str], None]
) -> None:
    decisions = size.pick(test=500, ci=2000, proof=50_000)
    schedules = size.pick(test=3, ci=8, proof=20)
    whole = Run(decisions, None)
    assert check(whole.service) == [True]
    assert current(whole.service).learned_count >= decisions
    kills = before_jumps = 0
    for seed in range(schedules):
        run = Run(decisions, Random(seed))
        assert run.digest() == whole.digest(), f"schedule {seed}, {run.kills} kills"
        kills += run.kills
        before_jumps += run.kills_before_jumps
    assert kills >= schedules
    assert before_jumps
    figure(
        f"{schedules} schedules over {decisions:,} decisions, {kills} kills, {before_jumps} of them"
        f" in rounds before one of {whole.jumps} clock jumps:"
        f" the model of the uninterrupted run in each, SHA-256 {whole.digest()[:16]}"
    )
