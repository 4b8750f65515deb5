"""A decider that is busy swaps as many models a refresh as an idle one."""

from __future__ import annotations

import time

from offer_optimizer.app.decider import resting_shelf
from offer_optimizer.decide.models import LONG_S, SWAPS
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.decide.rooms import Shelves
from tests.unit.decide.test_models_in_turn import CATALOG, positions, publish


class HeldUp(Shelves):
    """Snapshots whose reader waits, as for the interpreter lock, and has nothing to do meanwhile."""

    def load(self, placement_id: str, name: str) -> Snapshot:
        """See SnapshotReader."""
        time.sleep(2.0 * LONG_S)
        return super().load(placement_id, name)


def test_a_swap_that_only_waited_does_not_hold_back_the_next() -> None:
    shelves = HeldUp()
    shelf = resting_shelf(shelves)
    shelf.refresh(CATALOG)
    publish(shelves, 1)
    shelf.refresh(CATALOG)
    assert positions(shelf).count(1) == SWAPS
