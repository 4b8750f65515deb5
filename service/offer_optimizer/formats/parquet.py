"""Reading a Parquet log: rows that a policy drew, as columns, one row group at a time.

What always holds: the same rows in the same order at every reading, memory bounded by a row group. What
costs (contexts as Features, whole decisions) is made only where it is asked for. Knows no ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.history import History
from offer_optimizer.core.log import BadLine, Flags, Ints, LogRows, Vocabulary
from offer_optimizer.core.outcome import LEARNED, OPEN, LoggedDecision
from offer_optimizer.formats.history_file import LOG_SUFFIX
from offer_optimizer.formats.parquet_columns import (
    DecisionIds,
    Decisions,
    Outcomes,
    Records,
    dense_pmf,
    equals,
    floats,
    is_null,
    offer_numbers,
)
from offer_optimizer.formats.parquet_contexts import MAPS, ParquetAttributes, ParquetContexts
from offer_optimizer.formats.parquet_files import (
    Piece,
    Source,
    choose,
    day_order,
    find_history,
    has_values,
    open_file,
    pieces,
)
from offer_optimizer.formats.parquet_rows import from_table

RewardColumn = Literal["reward_final", "reward_learned"]
_READ: Final = [
    "position",
    "decision_id",
    "decide_time",
    "placement",
    "visitor",
    "catalog_revision",
    "reason",
    "consent",
    "imported",
    *MAPS,
    "eligible",
    "pmf",
    "chosen_position",
    "propensity",
    "inline",
    "close_status",
]


class ParquetLog:
    """One placement of a Parquet log. Implements core.log.Log.

    `batches` has the rows whose chosen offer a model's pmf drew, with full consent, and whose window closed
    with a reward; `rows` has everything. The reward is `reward_final` unless told otherwise.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[Source],
        placement_id: str | None = None,
        history: History | None = None,
        reward: RewardColumn = "reward_final",
    ) -> None:
        """Take files in their order. Raises InvalidInput naming the placements where one has to be chosen."""
        self._name = name
        self.history = history
        self._reward = reward
        self._placement_id, self._sources = choose(name, sources, placement_id)
        self._vocabulary = Vocabulary()
        self._left_out: Counter[str] = Counter()

    @classmethod
    def open(
        cls, path: Path, placement_id: str | None = None, reward: RewardColumn = "reward_final"
    ) -> ParquetLog:
        """Open a file, or a directory as `ledger export` and retention write it.

        The history is beside the file or above it. Raises NotFound, InvalidInput, DamagedFile.
        """
        if not path.exists():
            raise NotFound(f"{path}: does not exist")
        paths = [path] if path.is_file() else sorted(path.rglob(f"*{LOG_SUFFIX}"), key=day_order)
        if not paths:
            raise NotFound(f"{path}: has no {LOG_SUFFIX} file")
        sources = [Source(str(found), partial(str, found)) for found in paths]
        return cls(str(path), sources, placement_id, find_history(path), reward)

    @property
    def name(self) -> str:
        """See Log."""
        return self._name

    @property
    def placement_id(self) -> str:
        """The placement whose rows these are."""
        return self._placement_id

    @cached_property
    def has_visitors(self) -> bool:
        """See Log."""
        return any(
            has_values(file.metadata.row_group(group), "visitor")
            for file in map(open_file, self._sources)
            for group in range(file.metadata.num_row_groups)
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """See Log."""
        return self._vocabulary

    @property
    def bad_lines(self) -> Sequence[BadLine]:
        """See Log: a Parquet file is whole or not read at all."""
        return ()

    @property
    def bad_line_count(self) -> int:
        """See Log."""
        return 0

    @property
    def notes(self) -> Sequence[str]:
        """See Log."""
        return [f"{count} decisions left out: {why}" for why, count in self._left_out.items() if count]

    def batches(self) -> Iterator[LogRows]:
        """See Log. Raises DamagedFile."""
        self._left_out.clear()
        for piece in self._pieces([*_READ, self._reward]):
            keep = self._usable(piece.table)
            if keep.any():
                yield self._log_rows(piece, keep)

    def rows(self) -> Iterator[LoggedDecision]:
        """Yield every row of the placement whole, open windows and holdout included. Raises DamagedFile."""
        for piece in self._pieces(None):
            is_ours = equals(piece.table, "placement", self._placement_id)
            yield from from_table(piece.table.filter(pa.array(is_ours)))

    def _pieces(self, columns: list[str] | None) -> Iterator[Piece]:
        for source in self._sources:
            file = open_file(source)
            for group in range(file.metadata.num_row_groups):
                yield from pieces(source, file, group, columns)

    def _usable(self, table: pa.Table) -> Flags:
        """Return which rows evaluation may use, shape (n,); count the others by why."""
        is_ours = equals(table, "placement", self._placement_id)
        is_drawn = equals(table, "reason", "MODEL") & equals(table, "consent", "FULL")
        is_drawn &= ~is_null(table, "chosen_position")
        is_open = equals(table, "close_status", OPEN)
        has_reward = ~is_null(table, self._reward) & ~is_open
        for why, flags in (
            ("holdout, baseline, no full consent, or nothing eligible", ~is_drawn),
            ("their window is open", is_drawn & is_open),
            ("never shown, or their reward could not be made", is_drawn & ~is_open & ~has_reward),
        ):
            self._left_out[why] += int((is_ours & flags).sum())
        return is_ours & is_drawn & has_reward

    def _log_rows(self, piece: Piece, keep: Flags) -> LogRows:
        table = piece.table if keep.all() else piece.table.filter(pa.array(keep))
        offers = offer_numbers(table.column("eligible"), self._vocabulary)
        chosen = offers[np.arange(len(offers)), table.column("chosen_position").to_numpy()]
        is_learned = equals(table, "close_status", LEARNED)
        has_imported = table.column("imported").to_numpy().any()
        history, records = self.history, Records(piece, keep)
        return LogRows(
            visitor=self._visitors(table),
            time_us=table.column("decide_time").cast(pa.int64()).to_numpy(),
            reward=floats(table, self._reward),
            chosen=chosen.astype(np.int64),
            propensity=floats(table, "propensity"),
            offers=offers,
            contexts=ParquetContexts(table),
            # What another system drew may have a probability at the chosen offer alone.
            pmf=None if has_imported else dense_pmf(table.column("pmf"), offers.shape[1]),
            is_learned=None if is_learned.all() else is_learned,
            attributes=ParquetAttributes(table, offers, self._vocabulary.ids, history.catalogs)
            if history is not None
            else None,
            decision_ids=DecisionIds(table),
            decisions=Decisions(records),
            outcomes=Outcomes(records),
        )

    def _visitors(self, table: pa.Table) -> Ints:
        """Return visitor keys as they are now; a decision without one is a visitor of its own."""
        own = -table.column("position").to_numpy()
        keys = table.column("visitor").fill_null(0).to_numpy()
        visitors: Ints = np.where(is_null(table, "visitor"), own, keys)
        merged = self.history.merged if self.history else {}
        if merged:
            distinct, inverse = np.unique(visitors, return_inverse=True)
            visitors = np.array([merged.get(key, key) for key in distinct.tolist()], dtype=np.int64)[inverse]
        return visitors
