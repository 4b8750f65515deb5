"""Rollups as a part of the fold: the same ledger gives the same rows. Counted in memory, written at a commit.

What always holds: nothing here reads a clock or changes what is learned, and what was forgotten (memory is
bounded, a process may die) is read from the ledger again, so no count depends on it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from offer_optimizer.core.decision import Decision, ExclusionReason, Reason, SlotChoice
from offer_optimizer.core.feedback import NOT_SHOWN, SHOWN, Fate, Feedback
from offer_optimizer.learn.revisions import Revisions
from offer_optimizer.store.fold_tables import COUNTED, ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_tables import OpenDecision
from offer_optimizer.store.rollup_tables import (
    DAY_HOURS,
    EVERYWHERE,
    HOUR_US,
    HOURLY_DAYS,
    MILLION,
    OTHER,
    Key,
    Measure,
    RollupTables,
    delay_bucket,
)

_PENDING_MOST: Final = 1000
"""Decisions that are looked at together: numpy costs as much for one as for many."""
_REMEMBERED_MOST: Final = 50_000
"""Open decisions whose offer is remembered; feedback on others reads the ledger."""
_WAS_SHOWN: Final = 1
_WAS_REWARDED: Final = 2
_NO_OFFER: Final = "\0"
Cell = dict[Key, int]


class Rollups:
    """Counts what is folded, by placement and hour."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._ledger = ledger
        self._fold_tables = tables
        self._revisions = revisions
        self._tables = RollupTables.create(tables.connection)
        self._daily_before = self._tables.daily_before()
        self._cells: defaultdict[tuple[str, int], Cell] = defaultdict(lambda: defaultdict(int))
        self._pending: list[tuple[str, int, Decision, str]] = []
        self._offers: dict[int, str] = {}
        self._heard: dict[int, int] = {}
        self._labels: dict[tuple[Fate, str], Key] = {}
        self._scales: dict[tuple[int, str], tuple[float, float, Key, Key]] = {}

    def decided(self, position: int, decision: Decision, decide_time_us: int) -> None:
        """Count a decision whose catalog revision is known, made at an effective time."""
        if len(self._offers) >= _REMEMBERED_MOST:
            self._offers.clear()
            self._heard.clear()
        offer = self._offers[position] = self._offer_of(decision)
        self._pending.append((decision.placement_id, decide_time_us // HOUR_US, decision, offer))
        if len(self._pending) >= _PENDING_MOST:
            self._count_pending()

    def fated(
        self,
        feedback: Feedback,
        fate: Fate,
        target: OpenDecision | None,
        decision_position: int | None,
        time_us: int,
    ) -> None:
        """Count an item of feedback by its fate, before it is joined; `time_us` is its effective time."""
        placement_id = target.placement_id if target else self._placement_of(feedback, decision_position)
        key = self._labels.get((fate, feedback.kind)) or self._label(fate, feedback.kind)
        self._cell(placement_id, time_us // HOUR_US)[key] += 1
        if fate is Fate.APPLIED and target is not None and not feedback.retracts_feedback_id:
            self._applied(feedback.kind, target, time_us)

    def closed(self, decision: OpenDecision, closed: ClosedDecision) -> None:
        """Count a decision whose window has closed."""
        self._offers.pop(decision.position, None)
        self._heard.pop(decision.position, None)
        cell = self._cell(decision.placement_id, decision.decide_time_us // HOUR_US)
        cell[_CLOSED[closed.status]] += 1
        if closed.status not in _EARNED:
            return
        scale = (decision.catalog_revision, decision.placement_id)
        low, span, key, square_key = self._scales.get(scale) or self._scale(*scale)
        share = (closed.reward - low) / span
        cell[key] += round(share * MILLION)
        cell[square_key] += round(share * share * MILLION)
        if closed.clipped:
            cell[_CLIPPED] += 1

    def ticked(self, time_us: int) -> None:
        """Let old hours become days, once a day of ledger time."""
        before = (time_us // (HOUR_US * DAY_HOURS) - HOURLY_DAYS) * DAY_HOURS
        if before > self._daily_before:
            self.save()
            self._tables.make_daily(before)
            self._daily_before = before

    def save(self) -> None:
        """Write what was counted; call it before the transaction commits."""
        self._count_pending()
        self._tables.add(self._cells)
        self._cells.clear()

    def _cell(self, placement_id: str, hour: int) -> Cell:
        return self._cells[placement_id, hour if hour >= self._daily_before else hour - hour % DAY_HOURS]

    def _applied(self, kind: str, target: OpenDecision, time_us: int) -> None:
        flag = _WAS_SHOWN if kind == SHOWN else _WAS_REWARDED
        if kind == NOT_SHOWN:
            return
        offer = self._offers.get(target.position)
        if offer is None:
            offer = self._recall(target.position)
        heard = self._heard.get(target.position, 0)
        if heard & flag:
            return
        self._heard[target.position] = heard | flag
        cell = self._cell(target.placement_id, target.decide_time_us // HOUR_US)
        if flag == _WAS_SHOWN:
            if offer != _NO_OFFER:
                cell[Measure.SHOWN, offer] += 1
            return
        cell[Measure.ARRIVAL, str(delay_bucket(max(time_us - target.decide_time_us, 0)))] += 1

    def _recall(self, position: int) -> str:
        """Read again what was forgotten of an open decision: its offer, and what came of it so far."""
        decision = self._ledger.record_at(position).body()
        offer = self._offer_of(decision) if isinstance(decision, Decision) else _NO_OFFER
        self._offers[position] = offer
        joined = self._fold_tables.joined(position)
        kinds = {item.kind for item in joined if item.in_time and not item.retracts}
        rewarded = _WAS_REWARDED if kinds - {SHOWN, NOT_SHOWN} else 0
        self._heard[position] = (_WAS_SHOWN if SHOWN in kinds else 0) | rewarded
        return offer

    def _offer_of(self, decision: Decision) -> str:
        """Return the id of the chosen offer; OTHER where the catalog does not know it."""
        if not decision.slots:
            return _NO_OFFER
        chosen = decision.slots[0].chosen
        index = decision.eligible()[chosen] if decision.excluded else decision.candidates[chosen]
        catalog = self._revisions.catalog(decision.catalog_revision)
        if index < len(catalog.offers):
            return catalog.offers[index].id
        offer_id = decision.inline[index - len(catalog.offers)].offer_id
        return offer_id if offer_id in catalog.offer_index else OTHER

    def _placement_of(self, feedback: Feedback, decision_position: int | None) -> str:
        """Return the placement of an item that was not applied; EVERYWHERE where the catalog has none."""
        placement_id = feedback.placement_id
        if decision_position is not None:
            tables = self._fold_tables
            found = tables.open_at(decision_position) or tables.closed_at(decision_position)
            placement_id = found.placement_id if found else EVERYWHERE
        newest = self._revisions.newest
        is_known = bool(newest) and placement_id in self._revisions.catalog(newest).placement_by_id
        return placement_id if is_known else EVERYWHERE

    def _scale(self, revision: int, placement_id: str) -> tuple[float, float, Key, Key]:
        """Return the least reward, the span, and the keys of their sums; known where one closed."""
        reward = self._revisions.catalog(revision).placement_by_id[placement_id].reward
        label = f"{reward.min} {reward.max}"
        keys: tuple[Key, Key] = (Measure.REWARD, label), (Measure.REWARD_SQUARE, label)
        found = self._scales[revision, placement_id] = (reward.min, reward.max - reward.min, *keys)
        return found

    def _label(self, fate: Fate, kind: str) -> Key:
        if kind not in self._revisions.kinds:
            return Measure.FEEDBACK, f"{fate.name} {OTHER}"
        key = self._labels[fate, kind] = (Measure.FEEDBACK, f"{fate.name} {kind}")
        return key

    def _count_pending(self) -> None:
        groups: defaultdict[tuple[str, int], list[tuple[Decision, str]]] = defaultdict(list)
        for placement_id, hour, decision, offer in self._pending:
            groups[placement_id, hour].append((decision, offer))
        self._pending.clear()
        for (placement_id, hour), decided in groups.items():
            _count_decisions(self._cell(placement_id, hour), decided)


def _count_decisions(cell: Cell, decided: Sequence[tuple[Decision, str]]) -> None:
    for reason, count in Counter(decision.reason for decision, _ in decided).items():
        cell[Measure.DECISION, reason.name] += count
    for offer, count in Counter(offer for _, offer in decided).items():
        if offer != _NO_OFFER:
            cell[Measure.OFFER, offer] += count
    unready = sum(_UNREADY in decision.exclusion_reasons for decision, _ in decided if decision.excluded)
    if unready:
        cell[Measure.UNREADY, ""] += unready
    drawn = [
        decision.slots[0]
        for decision, _ in decided
        if decision.reason is Reason.MODEL and decision.slots and len(decision.slots[0].pmf) > 1
    ]
    if drawn:
        _count_draws(cell, drawn)


def _count_draws(cell: Cell, drawn: Sequence[SlotChoice]) -> None:
    """Count how the model explored: exact in any grouping, for each term is rounded before it is added."""
    sizes = np.array([len(slot.pmf) for slot in drawn])
    starts = np.cumsum(sizes) - sizes
    flat = np.concatenate([slot.pmf for slot in drawn]).astype(np.float64)
    flat /= np.repeat(np.add.reduceat(flat, starts), sizes)
    most = np.maximum.reduceat(flat, starts)
    index = np.where(flat == np.repeat(most, sizes), np.arange(len(flat)), len(flat))
    likeliest = np.minimum.reduceat(index, starts) - starts
    chosen = np.array([slot.chosen for slot in drawn])
    nats = -flat * np.log(np.where(flat > 0.0, flat, 1.0))
    cell[Measure.DRAWN, ""] += len(drawn)
    cell[Measure.EXPLORED, ""] += int((chosen != likeliest).sum())
    cell[Measure.EXPLORE_MASS, ""] += int(np.rint((1.0 - most) * MILLION).sum())
    cell[Measure.ENTROPY, ""] += int(np.rint(nats * MILLION).sum())
    cell[Measure.ENTROPY_MOST, ""] += int(np.rint(np.log(sizes) * MILLION).sum())
    least = round(min(slot.propensity for slot in drawn) * 1000 * MILLION)
    cell[_LEAST] = min(cell.get(_LEAST, least), least)


_UNREADY: Final = int(ExclusionReason.COUNTERS_UNREADY)
_CLOSED: Final[dict[CloseStatus, Key]] = {status: (Measure.CLOSED, status.name) for status in CloseStatus}
_CLIPPED: Final[Key] = (Measure.CLIPPED, "")
_LEAST: Final[Key] = (Measure.PROPENSITY_LEAST, "")
_EARNED: Final = COUNTED
