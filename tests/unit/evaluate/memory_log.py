"""A log in memory for tests: arrays, read again as often as wanted, in batches of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.core.log import BadLine, Column, Contexts, LogRows, Vocabulary


class TableContexts:
    """Contexts given as columns."""

    def __init__(self, columns: Mapping[str, Column], count: int) -> None:
        self._columns = columns
        self._count = count

    def __len__(self) -> int:
        return self._count

    def features(self, row: int) -> Features:
        """See Contexts."""
        values = {name: column[row] for name, column in self._columns.items()}
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        numbers = {name: float(value) for name, value in values.items() if not isinstance(value, str)}
        return build_features(texts, numbers, {}, where="context", limit=200)

    def names(self) -> Sequence[str]:
        """See Contexts."""
        return sorted(self._columns)

    def column(self, name: str) -> Column:
        """See Contexts."""
        return self._columns[name]


@dataclass
class MemoryLog:
    """Implements core.log.Log over rows that are given."""

    rows: LogRows
    vocabulary: Vocabulary
    batch_rows: int = 1000
    name: str = "memory"
    has_visitors: bool = True
    bad_lines: Sequence[BadLine] = ()
    bad_line_count: int = 0
    notes: Sequence[str] = ()
    catalogs: Mapping[int, Catalog] = field(default_factory=dict)
    readings: int = 0

    def batches(self) -> Iterator[LogRows]:
        """See Log."""
        self.readings += 1
        for start in range(0, len(self.rows), self.batch_rows):
            yield cut(self.rows, start, min(start + self.batch_rows, len(self.rows)))


class _Some:
    """Contexts from a row on."""

    def __init__(self, whole: Contexts, start: int, end: int) -> None:
        self._whole, self._start, self._end = whole, start, end

    def __len__(self) -> int:
        return self._end - self._start

    def features(self, row: int) -> Features:
        """See Contexts."""
        return self._whole.features(self._start + row)

    def names(self) -> Sequence[str]:
        """See Contexts."""
        return self._whole.names()

    def column(self, name: str) -> Column:
        """See Contexts."""
        return self._whole.column(name)[self._start : self._end]


def cut(rows: LogRows, start: int, end: int) -> LogRows:
    """Return the rows in [start, end)."""
    columns = {
        name: getattr(rows, name)[start:end]
        for name in rows.__dataclass_fields__
        if name != "contexts" and getattr(rows, name) is not None
    }
    return replace(rows, **columns, contexts=_Some(rows.contexts, start, end))


def make_log(
    chance: np.random.Generator,
    count: int = 4000,
    offer_ids: Sequence[str] = ("a", "b", "c"),
    visitors: int = 1000,
) -> MemoryLog:
    """Return a log of uniform choices: `a` earns by number x, `b` by device, `c` hardly ever."""
    vocabulary = Vocabulary()
    numbers = [vocabulary.number(offer_id) for offer_id in offer_ids]
    x = chance.integers(0, 10, count).astype(np.float64)
    device = np.where(chance.random(count) < 0.5, "phone", "desk").tolist()
    chosen = chance.integers(0, len(numbers), count)
    is_phone = np.array([name == "phone" for name in device])
    mean = np.choose(np.minimum(chosen, 2), [x / 12.0, np.where(is_phone, 0.6, 0.1), np.full(count, 0.05)])
    rows = LogRows(
        visitor=chance.integers(0, visitors, count),
        time_us=np.arange(count) * 1_000_000,
        reward=(chance.random(count) < mean).astype(np.float64),
        chosen=chosen.astype(np.int64),
        propensity=np.full(count, 1.0 / len(numbers)),
        offers=np.broadcast_to(np.array(numbers, dtype=np.int32), (count, len(numbers))),
        contexts=TableContexts({"x": x, "device": device, "a name": x}, count),
    )
    return MemoryLog(rows, vocabulary)
