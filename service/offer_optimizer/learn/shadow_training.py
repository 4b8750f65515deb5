"""A shadow policy meets closed decisions: each is judged by the model of before, then learned.

The lessons are those of all that closed at the placement, in closing order, scored by the shadow's own
reward: what a promotion would train a model with. So a shadow's model is the promoted one, byte for byte,
and live training, a restart and a rebuild are this one loop from another cursor. What closed by the record
that it began with is learned and not judged: who was chosen on a log is not judged on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from offer_optimizer.core.catalog import ShadowGate
from offer_optimizer.core.decision import Decision, Pmf64
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.learn.examples import ExampleMaker
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import END, Cursor, Lineage
from offer_optimizer.learn.shadow_records import Begun, is_kept
from offer_optimizer.learn.trainer import Model, initial_model, restore_model
from offer_optimizer.policy.contract import Action
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.shadow_file import ShadowState

SLICE: Final = 25
"""Lessons met at a time; between slices the clock is read."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One decision that closed: `pmf` is the shadow's own over `actions`, of before the reward was learned.

    `reward` is in the units of the reward formula; `weight` says for how many decisions it stands.
    """

    decision: Decision
    actions: tuple[Action, ...]
    visitor_key: int | None
    pmf: Pmf64
    reward: float
    weight: float


class Judge(Protocol):
    """Sums up what a shadow would have earned."""

    judged_count: int
    """Decisions judged so far."""

    def add(self, judged: Judged) -> None:
        """Judge the next decision."""
        ...

    def save(self) -> bytes:
        """Return the whole state, to the bit."""
        ...

    def passed(self, gate: ShadowGate, shadow_count: int) -> str:
        """Return the sentence that a gate is passed with, empty where it is not passed."""
        ...


MakeJudge = Callable[[bytes], Judge]
"""Makes a judge out of what it saved; empty for a new one."""


@dataclass
class Shadow:
    """A shadow's model and judge, both at the model's cursor. `met_count` are lessons since it was saved."""

    begun: Begun
    model: Model
    judge: Judge
    taken_position: int
    busy_us: int = 0
    met_count: int = 0
    saved_s: float = 0.0

    def state(self, fold: Fold) -> ShadowState:
        """Return it as a file keeps it. Raises PolicyFault."""
        record, model = self.begun.record, self.model
        return ShadowState(
            placement_id=record.placement_id,
            name=record.name,
            policy_epoch=record.policy_epoch,
            incumbent_epoch=record.incumbent_epoch,
            begun_position=self.begun.position,
            close_time_us=model.cursor[0],
            close_position=model.cursor[1],
            learned_count=model.learned_count,
            judged_count=self.judge.judged_count,
            taken_position=self.taken_position,
            ledger_position=fold.position,
            ledger_time_us=fold.time_us,
            share=self.begun.share,
            busy_us=self.busy_us,
            sums=self.judge.save(),
            model=model.policy.save(),
        )


class ShadowTrainer:
    """Begins, restores and teaches shadows."""

    def __init__(self, ledger: Ledger, tables: FoldTables, fold: Fold, make_judge: MakeJudge) -> None:
        self._ledger = ledger
        self._tables = tables
        self._fold = fold
        self._make_judge = make_judge
        self._examples = ExampleMaker(ledger, tables, fold.revisions)

    def lineage(self, begun: Begun, trained_to: int | None = None) -> Lineage:
        """Return what a shadow learns now, or with what takes lessons away up to a position alone."""
        record = begun.record
        taken = self._fold.steering.lineage(record.placement_id, b"", self._fold.position, trained_to)
        return Lineage(begun.start, (), taken.quarantines, taken.position)

    def first(self, begun: Begun, trained_to: int | None = None) -> Shadow:
        """Return a shadow that has met nothing."""
        lineage = self.lineage(begun, trained_to)
        model = initial_model(_epoch(begun), lineage)
        return Shadow(begun, model, self._make_judge(b""), self._taken(lineage))

    def restored(self, begun: Begun, state: ShadowState) -> Shadow | None:
        """Return a shadow as it was saved; None where the ledger asks for another one by now."""
        lineage = self.lineage(begun)
        known = self.lineage(begun, state.taken_position)
        cursor = (state.close_time_us, state.close_position)
        is_other = (
            state.begun_position != begun.position
            or state.ledger_position > self._fold.position
            or state.taken_position < self._fold.shadows.erased_position
            or not known.agrees(lineage, cursor)
        )
        if is_other:
            return None
        try:
            model = restore_model(_epoch(begun), state.model, cursor, state.learned_count, lineage)
            judge = self._make_judge(state.sums)
        except (OfferOptimizerError, ValueError, KeyError):
            return None
        return Shadow(begun, model, judge, self._taken(lineage), state.busy_us)

    def follow(self, shadow: Shadow) -> Shadow:
        """Return a shadow that leaves out what is taken away by now: itself, or one that begins anew."""
        lineage = self.lineage(shadow.begun)
        taken = self._taken(lineage)
        if taken == shadow.taken_position:
            return shadow
        erased = shadow.taken_position < self._fold.shadows.erased_position
        if not erased and shadow.model.lineage.agrees(lineage, shadow.model.cursor):
            shadow.model.lineage, shadow.taken_position = lineage, taken
            return shadow
        shadow.model.policy.close()
        return self.first(shadow.begun)

    def teach(self, shadow: Shadow, up_to: Cursor = END, limit: int = SLICE) -> int:
        """Let a shadow meet the next lessons, at most `limit`; return how many. Raises PolicyFault."""
        record, model = shadow.begun.record, shadow.model
        epochs = self._fold.revisions.epochs_of(record.placement_id)
        statuses = (CloseStatus.LEARNED,)
        lessons = self._tables.history(record.placement_id, epochs, statuses, model.cursor, up_to, limit)
        for closed in lessons:
            self._meet(shadow, closed)
            model.cursor = (closed.close_time_us, closed.position)
        shadow.met_count += len(lessons)
        return len(lessons)

    def waits(self, shadow: Shadow) -> int | None:
        """Return when the next lesson closed, in microseconds; None where none waits."""
        record, cursor = shadow.begun.record, shadow.model.cursor
        epochs = self._fold.revisions.epochs_of(record.placement_id)
        found = self._tables.history(record.placement_id, epochs, (CloseStatus.LEARNED,), cursor, END, 1)
        return found[0].close_time_us if found else None

    def _meet(self, shadow: Shadow, closed: ClosedDecision) -> None:
        begun, model = shadow.begun, shadow.model
        share = begun.share_at(closed.close_time_us)
        if share < 1.0 and not is_kept(closed.position, share):
            return
        found = self._ledger.record_at(closed.position)
        decision = found.body()
        assert isinstance(decision, Decision)
        example = self._examples.example_of(closed, decision, model.lineage)
        if example is None:
            return
        if share < 1.0:
            example = replace(example, weight=example.weight / share)
        if (
            closed.close_time_us > begun.record.time_us
            and closed.policy_epoch == begun.record.incumbent_epoch
        ):
            reward = self._examples.rescorer.reward(begun.start)
            shadow.judge.add(
                Judged(
                    decision,
                    example.actions,
                    found.visitor_key,
                    model.policy.pmf(example.context, example.actions),
                    reward.min + example.reward * (reward.max - reward.min),
                    example.weight,
                )
            )
        model.policy.learn(example)
        model.learned_count += 1

    def _taken(self, lineage: Lineage) -> int:
        return max(lineage.position, self._fold.shadows.erased_position)


def _epoch(begun: Begun) -> Epoch:
    record = begun.record
    return Epoch(record.placement_id, 0, record.policy_epoch, record.description)
