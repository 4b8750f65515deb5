"""The learner killed at any step on the disk."""

from __future__ import annotations

import pytest

from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.files import nothing
from tests.conftest import Size
from tests.unit.learn.histories import FIRST, check, current, visit
from tests.unit.learn.service_in_memory import ServiceInMemory
from tests.unit.learn.worlds import (
    WINDOW_S,
    catalog,
    stored,
)


class Killed(BaseException):
    """The process is gone; nothing of it may clean up."""


def history(power_cut: bool, kill_at: int) -> tuple[ServiceInMemory, list[str]]:
    """Run a fixed history that is killed at its `kill_at`-th step on the disk; return the steps taken."""
    service = ServiceInMemory()
    writer = service.writer(1)
    service.apply(writer, stored(1, catalog(FIRST)))
    steps: list[str] = []

    def on_step(step: str, moment: str) -> None:
        steps.append(f"{step} {moment}")
        if len(steps) == kill_at + 1:
            raise Killed

    for number in range(6):
        visit(service, writer, number)
        if number == 3:
            for segment in writer.segments:
                segment.sync()
            service.files.sync_dir("/data/run", "test")
            writer.die()
            writer = service.writer(2)
        for segment in writer.segments:
            segment.sync()
        service.on_step = on_step
        try:
            service.run_for(WINDOW_S + 2)
        except Killed:
            service.on_step = nothing
            if power_cut:
                service.files.disk.power_cut()
                writer = service.writer(10 + number)
            service.start()
            service.run_for(0.1)
        service.on_step = nothing
    service.run_for(WINDOW_S + 2)
    return service, steps


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_learner_killed_at_any_step_on_the_disk_comes_to_the_same_end(power_cut: bool, size: Size) -> None:
    """Segments removed, snapshots written, pointed to and pruned: killed before and after each of these."""
    service, steps = history(power_cut, -1)
    assert any(step.startswith("segment.remove") for step in steps)
    assert any(step.startswith("snapshot.point.rename") for step in steps)
    # Every step has its turn from the second size on; 7 shares no factor with the steps of a round.
    for kill_at in range(int(power_cut), len(steps), size.pick(test=7, ci=1, proof=1)):
        service, _ = history(power_cut, kill_at)
        kinds = [record.kind for record in service.ledger.records()]
        assert (kinds.count(RecordKind.DECISION), kinds.count(RecordKind.FEEDBACK)) == (6, 4), steps[kill_at]
        assert current(service).learned_count == 6, steps[kill_at]
    assert check(service) == [True]
