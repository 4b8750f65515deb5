"""A dsjson file as a log: a row for each decision with one slot, in the order of the file.

What can't be read is counted with its line number, what is sound but no row is counted by its kind and told
in the notes. Weights are 1 / (1 - pdrop).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.log import BadLine, LogRows, Vocabulary
from offer_optimizer.formats.dsjson_event import DsjsonEvent, LeftOut, read_event
from offer_optimizer.formats.feature_contexts import FeatureContexts
from offer_optimizer.formats.lines import BadLines, LineProblem, Progress, read_lines
from offer_optimizer.formats.visitors import nobody, visitor_numbers

BATCH_ROWS: Final = 2000
RewardOf = Literal["-cost", "cost"]


class DsjsonLog:
    """Implements core.log.Log.

    `visitor` names the context field that says whose a row is (`user.id`): it is then no feature. `reward` is
    "-cost", or "cost" where the label holds a gain. `leave_out` names features that are not to be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        visitor: str = "",
        reward: RewardOf = "-cost",
        leave_out: Collection[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self._path = path
        self._visitor = visitor
        self._sign = 1.0 if reward == "cost" else -1.0
        self._leave_out = frozenset(leave_out)
        self._progress = progress
        self._bad = BadLines()
        self._left_out: Counter[LeftOut] = Counter()
        self.vocabulary = Vocabulary()

    @property
    def name(self) -> str:
        """See Log."""
        return str(self._path)

    @property
    def has_visitors(self) -> bool:
        """See Log."""
        return bool(self._visitor)

    @property
    def bad_lines(self) -> Sequence[BadLine]:
        """See Log."""
        return self._bad.kept

    @property
    def bad_line_count(self) -> int:
        """See Log."""
        return self._bad.count

    @property
    def notes(self) -> Sequence[str]:
        """See Log."""
        return [f"{count:,} {kind}" for kind, count in sorted(self._left_out.items())]

    def batches(self) -> Iterator[LogRows]:
        """See Log."""
        bad, left_out = BadLines(), Counter[LeftOut]()
        events: list[DsjsonEvent] = []
        rows_before = 0
        for number, line in read_lines(self._path, bad, self._progress):
            try:
                event = read_event(line, self._visitor, self._leave_out)
            except LineProblem as problem:
                bad.note(number, str(problem))
                continue
            if isinstance(event, LeftOut):
                left_out[event] += 1
                continue
            events.append(event)
            if len(events) == BATCH_ROWS:
                yield self._rows(events, rows_before)
                rows_before += len(events)
                events = []
        if events:
            yield self._rows(events, rows_before)
        self._bad, self._left_out = bad, left_out

    def _rows(self, events: list[DsjsonEvent], rows_before: int) -> LogRows:
        offers, pmf = self._offers(events)
        visitor_ids = [event.visitor_id for event in events]
        weight = np.array([event.weight for event in events])
        return LogRows(
            visitor=visitor_numbers(visitor_ids, rows_before)
            if self._visitor
            else nobody(len(events), rows_before),
            time_us=np.array([event.time_us for event in events], dtype=np.int64),
            # Adding zero turns the -0.0 of a cost of 0 into 0.0.
            reward=np.array([self._sign * event.cost + 0.0 for event in events]),
            chosen=np.array([offers[row, event.chosen] for row, event in enumerate(events)], dtype=np.int64),
            propensity=np.array([event.probability for event in events]),
            offers=offers,
            contexts=FeatureContexts([event.context for event in events]),
            pmf=pmf,
            weight=weight if (weight > 1.0).any() else None,
            attributes=[event.attributes for event in events],
            decision_ids=[event.event_id for event in events],
            visitor_ids=visitor_ids if self._visitor else None,
        )

    def _offers(self, events: list[DsjsonEvent]) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
        width = max(len(event.offers) for event in events)
        offers = np.full((len(events), width), -1, dtype=np.int32)
        pmf = np.zeros((len(events), width), dtype=np.float32)
        number = self.vocabulary.number
        for row, event in enumerate(events):
            offers[row, : len(event.offers)] = [number(offer) for offer in event.offers]
            if event.pmf is not None:
                pmf[row, : len(event.offers)] = event.pmf
        has_pmf = all(event.pmf is not None for event in events)
        return offers, pmf if has_pmf else None
