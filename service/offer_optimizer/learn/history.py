"""History of another system, as records of our ledger: decisions marked as imported, and what they earned.

What always holds: records are folded by the fold of live learning, so that models learn them as they learn
everything; a reward that the placement's own formula does not make again is an error, never something else. A
pmf that the log kept only at the chosen offer is spread evenly over the others, which is why an imported
decision's draw is never judged. Reads no clock: the time of the import is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Catalog, OfferType, Placement
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    ExclusionReason,
    ModelVersion,
    Pmf32,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import ENTROPY_BYTES, make_decision_id
from offer_optimizer.core.log import BadLine, Log, LogRows
from offer_optimizer.learn.fold import Fold
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, RecordKind, Salt, StoredCatalog, Tick, encode_feedback
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction

SOURCE: Final = "import"
"""The source of imported feedback: a whole import can be quarantined by it."""
TICK_ROWS: Final = 500
DAY_US: Final = 86_400_000_000
_UNTIMED_STEP_US: Final = 1000
_ROUNDING: Final = 1e-9
_KEPT: Final = 20


@dataclass
class ImportCounts:
    """What became of the rows of a log: imported, or refused with the first reasons (numbers count rows)."""

    imported: int = 0
    with_reward: int = 0
    refused: int = 0
    thinned: int = 0
    untimed: int = 0
    kept: list[BadLine] = field(default_factory=list)


class HistoryImport:
    """Writes one log into a fresh ledger, under its first catalog revision."""

    def __init__(
        self,
        ledger: Ledger,
        fold: Fold,
        digest: Callable[[str], bytes],
        entropy: Callable[[int], bytes],
        now_us: int,
        kind: str,
    ) -> None:
        """Take what the import needs; `kind` is the feedback that says what a decision earned."""
        self._ledger = ledger
        self._fold = fold
        self._digest = digest
        self._entropy = entropy
        self._now_us = now_us
        self._kind = kind
        self._unchecked: deque[tuple[int, float]] = deque()
        self._latest_us = 0
        self.counts = ImportCounts()

    def begin(
        self, stored: StoredCatalog, catalog: Catalog, placement_id: str, salts: Sequence[Salt]
    ) -> None:
        """Write salts, catalog and epochs. Raises InvalidInput for a placement that the catalog has not."""
        placement = catalog.placement_by_id.get(placement_id)
        if placement is None:
            known = ", ".join(catalog.placement_by_id)
            raise InvalidInput("placement", f"{placement_id!r} is not in the catalog; it has: {known}")
        self._revision, self._catalog, self._placement = stored.revision, catalog, placement
        self._candidates = tuple(catalog.offer_index[offer] for offer in placement.offers)
        self._salt_id = next(salt.salt_id for salt in salts if salt.purpose == "draw")
        with self._commit():
            for salt in salts:
                self._fold.apply(self._ledger.append_body(salt))
            self._fold.apply(self._ledger.append_body(stored))
            for one in catalog.placements:
                epoch = epoch_of(one)
                body = Epoch(one.id, stored.revision, epoch.id, epoch.description)
                self._fold.apply(self._ledger.append_body(body))
        self._epoch_id = epoch_of(placement).id
        rules = self._fold.revisions.rules(stored.revision, placement_id)
        assert rules is not None
        self._window_us = rules.window_us + (rules.grace_us or 0)
        self._untimed_us = self._now_us - DAY_US - self._window_us

    def add(self, log: Log) -> None:
        """Write every row. Raises InvalidInput for an offer that the placement has not, or another reward."""
        for rows in log.batches():
            for start in range(0, len(rows), TICK_ROWS):
                with self._commit():
                    for row in range(start, min(start + TICK_ROWS, len(rows))):
                        self._add_row(rows, row, log.vocabulary.ids)
                    self._tick(self._latest_us)
                self._check_rewards()

    def finish(self) -> None:
        """Let every window close that is over by now; `open_count` says how many are not."""
        with self._commit():
            self._tick(min(self._latest_us + self._window_us + 1, self._now_us))
        self._check_rewards()

    @property
    def open_count(self) -> int:
        """How many decisions wait for their window's end."""
        return len(self._unchecked)

    def _add_row(self, rows: LogRows, row: int, ids: Sequence[str]) -> None:
        number = self.counts.imported + self.counts.refused + 1
        try:
            decision = self._decision(rows, row, ids)
        except _Refused as refused:
            self.counts.refused += 1
            if len(self.counts.kept) < _KEPT:
                self.counts.kept.append(BadLine(number, str(refused)))
            return
        visitor_id = rows.visitor_ids[row] if rows.visitor_ids is not None else ""
        key = self._ledger.visitor_key(self._digest(visitor_id))
        record = self._ledger.append_decision(decision.decision_id, encode_decision(decision), key)
        self._fold.apply(record)
        reward = float(rows.reward[row])
        self._unchecked.append((record.position, reward))
        self.counts.imported += 1
        self.counts.thinned += rows.weight is not None and rows.weight[row] > 1.0
        if reward != self._placement.reward.default:
            self.counts.with_reward += 1
            self._hear(decision, reward, number)

    def _hear(self, decision: Decision, reward: float, number: int) -> None:
        feedback = Feedback(
            feedback_id=f"{SOURCE}-{number}",
            decision_id=decision.decision_id,
            placement_id="",
            slot=0,
            kind=self._kind,
            value=reward,
            receive_time_us=decision.decide_time_us,
            source=SOURCE,
        )
        self._fold.apply(self._ledger.append(RecordKind.FEEDBACK, encode_feedback(feedback)))

    def _decision(self, rows: LogRows, row: int, ids: Sequence[str]) -> Decision:
        time_us = self._time_us(int(rows.time_us[row]))
        context = _checked(rows.contexts.features(row))
        eligible, pmf = self._eligible(rows, row, ids)
        dropped = [place for place, index in enumerate(self._candidates) if index not in eligible]
        chosen = eligible.index(self._index(ids[int(rows.chosen[row])]))
        offers = self._catalog.offers
        return Decision(
            decision_id=make_decision_id(time_us, self._entropy(ENTROPY_BYTES)),
            decide_time_us=time_us,
            catalog_revision=self._revision,
            placement_id=self._placement.id,
            candidates=self._candidates,
            excluded=tuple(dropped),
            exclusion_reasons=(int(ExclusionReason.CALLER_EXCLUDED),) * len(dropped),
            slots=(SlotChoice(pmf, chosen, float(rows.propensity[row])),),
            context=context,
            model_version=ModelVersion(self._epoch_id, 0),
            reason=Reason.MODEL,
            deferred=False,
            holdout=False,
            ramp=1.0,
            floor=0.0,
            baseline=_baseline(self._placement, self._catalog, eligible),
            draw_salt_id=self._salt_id,
            consent=Consent.FULL,
            excluded_by_caller=tuple(offers[self._candidates[place]].id for place in dropped),
            imported=True,
        )

    def _eligible(self, rows: LogRows, row: int, ids: Sequence[str]) -> tuple[list[int], Pmf32]:
        """Return the eligible as catalog indices in the placement's order, and the pmf over them."""
        numbers = [number for number in rows.offers[row].tolist() if number >= 0]
        place_of = {self._index(ids[number]): place for place, number in enumerate(numbers)}
        eligible = [index for index in self._candidates if index in place_of]
        if rows.pmf is not None:
            return eligible, np.array([rows.pmf[row, place_of[index]] for index in eligible], np.float32)
        chosen = self._index(ids[int(rows.chosen[row])])
        propensity = float(rows.propensity[row])
        other = (1.0 - propensity) / max(len(eligible) - 1, 1)
        return eligible, np.array(
            [propensity if index == chosen else other for index in eligible], np.float32
        )

    def _index(self, offer_id: str) -> int:
        index = self._catalog.offer_index.get(offer_id)
        if index is None or index not in self._candidates:
            what = f"the log has the offer {offer_id[:60]!r}, which placement {self._placement.id} has not"
            raise InvalidInput("offers", f"{what}; its offers: {', '.join(self._placement.offers[:20])}")
        return index

    def _time_us(self, time_us: int) -> int:
        """Return when a decision was made; those without a time are a millisecond apart, before yesterday."""
        if time_us > self._now_us:
            raise _Refused("its time lies in the future")
        if not time_us:
            self.counts.untimed += 1
            time_us = min(self._untimed_us + self.counts.untimed * _UNTIMED_STEP_US, self._now_us)
        self._latest_us = max(self._latest_us, time_us)
        return time_us

    def _tick(self, time_us: int) -> None:
        if time_us > self._fold.time_us:
            self._fold.apply(self._ledger.append_body(Tick(time_us)))

    def _check_rewards(self) -> None:
        """Compare what the formula made with what the log says, for decisions that have closed."""
        while self._unchecked:
            position, reward = self._unchecked[0]
            closed = self._fold.closed_at(position)
            if closed is None:
                return
            if abs(closed.reward - reward) > _ROUNDING * max(1.0, abs(reward)):
                made = f"makes {closed.reward:g} of feedback {self._kind} with the value {reward:g}"
                problem = f"{made}; choose a kind and a formula that give the log's reward, and its range"
                raise InvalidInput(f"placement {self._placement.id}", problem)
            self._unchecked.popleft()

    @contextmanager
    def _commit(self) -> Iterator[None]:
        with transaction(self._ledger.connection):
            yield
            self._fold.save_state()


class _Refused(Exception):
    """A row can't be imported; the text says why."""


def _checked(context: Features) -> Features:
    """Return a context that requests could have had. Raises _Refused."""
    try:
        return build_features(
            dict(context.categories),
            dict(context.numbers),
            dict(context.tags),
            where="context",
            limit=limits.CONTEXT_FEATURES,
        )
    except InvalidInput as error:
        raise _Refused(str(error)) from None


def _baseline(placement: Placement, catalog: Catalog, eligible: Sequence[int]) -> int | None:
    for offer_id in placement.baseline:
        if catalog.offer_index[offer_id] in eligible:
            return eligible.index(catalog.offer_index[offer_id])
    nothing = (
        place for place, index in enumerate(eligible) if catalog.offers[index].type is OfferType.NOTHING
    )
    return next(nothing, None)
