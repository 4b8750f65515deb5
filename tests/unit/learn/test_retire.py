"""When retention is prepared, and what a learner does without one. Whole lives: tests/integration."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn.archive import DAY_US, cutoff_us
from offer_optimizer.learn.retention import find_position
from offer_optimizer.learn.retire import LOOK_EVERY_US, RETRY_US, LedgerRetirer
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.memory_files import MemoryFiles
from tests.unit.learn.worlds import World, catalog

HOUR_US = DAY_US // 24


class FakePreparer:
    """Counts starts; ends when told to."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.status: int | None = None
        self.running = False

    def start(self, keep_days: int) -> None:
        assert not self.running
        self.starts.append(keep_days)
        self.running = True

    def poll(self) -> int | None:
        status, self.status = self.status, None
        if status is not None:
            self.running = False
        return status

    def is_running(self) -> bool:
        return self.running


def retirer_of(
    world: World, preparer: FakePreparer, clock: Callable[[], int], keep_days: int | None
) -> LedgerRetirer:
    found = LedgerRetirer(MemoryFiles(), DataDirectory("/data"), world.ledger, clock, preparer, keep_days)
    found.begin(world.fold)
    return found


def test_retention_is_prepared_once_a_day_of_ledger_time_and_again_an_hour_after_a_failure() -> None:
    world, preparer, now = World(), FakePreparer(), [100 * DAY_US]
    world.apply(1, catalog())
    retirer = retirer_of(world, preparer, lambda: now[0], 2)

    def look(hours: float) -> int:
        now[0] += round(hours * HOUR_US)
        retirer.step()
        return len(preparer.starts)

    world.tick(2 * DAY_US + HOUR_US)
    assert look(0) == 0, "no day is old enough"
    world.tick(3 * DAY_US)
    assert look(1) == 1
    assert preparer.starts == [2]
    assert look(1) == 1, "it is at work"
    preparer.status = 0
    assert look(1) == 1, "the same day"
    world.tick(4 * DAY_US)
    assert look(1) == 2
    preparer.status = 1
    assert look(0.5) == 2
    assert look(0.4) == 2
    assert look(RETRY_US / HOUR_US) == 3


def test_a_learner_that_keeps_everything_never_prepares() -> None:
    world, preparer = World(), FakePreparer()
    world.apply(1, catalog())
    world.tick(400 * DAY_US)
    retirer = retirer_of(world, preparer, lambda: 500 * DAY_US, None)
    assert not retirer.step()
    assert preparer.starts == []


def test_a_busy_learner_looks_for_a_base_only_now_and_then() -> None:
    world, now = World(), [10 * DAY_US]
    world.apply(1, catalog())
    preparer = FakePreparer()
    retirer = retirer_of(world, preparer, lambda: now[0], 1)
    retirer.step()
    world.tick(9 * DAY_US)
    now[0] += LOOK_EVERY_US // 2
    retirer.step()
    assert preparer.starts == []
    now[0] += LOOK_EVERY_US
    retirer.step()
    assert preparer.starts == [1]


@pytest.mark.parametrize("time_us", [0, 999, 1000, 1500, 5000, 9999])
def test_the_last_tick_at_or_before_a_time_is_found(time_us: int) -> None:
    world = World()
    world.apply(1, catalog())
    first = world.ledger.last_position()
    ticks: dict[int, int] = {}
    for number in range(1, 8):
        for item in range(number % 4):
            world.hear(Feedback(f"{number}.{item}", bytes(16), "", 0, "click", 1.0, 0))
        world.tick(number * 1000)
        ticks[number * 1000] = world.ledger.last_position()
    expected = max((position for at, position in ticks.items() if at <= time_us), default=first)
    assert find_position(world.ledger, time_us, first) == expected


def test_whole_days_stay() -> None:
    now_us = 20_000 * DAY_US + 5 * HOUR_US
    assert cutoff_us(now_us, 1) == 19_999 * DAY_US
    assert cutoff_us(now_us, 30) == 19_970 * DAY_US
