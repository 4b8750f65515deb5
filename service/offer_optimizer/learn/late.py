"""Closed decisions that hear more: which feedback_ids they hold, and their final rewards.

What was learned never changes. The final reward is made from all that was applied or came late, less what
was taken back, and is made again at the TICK behind the item that changed it. What is kept in memory can be
derived again from the ledger and the fates.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn.close import chosen_numbers, reward_of
from offer_optimizer.learn.revisions import PlacementRules, Revisions
from offer_optimizer.store.fold_tables import COUNTED, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.open_tables import JoinedFeedback

REMEMBERED_IDS: Final = 50_000
"""Feedback_ids of closed decisions in memory, so that many items for one decision are not read each time."""


@dataclass(frozen=True, slots=True)
class ClosedHistory:
    """What judging late feedback of one decision needs; `ids` says which item holds a feedback_id."""

    rules: PlacementRules
    slot_count: int
    decide_time_us: int
    ids: dict[str, int]


class ClosedDecisions:
    """Reads closed decisions, and makes their final rewards."""

    def __init__(self, ledger: Ledger, tables: FoldTables, revisions: Revisions) -> None:
        self._ledger = ledger
        self._tables = tables
        self._revisions = revisions
        self._recent: OrderedDict[int, ClosedHistory] = OrderedDict()
        self._id_count = 0

    def at(self, position: int) -> ClosedHistory | None:
        """Return the history of a closed decision; None where its catalog revision is unknown.

        And where retention moved it out: only a rebuild that starts behind it asks for such a one.
        """
        found = self._recent.get(position)
        if found is not None:
            self._recent.move_to_end(position)
            return found
        if not self._ledger.has(position):
            return None
        decision = self._decision(position)
        rules = self._revisions.rules(decision.catalog_revision, decision.placement_id)
        if rules is None:
            return None
        ids: dict[str, int] = {}
        for item in self._evidence(position):
            ids.setdefault(item.feedback_id, item.position)
        found = ClosedHistory(rules, len(decision.slots), self._decide_time_us(position, decision), ids)
        self._recent[position] = found
        self._id_count += len(ids) + 1
        self._make_room()
        return found

    def note_late(self, position: int, feedback_id: str, item_position: int) -> None:
        """Note an item that came late: it holds its id, and the final reward is to be made again."""
        self._tables.note_moved(position)
        found = self._recent.get(position)
        if found is not None:
            found.ids[feedback_id] = item_position
            self._id_count += 1
            self._make_room()

    def remake_finals(self, position: int) -> int:
        """Make final rewards again where something came; return how many formulas failed.

        `position` is the TICK's. A formula that fails leaves the final reward as it was.
        """
        failed_count = 0
        moved = self._tables.moved()
        for decision_position in moved:
            try:
                self._remake(decision_position, position)
            except InvalidInput:
                failed_count += 1
        if moved:
            self._tables.forget_moved()
        return failed_count

    def _remake(self, decision_position: int, position: int) -> None:
        closed = self._tables.closed_at(decision_position)
        if closed is None or closed.status not in COUNTED:
            return
        decision = self._decision(decision_position)
        rules = self._revisions.rules(decision.catalog_revision, decision.placement_id)
        if rules is None:
            return
        earned = reward_of(
            self._evidence(decision_position),
            rules,
            self._decide_time_us(decision_position, decision),
            lambda: chosen_numbers(decision, self._revisions),
        )
        before = self._tables.final_at(decision_position)
        if earned.reward != (closed.reward if before is None else before):
            self._tables.set_final(decision_position, earned.reward, position)

    def _evidence(self, position: int) -> list[JoinedFeedback]:
        """Return what counts for the final reward, in ledger order."""
        found = []
        for item in self._tables.evidence_of(position):
            body = self._ledger.record_at(item.position).body()
            if isinstance(body, Feedback):
                time_us = body.receive_time_us if item.time_us is None else item.time_us
                found.append(joined(item.position, position, body, time_us))
        return found

    def _decision(self, position: int) -> Decision:
        body = self._ledger.record_at(position).body()
        if not isinstance(body, Decision):
            raise TypeError(f"record {position} is not a decision")
        return body

    def _decide_time_us(self, position: int, decision: Decision) -> int:
        shifted = self._tables.shifted_time(position)
        return decision.decide_time_us if shifted is None else shifted

    def _make_room(self) -> None:
        while self._id_count > REMEMBERED_IDS and len(self._recent) > 1:
            _, gone = self._recent.popitem(last=False)
            self._id_count -= len(gone.ids) + 1


def joined(
    position: int,
    decision_position: int,
    feedback: Feedback,
    time_us: int,
    *,
    visitor_key: int | None = None,
    placement_id: str = "",
    in_time: bool = True,
) -> JoinedFeedback:
    """Return an item as a part of a decision."""
    return JoinedFeedback(
        position,
        decision_position,
        feedback.feedback_id,
        visitor_key,
        placement_id,
        feedback.kind,
        feedback.value,
        time_us,
        in_time,
        feedback.retracts_feedback_id,
    )
