"""Rewards made anew from a log's own feedback, by a CEL formula as catalogs have them.

Everything that came in for a decision counts, late feedback too, without what was retracted; silence is
feedback of which every count is 0, and no range clips what the formula makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

import numpy as np

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import BUILT_IN_KINDS, Fate
from offer_optimizer.core.formula import FeedbackSummary, RewardFormula
from offer_optimizer.core.history import History
from offer_optimizer.core.log import Floats, Log, LogRows
from offer_optimizer.core.outcome import FatedFeedback

_COUNTED = (Fate.APPLIED, Fate.LATE)


def logged_catalogs(log: Log) -> Mapping[int, Catalog]:
    """Return the catalogs that a log of ours was made under, by revision; none of any other log."""
    history = getattr(log, "history", None)
    if isinstance(history, History):
        return {number: revision.catalog for number, revision in history.catalogs.items()}
    found: Mapping[int, Catalog] = getattr(log, "catalogs", {})
    return found


class FormulaRewards:
    """A function from rows to the rewards that a formula makes of their feedback."""

    def __init__(self, log: Log, text: str) -> None:
        """Compile. Raises InvalidInput."""
        self._formula = RewardFormula(text)
        self._kinds = {
            number: (*BUILT_IN_KINDS, *(kind.id for kind in catalog.kinds))
            for number, catalog in logged_catalogs(log).items()
        }

    def __call__(self, rows: LogRows) -> Floats:
        """Return the rewards, shape (n,). Raises InvalidInput without feedback, or where it fails."""
        if rows.outcomes is None or rows.decisions is None:
            raise InvalidInput("reward", "is a formula over feedback, which this log does not have")
        rewards = np.empty(len(rows))
        positions = (rows.offers == rows.chosen[:, None]).argmax(axis=1).tolist()
        for row, position in enumerate(positions):
            decision = rows.decisions[row]
            kinds = self._kinds.get(decision.catalog_revision, BUILT_IN_KINDS)
            items = counted(rows.outcomes[row].feedback, decision.decide_time_us)
            numbers = {} if rows.attributes is None else dict(rows.attributes[row][position].numbers)
            rewards[row] = self._formula.evaluate(FeedbackSummary(items, kinds), numbers)
        return rewards


def counted(feedback: Iterable[FatedFeedback], decide_time_us: int) -> list[tuple[str, float, float]]:
    """Return (kind, value, delay in seconds) of what counts, the earliest first."""
    items = [fated.item for fated in feedback if fated.fate in _COUNTED]
    items.sort(key=attrgetter("receive_time_us"))
    retracted = {item.retracts_feedback_id for item in items if item.retracts_feedback_id}
    return [
        (item.kind, item.value, max(item.receive_time_us - decide_time_us, 0) / 1e6)
        for item in items
        if not item.retracts_feedback_id and item.feedback_id not in retracted
    ]
