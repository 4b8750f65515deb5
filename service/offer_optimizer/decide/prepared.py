"""A catalog revision made ready for deciding: all that does not depend on the request, computed once."""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.catalog import Catalog, Placement
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.counting import Limits
from offer_optimizer.core.decision import Consent
from offer_optimizer.core.features import EMPTY
from offer_optimizer.decide.candidates import CandidateMaker
from offer_optimizer.decide.counters import NO_COUNTERS
from offer_optimizer.decide.funnel import Funnel, FunnelPlan, Question
from offer_optimizer.decide.holdout import HoldoutRule, holdout_rule
from offer_optimizer.policy.epoch import PolicyEpoch, epoch_of


@dataclass(frozen=True, slots=True)
class PreparedPlacement:
    """A placement, ready. `funnel` is the whole funnel where the catalog alone decides it, else None."""

    placement: Placement
    epoch: PolicyEpoch
    plan: FunnelPlan
    funnel: Funnel | None
    holdout: HoldoutRule
    sticky_us: int
    consent_default: Consent


@dataclass(frozen=True, slots=True)
class PreparedCatalog:
    """All placements of a revision, ready for deciding."""

    revision: int
    catalog: Catalog
    limits: Limits
    maker: CandidateMaker
    placements: dict[str, PreparedPlacement]


def prepare_catalog(revision: CatalogRevision) -> PreparedCatalog:
    """Prepare every placement of a revision."""
    catalog = revision.catalog
    limits = Limits(catalog)
    maker = CandidateMaker(catalog, limits)
    placements = {
        placement.id: _prepare(catalog, placement, limits, maker) for placement in catalog.placements
    }
    return PreparedCatalog(revision.revision, catalog, limits, maker, placements)


def _prepare(
    catalog: Catalog, placement: Placement, limits: Limits, maker: CandidateMaker
) -> PreparedPlacement:
    candidates = maker.of_placement(placement)
    own = maker.rule(placement.eligible)
    plan = FunnelPlan(candidates, own, limits, placement.baseline)
    funnel = None
    if own is None and all(candidate.is_plain() for candidate in candidates):
        funnel = plan.derive(Question(0, EMPTY, (), NO_COUNTERS))
    return PreparedPlacement(
        placement=placement,
        epoch=epoch_of(placement),
        plan=plan,
        funnel=funnel,
        holdout=holdout_rule(placement.id, placement.holdout, catalog.holdout),
        sticky_us=round(placement.sticky_for_s * 1e6),
        consent_default=Consent[placement.consent_default],
    )
