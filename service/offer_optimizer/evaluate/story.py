"""The whole story of one past decision, read from the ledger: funnel, counters, draw, and what came of it.

Everything is as logged; nothing is decided again. Writes nothing; knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offer_optimizer.core import draw
from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Consent, Decision, ExclusionReason, ModelVersion, Reason
from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.contributions import Contributions
from offer_optimizer.store.codec import RecordKind, Salt, StoredCatalog
from offer_optimizer.store.fold_tables import COUNTED, CloseStatus, FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import moved_decision


@dataclass(frozen=True, slots=True)
class StoryCandidate:
    """One candidate. `probability` is of the served distribution, `model_probability` of the model alone
    where that was logged apart; `exclusion` is None for the eligible.
    """

    offer_id: str
    attributes: Features
    exclusion: ExclusionReason | None
    probability: float
    model_probability: float | None
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class CapRead:
    """A count that the decision read; the offers that the cap limits are excluded from `limit` on."""

    cap_id: str
    count: int
    limit: int


@dataclass(frozen=True, slots=True)
class BudgetRead:
    """What a budget had spent when the decision read it, in uses or money, reservations included."""

    budget_id: str
    spent: float
    limit: float


@dataclass(frozen=True, slots=True)
class StoryFeedback:
    """An item of feedback that named the decision, and what became of it."""

    item: Feedback
    fate: Fate


@dataclass(frozen=True, slots=True)
class Closing:
    """How the window ended; the rewards are None where there was none to learn or to report.

    `reward` is what was learned, `final` counts late and retracted feedback too.
    """

    status: CloseStatus
    close_time_us: int
    reward: float | None
    final: float | None = None

    @property
    def moved_to(self) -> float | None:
        """The final reward where it differs from the one that was learned, else None."""
        return None if self.final == self.reward else self.final


@dataclass(frozen=True, slots=True)
class Story:
    """One decision. `draw_number` is None where nothing was drawn by us or the ledger lacks the salt.

    `holdout_share` is the one in force, `holdout_u` None for visitors in neither arm. `closing` is None
    while the window is open. `contributions` and `model_remarks` are asked of today's model, where there
    is one.
    """

    decision_id: bytes
    position: int
    decide_time_us: int
    placement_id: str
    catalog_revision: int
    has_visitor: bool
    reason: Reason
    consent: Consent
    is_deferred: bool
    context: Features
    candidates: tuple[StoryCandidate, ...]
    cap_reads: tuple[CapRead, ...]
    budget_reads: tuple[BudgetRead, ...]
    draw_salt_id: int
    draw_number: float | None
    ramp: float
    floor: float
    baseline_offer_id: str
    is_held_out: bool
    holdout_share: float
    holdout_u: float | None
    model_version: ModelVersion | None
    feedback: tuple[StoryFeedback, ...]
    closing: Closing | None
    contributions: Contributions | None = None
    is_imported: bool = False
    model_remarks: tuple[str, ...] = ()

    @property
    def eligible(self) -> tuple[StoryCandidate, ...]:
        """The candidates that were not excluded, in order."""
        return tuple(candidate for candidate in self.candidates if candidate.exclusion is None)

    @property
    def chosen(self) -> StoryCandidate | None:
        """The candidate that was chosen, or None."""
        return next((candidate for candidate in self.candidates if candidate.is_chosen), None)

    @property
    def is_explored(self) -> bool:
        """Whether something else than a most likely offer was chosen."""
        chosen = self.chosen
        return chosen is not None and chosen.probability < max(c.probability for c in self.eligible)


def tell(ledger: Ledger, tables: FoldTables, decision_id: bytes) -> Story:
    """Return the story of a decision. Raises NotFound."""
    position = ledger.find_decision(decision_id)
    if position is None or not ledger.has(position):
        name = format_decision_id(decision_id)
        raise NotFound(
            moved_decision(ledger, decision_id)
            or f"decision {name} is not in the ledger; the learner drains new ones every 100 ms"
        )
    record = ledger.record_at(position)
    decision = record.body()
    assert isinstance(decision, Decision)
    catalog, salts = _revision_and_salts(ledger, decision.catalog_revision)
    placement = catalog.placement_by_id.get(decision.placement_id)
    own_share = placement.holdout if placement else None
    candidates = _candidates(decision, catalog)
    eligible = [candidate.offer_id for candidate in candidates if candidate.exclusion is None]
    is_drawn = bool(decision.slots) and not decision.imported
    salt = salts.get(decision.draw_salt_id) if is_drawn else None
    return Story(
        decision_id=decision.decision_id,
        position=position,
        decide_time_us=decision.decide_time_us,
        placement_id=decision.placement_id,
        catalog_revision=decision.catalog_revision,
        has_visitor=record.visitor_key is not None,
        reason=decision.reason,
        consent=decision.consent,
        is_deferred=decision.deferred,
        context=decision.context,
        candidates=candidates,
        cap_reads=tuple(
            CapRead(catalog.caps[cap].id, count, catalog.caps[cap].limit)
            for cap, count in decision.cap_counts
        ),
        budget_reads=tuple(
            BudgetRead(catalog.budgets[budget].id, spent, catalog.budgets[budget].limit)
            for budget, spent in decision.budget_spent
        ),
        draw_salt_id=decision.draw_salt_id,
        draw_number=draw.uniform(salt, decision.placement_id, decision.decision_id, 0) if salt else None,
        ramp=decision.ramp,
        floor=decision.floor,
        baseline_offer_id="" if decision.baseline is None else eligible[decision.baseline],
        is_held_out=decision.holdout,
        holdout_share=catalog.holdout if own_share is None else own_share,
        holdout_u=decision.holdout_u,
        model_version=decision.model_version,
        feedback=_feedback(ledger, tables, position),
        closing=_closing(tables, position),
        is_imported=decision.imported,
    )


def catalog_of(ledger: Ledger, revision: int) -> Catalog:
    """Return a catalog revision from the ledger. Raises KeyError."""
    return _revision_and_salts(ledger, revision)[0]


def newest_revision(ledger: Ledger) -> int:
    """Return the number of the newest catalog revision in the ledger; 0 when there is none."""
    records = ledger.rare_records(ledger.last_position())
    bodies = [record.body() for record in records if record.kind is RecordKind.CATALOG]
    return max((body.revision for body in bodies if isinstance(body, StoredCatalog)), default=0)


def offer_at(decision: Decision, catalog: Catalog, index: int) -> tuple[str, Features]:
    """Return id and attributes of a candidate's index; inline ones count on past the catalog's offers."""
    own = len(catalog.offers)
    if index < own:
        return catalog.offers[index].id, catalog.offers[index].attributes
    inline = decision.inline[index - own]
    return inline.offer_id, inline.attributes


def _revision_and_salts(ledger: Ledger, revision: int) -> tuple[Catalog, dict[int, bytes]]:
    """Return a catalog revision and the draw salts by number. Raises KeyError."""
    catalog, salts = None, {}
    for record in ledger.rare_records(ledger.last_position()):
        if record.kind not in (RecordKind.CATALOG, RecordKind.SALT):
            continue
        body = record.body()
        if isinstance(body, StoredCatalog) and body.revision == revision:
            catalog = Catalog.model_validate_json(body.canonical)
        elif isinstance(body, Salt) and body.purpose == "draw":
            salts[body.salt_id] = body.salt
    if catalog is None:
        raise KeyError(revision)
    return catalog, salts


def _candidates(decision: Decision, catalog: Catalog) -> tuple[StoryCandidate, ...]:
    reasons = dict(zip(decision.excluded, decision.exclusion_reasons, strict=True))
    slot = decision.slots[0] if decision.slots else None
    served: list[float] = []
    if slot is not None:
        pmf = slot.pmf.astype(np.float64)
        served = (pmf / pmf.sum()).tolist()
    alone = decision.model_pmf.tolist() if decision.model_pmf is not None else None
    found, position = [], 0
    for number, index in enumerate(decision.candidates):
        offer_id, attributes = offer_at(decision, catalog, index)
        if number in reasons:
            why = ExclusionReason(reasons[number])
            found.append(StoryCandidate(offer_id, attributes, why, 0.0, None, is_chosen=False))
            continue
        probability = served[position] if served else 0.0
        by_model = alone[position] if alone else None
        is_chosen = slot is not None and slot.chosen == position
        found.append(StoryCandidate(offer_id, attributes, None, probability, by_model, is_chosen=is_chosen))
        position += 1
    return tuple(found)


def _feedback(ledger: Ledger, tables: FoldTables, position: int) -> tuple[StoryFeedback, ...]:
    found = []
    for feedback_position, fate in tables.feedback_of(position):
        item = ledger.record_at(feedback_position).body()
        assert isinstance(item, Feedback)
        found.append(StoryFeedback(item, fate))
    return tuple(found)


def _closing(tables: FoldTables, position: int) -> Closing | None:
    closed = tables.closed_at(position)
    if closed is None:
        return None
    if closed.status not in COUNTED:
        return Closing(closed.status, closed.close_time_us, None)
    final = tables.final_at(position)
    return Closing(
        closed.status, closed.close_time_us, closed.reward, closed.reward if final is None else final
    )
