"""What another reward would change at a placement: history scored anew, and the policies that learn from it.

Both policies are trained on the older half of history, each by its own reward, and judged by the new reward
on the newer half: nobody is judged on what it learned from. One step: caps, budgets and the coming back of
visitors are as they were logged. Reads the ledger beside its writer; changes nothing.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from offer_optimizer.core.catalog import Placement
from offer_optimizer.core.control import Audit, Promotion
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Vocabulary
from offer_optimizer.evaluate.estimators import Estimate
from offer_optimizer.evaluate.judged_rows import JudgedRow, JudgedRows, Verdict
from offer_optimizer.learn.background import Background
from offer_optimizer.learn.base_snapshot import base_model
from offer_optimizer.learn.examples import ExampleMaker
from offer_optimizer.learn.lineage import END, START, Cursor, Lineage, Start
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.base_file import BaseFile
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import what_was_moved
from offer_optimizer.store.outcomes import merged_keys

ROW_LIMIT: Final = 200_000
"""Decisions of the newer half that estimates are from: the first ones."""
CHUNK_ROWS: Final = 2000
Progress = Callable[[str, int, int], None]
"""Hears what is done, how much of it, and how much there is."""
_DRAWN: Final = (CloseStatus.LEARNED, CloseStatus.FROZEN, CloseStatus.THINNED)
"""What a policy drew with full consent, learned or not: estimates leave nothing out."""


@dataclass(frozen=True, slots=True)
class RewardChange:
    """What would change. Means are over `scored_count` closed decisions that a policy drew.

    `changed_count` of them would earn something else, `clipped_count` had to be clipped to the new range, and
    `failed_count` beside them make no number by one of the formulas. The rest is of `judged_count` decisions
    of the newer half: `differ_share` is how often the two policies like another offer best; `served` is what
    was earned as it was served, by the new reward; `gain` is the new policy's value less the old one's, by
    DR.
    `model_sha256` is of the whole history's model, with `learned_count` examples, as a promotion makes it.
    `moved` says what of history was moved to the archive, and is not in it; empty where all is there.
    """

    placement_id: str
    scored_count: int
    failed_count: int
    changed_count: int
    clipped_count: int
    mean_old: float | None
    mean_new: float | None
    judged_count: int
    differ_share: float | None
    served: Estimate
    old_policy: Estimate
    old_policy_ips: Estimate
    new_policy: Estimate
    new_policy_ips: Estimate
    gain: Estimate
    learned_count: int
    model_sha256: str
    moved: str = ""


@dataclass
class _Scores:
    """All history, scored by both rewards; cursors tell where its halves meet."""

    old: array[float] = field(default_factory=lambda: array("d"))
    new: array[float] = field(default_factory=lambda: array("d"))
    times_us: array[int] = field(default_factory=lambda: array("q"))
    positions: array[int] = field(default_factory=lambda: array("q"))
    clipped_count: int = 0
    failed_count: int = 0

    def middle(self) -> Cursor:
        """Return the close cursor of the last decision of the older half."""
        at = len(self.times_us) // 2 - 1
        return (self.times_us[at], self.positions[at]) if at >= 0 else START


class RewardChangeStudy:
    """One study: what `new` would change at a placement that is `old` now."""

    def __init__(
        self,
        ledger: Ledger,
        old: Placement,
        new: Placement,
        progress: Progress,
        *,
        uses_final: bool = False,
        base: BaseFile | None = None,
    ) -> None:
        """Take what the study needs; `base` stands for what retention moved out of the ledger."""
        self._ledger = ledger
        self._base = base
        self._tables = FoldTables(ledger.connection)
        position, time_us = self._tables.state("position"), self._tables.state("time_us")
        background = Background.read(ledger, position)
        self._revisions = background.revisions
        self._progress = progress
        self._placement_id = old.id
        self._quarantines = background.steering.lineage(old.id, b"", position).quarantines
        self._maker = ExampleMaker(ledger, self._tables, self._revisions)
        self._trainer = Trainer(ledger, self._tables, self._revisions)
        self._merged = merged_keys(ledger)
        self._end = (time_us, END[1])
        self._old = self._start(old, position, uses_final=False)
        self._new = self._start(new, position, uses_final=uses_final)

    def _start(self, placement: Placement, position: int, *, uses_final: bool) -> Start:
        epoch = epoch_of(placement)
        nobody = Audit("", "", 0)
        promotion = Promotion(placement.id, epoch.id, epoch.description, *self._end, uses_final, nobody)
        return Start(position, promotion)

    def run(self) -> RewardChange:
        """Score, train, judge. Takes some 300 microseconds a decision and policy."""
        scores = self._score()
        old, new = self._model(self._old), self._model(self._new)
        try:
            for name, model in (("training the old policy", old), ("training the new policy", new)):
                self._train(name, model, scores.middle(), len(scores.times_us) // 2)
            vocabulary = Vocabulary()
            chunks = list(self._judge(old, new, scores, vocabulary))
            new = self._promoted(new)
            self._train("training on the newer half", new, self._end, len(scores.times_us))
            state = new.policy.save()
        finally:
            old.policy.close()
            new.policy.close()
        before, after = np.array(scores.old), np.array(scores.new)
        verdict = Verdict.of(chunks, len(vocabulary))
        moved = what_was_moved(self._ledger)
        return RewardChange(
            placement_id=self._placement_id,
            scored_count=len(after),
            failed_count=scores.failed_count,
            changed_count=int((before != after).sum()),
            clipped_count=scores.clipped_count,
            mean_old=float(before.mean()) if len(before) else None,
            mean_new=float(after.mean()) if len(after) else None,
            judged_count=verdict.row_count,
            differ_share=verdict.differ_count / verdict.row_count if verdict.row_count else None,
            served=verdict.served.estimate(),
            old_policy=verdict.old.estimate(),
            old_policy_ips=verdict.old_ips.estimate(),
            new_policy=verdict.new.estimate(),
            new_policy_ips=verdict.new_ips.estimate(),
            gain=verdict.gain(),
            learned_count=new.learned_count,
            model_sha256=hashlib.sha256(state).hexdigest(),
            moved="" if moved is None else moved.sentence(),
        )

    def _model(self, start: Start) -> Model:
        return initial_model(self._epoch(start), Lineage(start, (), self._quarantines))

    def _promoted(self, judged: Model) -> Model:
        """Return the model that a promotion goes on with: the base's own of the epoch, where there is one."""
        kept = base_model(self._base, self._epoch(self._new)) if self._base is not None else None
        if kept is None:
            return judged
        kept.lineage = judged.lineage
        judged.policy.close()
        return kept

    def _epoch(self, start: Start) -> Epoch:
        promotion = start.promotion
        return Epoch(
            self._placement_id, self._revisions.newest, promotion.policy_epoch, promotion.description
        )

    def _train(self, name: str, model: Model, up_to: Cursor, count: int) -> None:
        met = BATCH
        while met == BATCH:
            met = self._trainer.teach(model, up_to)
            self._progress(name, min(model.learned_count, count), count)

    def _drawn(self, after: Cursor) -> Iterator[tuple[ClosedDecision, Decision]]:
        """Yield closed decisions behind a cursor, without those in quarantine."""
        epochs = self._revisions.epochs_of(self._placement_id)
        lineage = Lineage(self._new, (), self._quarantines)
        while found := self._tables.history(self._placement_id, epochs, _DRAWN, after, self._end, CHUNK_ROWS):
            for closed in found:
                decision = self._maker.decision(closed)
                if not self._maker.is_left_out(closed, decision, lineage):
                    yield closed, decision
            after = (found[-1].close_time_us, found[-1].position)

    def _score(self) -> _Scores:
        scores = _Scores()
        rescorer = self._maker.rescorer
        for closed, decision in self._drawn(START):
            try:
                new = rescorer.earned(closed, decision, self._new)
                old = rescorer.earned(closed, decision, self._old)
            except InvalidInput:
                scores.failed_count += 1
                continue
            scores.old.append(old.reward)
            scores.new.append(new.reward)
            scores.times_us.append(closed.close_time_us)
            scores.positions.append(closed.position)
            scores.clipped_count += new.clipped
            if len(scores.new) % CHUNK_ROWS == 0:
                self._progress("scoring history", len(scores.new), 0)
        return scores

    def _judge(self, old: Model, new: Model, scores: _Scores, vocabulary: Vocabulary) -> Iterator[JudgedRows]:
        """Yield the newer half with what both policies would do there."""
        wanted = min(len(scores.new) - len(scores.new) // 2, ROW_LIMIT)
        count, judged = 0, list[JudgedRow]()
        for closed, decision in self._drawn(scores.middle()):
            if count == wanted:
                break
            row = self._judged_row(closed, decision, old, new)
            if row is None:
                continue
            judged.append(row)
            count += 1
            if len(judged) == CHUNK_ROWS:
                yield JudgedRows.of(judged, vocabulary)
                judged = []
                self._progress("judging both policies", count, wanted)
        if judged:
            yield JudgedRows.of(judged, vocabulary)

    def _judged_row(
        self, closed: ClosedDecision, decision: Decision, old: Model, new: Model
    ) -> JudgedRow | None:
        try:
            earned = self._maker.rescorer.earned(closed, decision, self._new)
        except InvalidInput:
            return None
        key = self._ledger.record_at(closed.position).visitor_key
        actions = self._revisions.eligible_actions(decision)
        return JudgedRow(
            visitor=-closed.position if key is None else self._merged.get(key, key),
            reward=earned.reward,
            decision=decision,
            offer_ids=tuple(action.id for action in actions),
            old_pmf=old.policy.pmf(decision.context, self._maker.actions(decision, self._old)),
            new_pmf=new.policy.pmf(decision.context, self._maker.actions(decision, self._new)),
        )
