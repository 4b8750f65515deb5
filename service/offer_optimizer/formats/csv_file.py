"""A CSV file of any randomised test as a log: a row is a decision, its offers are the actions of the file.

What always holds: what a column is, is decided over the whole file: a context column in which every value
that is not missing is a finite number is numbers, any other is texts. What is no number may be missing as an
empty text only. No column becomes context that was not named, or taken by `*` and told in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from offer_optimizer.core import limits
from offer_optimizer.core.errors import DamagedFile, InvalidInput
from offer_optimizer.core.features import Features
from offer_optimizer.core.log import BadLine, Ints, LogRows, Vocabulary
from offer_optimizer.formats.csv_values import (
    EVERYTHING,
    BatchValues,
    CsvColumns,
    parse_propensity,
    read_values,
)
from offer_optimizer.formats.lines import BadLines, Progress
from offer_optimizer.formats.table import Block, as_numbers, check_columns, read_blocks, read_header
from offer_optimizer.formats.table_contexts import TableContexts
from offer_optimizer.formats.visitors import nobody, visitor_numbers

BATCH_ROWS: Final = 16_384
_OTHER_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass
class _Scan:
    """What a first reading of the whole file tells."""

    numeric: dict[str, bool] = field(default_factory=dict)
    actions: dict[str, None] = field(default_factory=dict)


class CsvLog:
    """Implements core.log.Log.

    `offers` are those that every row could have shown, with their attributes; None: the actions of the file.
    """

    def __init__(
        self,
        path: Path,
        columns: CsvColumns,
        *,
        delimiter: str = ",",
        offers: dict[str, Features] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Read the header. Raises NotFound, DamagedFile, InvalidInput about a column that is not there."""
        self._path = path
        self._columns = columns
        self._delimiter = delimiter
        self._offers = offers
        self._progress = progress
        header = read_header(path, delimiter)
        other = next((sign for sign in _OTHER_DELIMITERS if len(header) == 1 and sign in header[0]), "")
        if other:
            problem = f"has one column by {delimiter!r}, and {other!r} in its header: name it as delimiter"
            raise InvalidInput(str(path), problem)
        self._propensity = parse_propensity(columns.propensity, header)
        self._context = self._context_names(header)
        named = [columns.action, columns.reward, self._propensity.column, columns.visitor, columns.time]
        self._names = list(dict.fromkeys([name for name in named if name] + self._context))
        check_columns(path, header, self._names)
        self._scanned: _Scan | None = None
        self._bad = BadLines()
        self.vocabulary = Vocabulary()

    @property
    def name(self) -> str:
        """See Log."""
        return str(self._path)

    @property
    def has_visitors(self) -> bool:
        """See Log."""
        return bool(self._columns.visitor)

    @property
    def bad_lines(self) -> Sequence[BadLine]:
        """See Log."""
        return sorted(self._bad.kept, key=lambda line: line.number)

    @property
    def bad_line_count(self) -> int:
        """See Log."""
        return self._bad.count

    @property
    def notes(self) -> Sequence[str]:
        """See Log."""
        if self._columns.context != EVERYTHING:
            return []
        return [f"context is every column without another use: {', '.join(self._context)}"]

    def with_reward(self, reward: str) -> CsvLog:
        """Return the log with another column as its reward; this one does not become context by that.

        Raises InvalidInput about a column that is not there.
        """
        columns = self._columns
        left_out = (*columns.leave_out, columns.reward)
        return CsvLog(
            self._path,
            replace(columns, reward=reward, leave_out=left_out),
            delimiter=self._delimiter,
            offers=self._offers,
            progress=self._progress,
        )

    def batches(self) -> Iterator[LogRows]:
        """See Log. Raises InvalidInput where the file has more actions than a decision may have offers."""
        scan = self._scan()
        bad = BadLines()
        rows_before = 0
        for block in read_blocks(self._path, self._names, self._delimiter, bad, self._progress):
            values = read_values(block, self._columns, self._propensity, self.vocabulary.ids, bad)
            for start in range(0, len(values.rows), BATCH_ROWS):
                rows = values.rows[start : start + BATCH_ROWS]
                yield self._rows(block, values, rows, scan, rows_before)
                rows_before += len(rows)
        self._bad = bad

    def _context_names(self, header: list[str]) -> list[str]:
        columns = self._columns
        if columns.context != EVERYTHING:
            return list(columns.context)
        check_columns(self._path, header, columns.leave_out)
        used = {columns.action, columns.reward, self._propensity.column, columns.visitor, columns.time, ""}
        return [name for name in header if name not in used and name not in columns.leave_out]

    def _scan(self) -> _Scan:
        """Read the whole file once: which columns are numbers, which actions there are."""
        if self._scanned is not None:
            return self._scanned
        scan = _Scan({name: name not in self._columns.as_text for name in self._context})
        for block in read_blocks(self._path, self._names, self._delimiter, BadLines()):
            actions = pc.utf8_trim_whitespace(block.columns[self._columns.action])
            scan.actions.update(dict.fromkeys(action for action in pc.unique(actions).to_pylist() if action))
            for name in self._context:
                if scan.numeric[name]:
                    scan.numeric[name] = self._is_numeric(name, block)
        offers = list(scan.actions) if self._offers is None else list(self._offers)
        if not 0 < len(offers) <= limits.OFFERS:
            what = f"has {len(offers):,} different values, at least 1 and at most {limits.OFFERS:,}"
            raise InvalidInput(f"{self._path}: column {self._columns.action!r}", what)
        for offer in offers:
            self.vocabulary.number(offer)
        self._scanned = scan
        return scan

    def _is_numeric(self, name: str, block: Block) -> bool:
        numbers = as_numbers(block.columns[name])
        if numbers is None:
            return False
        largest = pc.max(pc.abs(numbers)).as_py() or 0.0
        if largest > limits.NUMBER_MAGNITUDE:
            limit = f"numbers go up to {limits.NUMBER_MAGNITUDE:g}"
            problem = f"holds {largest:g}, {limit}: read it as text, or leave it out"
            raise InvalidInput(f"{self._path}: column {name!r}", problem)
        return True

    def _rows(self, block: Block, values: BatchValues, rows: Ints, scan: _Scan, rows_before: int) -> LogRows:
        offers = np.arange(len(self.vocabulary), dtype=np.int32)
        chosen = np.array([self.vocabulary.number(action) for action in values.take(values.action, rows)])
        propensity = values.propensity[rows]
        ids = values.take(values.visitor, rows) if values.visitor is not None else None
        attributes = None if self._offers is None else tuple(self._offers.values())
        is_uniform = np.allclose(propensity * len(offers), 1.0, rtol=0.0, atol=1e-9)
        return LogRows(
            visitor=nobody(len(rows), rows_before) if ids is None else visitor_numbers(ids, rows_before),
            time_us=values.time_us[rows],
            reward=values.reward[rows],
            chosen=chosen.astype(np.int64),
            propensity=propensity,
            offers=np.broadcast_to(offers, (len(rows), len(offers))),
            contexts=self._contexts(block, rows, scan),
            pmf=np.full((len(rows), len(offers)), 1.0 / len(offers), np.float32) if is_uniform else None,
            attributes=None if attributes is None else [attributes] * len(rows),
            visitor_ids=ids,
        )

    def _contexts(self, block: Block, rows: Ints, scan: _Scan) -> TableContexts:
        numbers, texts = {}, {}
        picked = pa.array(rows)
        for name in self._context:
            column = block.columns[name].take(picked)
            if scan.numeric[name]:
                values = as_numbers(column)
                if values is None:
                    raise DamagedFile(str(self._path), f"column {name!r} has changed since it was first read")
                numbers[name] = values.fill_null(np.nan).to_numpy(zero_copy_only=False)
            else:
                texts[name] = column.to_pylist()
        return TableContexts(len(rows), numbers, texts)
