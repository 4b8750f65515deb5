"""Any log of decisions, in columns: what formats read, and what evaluation replays.

A row is one decision that was drawn from a pmf, with the reward it earned. A log is read in batches, as often
as wanted, always the same rows in the same order. Offers are numbers in the log's vocabulary, which grows
while the log is read. Knows no format, no policy and no estimator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.features import Features
from offer_optimizer.core.outcome import Outcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Column = Floats | Sequence[str]
"""One column of a context: numbers (NaN where a row has none), or texts (empty where a row has none)."""


class Vocabulary:
    """Offer ids as numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, offer_id: str) -> int:
        """Return the number of an offer, new at first sight."""
        found = self._numbers.get(offer_id)
        if found is None:
            found = self._numbers[offer_id] = len(self.ids)
            self.ids.append(offer_id)
        return found

    def find(self, offer_id: str) -> int | None:
        """Return the number of an offer, or None where it was not seen yet."""
        return self._numbers.get(offer_id)

    def __len__(self) -> int:
        return len(self.ids)


class Contexts(Protocol):
    """The contexts of a batch, made only where they are asked for."""

    def __len__(self) -> int: ...

    def features(self, row: int) -> Features:
        """Return the context of a row as features, for policies that learn."""
        ...

    def names(self) -> Sequence[str]:
        """Return the names of the columns, ascending."""
        ...

    def column(self, name: str) -> Column:
        """Return a column, n entries. Raises KeyError where no row has the name."""
        ...


@dataclass(frozen=True, eq=False)
class LogRows:
    """Some rows of a log. Arrays have shape (n,) where nothing else is said.

    `visitor` is a stable number of the visitor, negative and of its own where the log has none; `time_us` is
    0 where unknown; `chosen` and `offers` are numbers of the log's vocabulary, `offers` of shape (n, k) with
    the eligible in the logged order and -1 behind them; `propensity` in (0, 1] is the logged probability of
    the chosen offer; `pmf`, shape (n, k), is None in logs that keep only that. `weight` (at least 1) says
    for how many rows one stands where a log was thinned out with a known probability, None where for itself.
    `is_learned` is False in rows that no policy may learn, None where all may.
    `attributes` are those of the eligible offers by row, None where the log has none;
    `decisions` are the full records of logs that are ours and `outcomes` what came of them, None elsewhere.
    `visitor_ids` are the ids as the log has them, empty where a row has none; None in logs without, and in
    ours, which holds none.
    """

    visitor: Ints
    time_us: Ints
    reward: Floats
    chosen: Ints
    propensity: Floats
    offers: NDArray[np.int32]
    contexts: Contexts
    pmf: NDArray[np.float32] | None = None
    weight: Floats | None = None
    is_learned: Flags | None = None
    attributes: Sequence[tuple[Features, ...]] | None = None
    decision_ids: Sequence[str] | None = None
    decisions: Sequence[Decision] | None = None
    outcomes: Sequence[Outcome] | None = None
    visitor_ids: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be read: its number, counted from 1, and what was wrong."""

    number: int
    problem: str


class Log(Protocol):
    """A log that can be read from its start as often as wanted."""

    @property
    def name(self) -> str:
        """Where it is from, for people."""
        ...

    @property
    def has_visitors(self) -> bool:
        """Whether rows say whose they are; else every row is a visitor of its own."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The offers seen so far; complete once the batches were read to their end."""
        ...

    @property
    def bad_lines(self) -> Sequence[BadLine]:
        """The first bad lines of the last complete reading, for people."""
        ...

    @property
    def bad_line_count(self) -> int:
        """How many lines could not be read in the last complete reading."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the reader left out or read in part, as sentences: "12 slot events: not evaluated yet"."""
        ...

    def batches(self) -> Iterator[LogRows]:
        """Yield the rows from the first on, at most some ten thousand at a time."""
        ...
