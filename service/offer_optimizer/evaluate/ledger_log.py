"""Our ledger as a log: closed decisions of one placement and what they earned, newest first, in chunks.

Reads beside the writer, in short reads. Decision ids begin with their time, so a range of times is a range of
ids and nothing else is touched. Rewards are the final ones, whatever was learned; thinning, too, concerns
learning alone, and every row stands for itself here. Writes nothing; knows no estimator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.core.catalog import Catalog, OfferType
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.log import Vocabulary
from offer_optimizer.evaluate.clusters import Flags, Floats, Ints
from offer_optimizer.evaluate.rows import DecisionRows
from offer_optimizer.store.codec import RecordKind, StoredCatalog
from offer_optimizer.store.decision_codec import decode_decision
from offer_optimizer.store.fold_tables import COUNTED
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.outcomes import merged_keys
from offer_optimizer.store.record_check import whole

CHUNK_ROWS: Final = 2000
"""Decisions of one read: a reader that stays long keeps the writer's log from shrinking."""
Categories = tuple[tuple[str, str], ...]
"""Names and values of a context's categories."""
GLOBAL_SCOPE: Final = "*"
_OPEN: Final = 0

# CROSS JOIN keeps the order of the tables: the range of ids drives, all else is looked up.
_SELECT: Final = """
SELECT d.decision_id, c.status, COALESCE(f.reward, c.reward),
    d.position, r.kind, r.visitor_key, r.body, r.checksum
FROM decision_position AS d
CROSS JOIN record AS r ON r.position = d.position AND r.kind = ?
LEFT JOIN closed AS c ON c.position = d.position
LEFT JOIN final AS f ON f.position = d.position
LEFT JOIN open_decision AS o ON o.position = d.position
WHERE d.decision_id >= ? AND d.decision_id < ? AND COALESCE(c.placement_id, o.placement_id) = ?
ORDER BY d.decision_id DESC LIMIT ?
"""


@dataclass(frozen=True, eq=False)
class LogChunk:
    """Decisions of one placement. All arrays have shape (n,); `rows` holds those that estimators may use.

    `visitor` is the ledger's key, or a negative number of its own where there was no id. `is_counted`: its
    window has closed, it was active and its reward could be made; elsewhere `reward` is 0. `holdout_u` is NaN
    for visitors in neither arm; `holdout_share` is the share in force, `scope` whose it was. `categories`
    are those of the contexts of `rows`, in their order, empty where no model's pmf was logged apart.
    """

    visitor: Ints
    decide_time_us: Ints
    reward: Floats
    reason: Ints
    is_open: Flags
    is_counted: Flags
    is_interruption: Flags
    chosen: Ints
    holdout_u: Floats
    holdout_share: Floats
    scope: tuple[str, ...]
    rows: DecisionRows
    categories: tuple[Categories, ...]

    def __len__(self) -> int:
        return len(self.visitor)


@dataclass(frozen=True, slots=True)
class _Read:
    """One decision as it was read."""

    position: int
    visitor_key: int | None
    decision: Decision
    status: int
    reward: float

    @property
    def is_counted(self) -> bool:
        return self.status in COUNTED


class LedgerLog:
    """The decisions of one placement in [start_us, end_us), at most `row_limit` of them, the newest."""

    def __init__(self, ledger: Ledger, placement_id: str, start_us: int, end_us: int, row_limit: int) -> None:
        self._ledger = ledger
        self._placement_id = placement_id
        self._start_us = start_us
        self._end_us = end_us
        self._row_limit = row_limit
        self.vocabulary = Vocabulary()
        self.catalogs: dict[int, Catalog] = {}
        for record in ledger.rare_records(ledger.last_position()):
            body = record.body() if record.kind is RecordKind.CATALOG else None
            if isinstance(body, StoredCatalog):
                self.catalogs[body.revision] = Catalog.model_validate_json(body.canonical)
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        self._merged = merged_keys(ledger)
        self._numbers: dict[tuple[int, tuple[int, ...]], Ints] = {}
        self.is_cut = False
        """Whether there were more than `row_limit`: then the oldest are left out."""

    def chunks(self) -> Iterator[LogChunk]:
        """Yield chunks, newest decisions first."""
        low, high = _id_floor(self._start_us), _id_floor(self._end_us + 999)
        left = self._row_limit
        while True:
            found = self._ledger.connection.execute(
                _SELECT, (int(RecordKind.DECISION), low, high, self._placement_id, CHUNK_ROWS)
            ).fetchall()
            if not found:
                return
            high = found[-1][0]
            reads = [
                _Read(row[0], row[2], decode_decision(whole(*row)), status or _OPEN, reward or 0.0)
                for _, status, reward, *row in found
            ]
            reads = [read for read in reads if self._start_us <= read.decision.decide_time_us < self._end_us]
            self.is_cut = len(reads) > left
            if reads[:left]:
                yield self._chunk(reads[:left])
            left -= len(reads[:left])
            if self.is_cut:
                return

    def _chunk(self, reads: list[_Read]) -> LogChunk:
        usable = [read for read in reads if read.is_counted and read.decision.is_learnable()]
        holdouts = [self._holdout(read.decision) for read in reads]
        numbers = (read.decision.holdout_u for read in reads)
        return LogChunk(
            visitor=self._visitors(reads),
            decide_time_us=np.array([read.decision.decide_time_us for read in reads], dtype=np.int64),
            reward=np.array([read.reward if read.is_counted else 0.0 for read in reads]),
            reason=np.array([int(read.decision.reason) for read in reads], dtype=np.int64),
            is_open=np.array([read.status == _OPEN for read in reads], dtype=np.bool_),
            is_counted=np.array([read.is_counted for read in reads], dtype=np.bool_),
            is_interruption=np.array([self._interrupts(read.decision) for read in reads], dtype=np.bool_),
            chosen=np.array([self._chosen(read.decision) for read in reads], dtype=np.int64),
            holdout_u=np.array([np.nan if u is None else u for u in numbers], dtype=np.float64),
            holdout_share=np.array([share for _, share in holdouts], dtype=np.float64),
            scope=tuple(scope for scope, _ in holdouts),
            rows=self._rows(usable),
            categories=tuple(self._categories(read.decision) for read in usable),
        )

    def _rows(self, usable: list[_Read]) -> DecisionRows:
        decisions = [read.decision for read in usable]
        eligible = [self._eligible(decision) for decision in decisions]
        count, width = len(usable), max((len(offers) for offers in eligible), default=1)
        offers = np.full((count, width), -1, dtype=np.int32)
        pmf = np.zeros((count, width), dtype=np.float32)
        has_model = any(decision.model_pmf is not None for decision in decisions)
        model_pmf = np.full((count, width), np.nan, dtype=np.float32) if has_model else None
        for row, (decision, numbers) in enumerate(zip(decisions, eligible, strict=True)):
            offers[row, : len(numbers)] = numbers
            pmf[row, : len(numbers)] = decision.slots[0].pmf
            if model_pmf is not None and decision.model_pmf is not None:
                model_pmf[row, : len(numbers)] = decision.model_pmf
        return DecisionRows(
            visitor=self._visitors(usable),
            reward=np.array([read.reward for read in usable], dtype=np.float64),
            chosen=np.array(
                [numbers[d.slots[0].chosen] for d, numbers in zip(decisions, eligible, strict=True)],
                dtype=np.int64,
            ),
            propensity=np.array([decision.slots[0].propensity for decision in decisions], dtype=np.float64),
            offers=offers,
            pmf=pmf,
            floor=np.array([decision.floor for decision in decisions], dtype=np.float64),
            baseline=np.array(
                [
                    -1 if d.baseline is None else numbers[d.baseline]
                    for d, numbers in zip(decisions, eligible, strict=True)
                ],
                dtype=np.int64,
            ),
            model_pmf=model_pmf,
        )

    def _categories(self, decision: Decision) -> Categories:
        """Return the categories of a context that a shadow asks about; equal pairs are kept once."""
        if decision.model_pmf is None:
            return ()
        return tuple(self._pairs.setdefault(pair, pair) for pair in decision.context.categories)

    def _eligible(self, decision: Decision) -> Ints:
        """Return the eligible offers as numbers; kept by revision, for the same sets come again and again."""
        indices = decision.eligible()
        key = (decision.catalog_revision, indices)
        found = None if decision.inline else self._numbers.get(key)
        if found is None:
            ids = [self._offer_id(decision, index) for index in indices]
            found = np.array([self.vocabulary.number(offer_id) for offer_id in ids], dtype=np.int64)
            if not decision.inline:
                self._numbers[key] = found
        return found

    def _offer_id(self, decision: Decision, index: int) -> str:
        offers = self.catalogs[decision.catalog_revision].offers
        return offers[index].id if index < len(offers) else decision.inline[index - len(offers)].offer_id

    def _chosen(self, decision: Decision) -> int:
        return int(self._eligible(decision)[decision.slots[0].chosen]) if decision.slots else -1

    def _interrupts(self, decision: Decision) -> bool:
        """Return whether something was shown: an inline offer has no type and always is something."""
        if not decision.slots:
            return False
        index = decision.eligible()[decision.slots[0].chosen]
        offers = self.catalogs[decision.catalog_revision].offers
        return index >= len(offers) or offers[index].type is not OfferType.NOTHING

    def _visitors(self, reads: list[_Read]) -> Ints:
        """Return visitor keys; a decision without an id is a visitor of its own, with a negative number."""
        keys = [-read.position if read.visitor_key is None else read.visitor_key for read in reads]
        return np.array([self._merged.get(key, key) for key in keys], dtype=np.int64)

    def _holdout(self, decision: Decision) -> tuple[str, float]:
        """Return scope and share of the holdout under which a decision was made."""
        catalog = self.catalogs[decision.catalog_revision]
        own = catalog.placement_by_id[decision.placement_id].holdout
        return (GLOBAL_SCOPE, catalog.holdout) if own is None else (decision.placement_id, own)


def _id_floor(time_us: int) -> bytes:
    """Return the least decision id of a millisecond: UUIDv7 begins with 48 bits of it."""
    milliseconds = min(max(time_us // 1000, 0), 2**48 - 1)
    return milliseconds.to_bytes(6, "big") + bytes(10)
