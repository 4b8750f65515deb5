"""When a model can't keep up: how much of silence it is to learn, from how far it is behind.

Always holds: the share is a power of two in [1/16, 1], so weights are exact, and at least 1 / the cap that
policies put on weights; what is decided here goes into the ledger before it has an effect, so that a rebuild
repeats it without asking. Reads no clock: time is ledger time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from offer_optimizer.learn.trainer import BATCH, Model
from offer_optimizer.store.fold_tables import FoldTables

LEAST_SHARE: Final = 1.0 / 16.0


@dataclass
class Pressure:
    """Decides on the share of silence that is learned, by placement.

    A model lags when its next lesson closed `lag_us` ago, or when `waiting` lessons wait. The share is halved
    after each `halve_us` of lagging without a break: a jump of ledger time makes many lessons at once, which
    are not a learner that can't keep up. It is doubled again while nothing waits, `recover_us` after the last
    change at the soonest: whole at once, it let a learner under lasting load fall behind for minutes again.
    """

    tables: FoldTables
    lag_us: int = 5_000_000
    waiting: int = 20_000
    halve_us: int = 5_000_000
    recover_us: int = 20_000_000
    _changed_us: dict[str, int] = field(default_factory=dict)
    _lagging_us: dict[str, int] = field(default_factory=dict)
    """Since when a placement's model lags."""

    def new_share(self, model: Model, share: float, taught: int, time_us: int) -> float | None:
        """Return the share from now on, or None where it stays.

        `share` is the present one, `taught` how many examples the model was just taught, of BATCH at most;
        `time_us` is ledger time.
        """
        since_us = time_us - self._changed_us.get(model.placement_id, -(2**62))
        wanted = share
        if taught < BATCH or not self._lags(model, time_us):
            self._lagging_us.pop(model.placement_id, None)
            wanted = min(2.0 * share, 1.0) if taught < BATCH and since_us >= self.recover_us else share
        else:
            lagging_us = time_us - self._lagging_us.setdefault(model.placement_id, time_us)
            if share > LEAST_SHARE and min(lagging_us, since_us) >= self.halve_us:
                wanted = share / 2.0
        if wanted == share:
            return None
        self._changed_us[model.placement_id] = time_us
        return wanted

    def _lags(self, model: Model, time_us: int) -> bool:
        key = (model.placement_id, model.policy_epoch, model.cursor)
        oldest_us = self.tables.nth_lesson_us(*key, 0)
        if oldest_us is None:
            return False
        return time_us - oldest_us >= self.lag_us or self.tables.nth_lesson_us(*key, self.waiting) is not None
