"""Our ledger as a log for replay and export: what one placement learned from, in the order it did.

Rows are closed decisions that a policy drew with full consent, by (close time, position), up to the ledger
time at which the log was opened: what is closed by then is closed for ever, so every reading gives the same
rows. Their final rewards may still change by late feedback, unless the learned ones are asked for: then what
was thinned out of learning is left out too, and others have its weight. Holdout and pure answers are not
among them. With imported decisions among the rows there is no pmf: theirs may be known at the chosen offer
alone. Reads beside the writer, in short reads; writes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, overload

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.features import Features
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.core.log import BadLine, LogRows, Vocabulary
from offer_optimizer.core.outcome import Outcome
from offer_optimizer.formats.feature_contexts import FeatureContexts
from offer_optimizer.formats.lines import Progress
from offer_optimizer.store.codec import Epoch, StoredCatalog
from offer_optimizer.store.fold_tables import COUNTED, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.outcomes import merged_keys, outcomes_at

BATCH_ROWS: Final = 2000
FOREVER_US: Final = 2**62
_LATENESS_MOST_US: Final = 4 * limits.WINDOW_MAX_S * 1_000_000
"""Closes are looked for so long behind the end of a range of decide times: windows and graces end by then."""

RewardKind = Literal["reward_final", "reward_learned"]
_STATUSES: Final[dict[RewardKind, tuple[CloseStatus, ...]]] = {
    "reward_final": tuple(sorted(COUNTED - {CloseStatus.NOT_LEARNABLE})),
    "reward_learned": (CloseStatus.LEARNED,),
}
_MAY_BE_LEARNED: Final = (CloseStatus.LEARNED, CloseStatus.THINNED)
_SELECT: Final = """
SELECT c.status, c.close_time_us, c.position, c.reward, c.weight, f.reward
FROM closed AS c LEFT JOIN final AS f ON f.position = c.position
WHERE c.placement_id = ? AND c.policy_epoch = ? AND c.status = ?
AND (c.close_time_us, c.position) > (?, ?) AND c.close_time_us <= ?
ORDER BY c.close_time_us, c.position LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class _Closed:
    """A closed decision; `final` is None where it is the reward that was learned."""

    status: int
    close_time_us: int
    position: int
    learned: float
    weight: float
    final: float | None


@dataclass(frozen=True, slots=True)
class _Row:
    position: int
    visitor_key: int | None
    decision: Decision
    reward: float
    weight: float
    is_learned: bool


class _Outcomes(Sequence[Outcome]):
    """What came of the decisions of a batch, read when the first is asked for."""

    def __init__(self, ledger: Ledger, positions: list[int]) -> None:
        self._ledger = ledger
        self._positions = positions

    @cached_property
    def _found(self) -> list[Outcome]:
        return outcomes_at(self._ledger, self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | Sequence[Outcome]:
        return self._found[index]


class LedgerRowsLog:
    """Implements core.log.Log over the decisions of one placement made in [start_us, end_us)."""

    def __init__(
        self,
        ledger: Ledger,
        placement_id: str,
        start_us: int = 0,
        end_us: int = FOREVER_US,
        *,
        reward: RewardKind = "reward_final",
        progress: Progress | None = None,
    ) -> None:
        """Read catalogs and epochs. Raises NotFound for a placement that no catalog revision has."""
        self._ledger = ledger
        self._reward = reward
        self._placement_id = placement_id
        self._range_us = (start_us, end_us)
        self._progress = progress
        self._last_us = FoldTables(ledger.connection).state("time_us")
        self.catalogs: dict[int, Catalog] = {}
        self._epochs: list[bytes] = []
        self._read_rare()
        self._merged = merged_keys(ledger)
        self._missing_count = 0
        self._has_imported = False
        self.vocabulary = Vocabulary()

    @property
    def name(self) -> str:
        """See Log."""
        return f"placement {self._placement_id}"

    @property
    def placement_id(self) -> str:
        """The placement whose decisions these are."""
        return self._placement_id

    @property
    def has_visitors(self) -> bool:
        """See Log."""
        return True

    @property
    def bad_lines(self) -> Sequence[BadLine]:
        """See Log: a ledger has none."""
        return ()

    @property
    def bad_line_count(self) -> int:
        """See Log."""
        return 0

    @property
    def notes(self) -> Sequence[str]:
        """See Log."""
        if not self._missing_count:
            return []
        return [f"{self._missing_count:,} decisions are no longer in the ledger: read their archive too"]

    def batches(self) -> Iterator[LogRows]:
        """See Log. The learner's progress is told as microseconds of ledger time."""
        missing_count = 0
        self._has_imported = False
        rows: list[_Row] = []
        for closed in self._closed():
            row = self._row(closed)
            missing_count += row is None
            if row is not None and self._range_us[0] <= row.decision.decide_time_us < self._range_us[1]:
                rows.append(row)
            if len(rows) == BATCH_ROWS:
                yield self._rows(rows)
                rows = []
                if self._progress is not None:
                    self._progress(closed.close_time_us, self._last_us)
        if rows:
            yield self._rows(rows)
        self._missing_count = missing_count

    def reward_range(self, decision: Decision) -> tuple[float, float]:
        """Return least and largest reward of a decision's placement under its catalog revision."""
        reward = self.catalogs[decision.catalog_revision].placement_by_id[decision.placement_id].reward
        return reward.min, reward.max

    def _read_rare(self) -> None:
        for record in self._ledger.rare_records(self._ledger.last_position()):
            match record.body():
                case StoredCatalog() as stored:
                    self.catalogs[stored.revision] = Catalog.model_validate_json(stored.canonical)
                case Epoch() as epoch if epoch.placement_id == self._placement_id:
                    if epoch.policy_epoch not in self._epochs:
                        self._epochs.append(epoch.policy_epoch)
                case _:
                    pass
        known = sorted({name for catalog in self.catalogs.values() for name in catalog.placement_by_id})
        if self._placement_id not in known:
            listed = ", ".join(known) or "none"
            raise NotFound(f"placement {self._placement_id!r} is not in the ledger; there are: {listed}")

    def _closed(self) -> Iterator[_Closed]:
        streams = [
            self._closed_of(epoch, status) for epoch in self._epochs for status in _STATUSES[self._reward]
        ]
        return heapq.merge(*streams, key=lambda closed: (closed.close_time_us, closed.position))

    def _closed_of(self, epoch: bytes, status: CloseStatus) -> Iterator[_Closed]:
        cursor = (max(self._range_us[0] - 1, 0), 0)
        last_us = min(self._last_us, self._range_us[1] + _LATENESS_MOST_US)
        while True:
            found = self._ledger.connection.execute(
                _SELECT, (self._placement_id, epoch, int(status), *cursor, last_us, BATCH_ROWS)
            ).fetchall()
            yield from (_Closed(*row) for row in found)
            if len(found) < BATCH_ROWS:
                return
            cursor = (found[-1][1], found[-1][2])

    def _row(self, closed: _Closed) -> _Row | None:
        try:
            record = self._ledger.record_at(closed.position)
        except KeyError:
            return None
        body = record.body()
        if not isinstance(body, Decision) or not body.is_learnable():
            return None
        key = record.visitor_key
        is_learned = self._reward == "reward_learned"
        return _Row(
            closed.position,
            None if key is None else self._merged.get(key, key),
            body,
            closed.learned if is_learned or closed.final is None else closed.final,
            closed.weight if is_learned else 1.0,
            closed.status in _MAY_BE_LEARNED,
        )

    def _rows(self, rows: list[_Row]) -> LogRows:
        decisions = [row.decision for row in rows]
        # History is older than what we decided ourselves: from the first row on, or not at all.
        self._has_imported |= any(decision.imported for decision in decisions)
        offers, pmf, attributes = self._offers(decisions)
        weight = np.array([row.weight for row in rows])
        is_learned = np.array([row.is_learned for row in rows], dtype=np.bool_)
        return LogRows(
            visitor=np.array(
                [-row.position if row.visitor_key is None else row.visitor_key for row in rows],
                dtype=np.int64,
            ),
            time_us=np.array([decision.decide_time_us for decision in decisions], dtype=np.int64),
            reward=np.array([row.reward for row in rows]),
            chosen=np.array(
                [offers[at, decision.slots[0].chosen] for at, decision in enumerate(decisions)],
                dtype=np.int64,
            ),
            propensity=np.array([decision.slots[0].propensity for decision in decisions]),
            offers=offers,
            contexts=FeatureContexts([decision.context for decision in decisions]),
            pmf=None if self._has_imported else pmf,
            weight=weight if (weight > 1.0).any() else None,
            is_learned=None if is_learned.all() else is_learned,
            attributes=attributes,
            decision_ids=[format_decision_id(decision.decision_id) for decision in decisions],
            decisions=decisions,
            outcomes=_Outcomes(self._ledger, [row.position for row in rows]),
        )

    def _offers(
        self, decisions: list[Decision]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], list[tuple[Features, ...]]]:
        width = max(len(decision.slots[0].pmf) for decision in decisions)
        offers = np.full((len(decisions), width), -1, dtype=np.int32)
        pmf = np.zeros((len(decisions), width), dtype=np.float32)
        attributes = []
        for at, decision in enumerate(decisions):
            eligible = [self._offer(decision, index) for index in decision.eligible()]
            offers[at, : len(eligible)] = [self.vocabulary.number(offer_id) for offer_id, _ in eligible]
            pmf[at, : len(eligible)] = decision.slots[0].pmf
            attributes.append(tuple(features for _, features in eligible))
        return offers, pmf, attributes

    def _offer(self, decision: Decision, index: int) -> tuple[str, Features]:
        offers = self.catalogs[decision.catalog_revision].offers
        if index < len(offers):
            return offers[index].id, offers[index].attributes
        inline = decision.inline[index - len(offers)]
        return inline.offer_id, inline.attributes
