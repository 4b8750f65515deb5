"""A catalog revision made ready for deciding: all that does not depend on the request, computed once."""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.catalog import Catalog, Offer, OfferStatus, OfferType, Placement
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import Consent, ExclusionReason
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import PolicyEpoch, epoch_of


@dataclass(frozen=True, slots=True)
class PreparedPlacement:
    """A placement with its funnel as far as the catalog alone decides it.

    `candidates` and `eligible` are catalog indices; `excluded` are positions in `candidates`; `actions`
    and `payloads` run parallel to `eligible`; `baseline` is a position in `eligible`, or None.
    """

    placement: Placement
    epoch: PolicyEpoch
    candidates: tuple[int, ...]
    excluded: tuple[int, ...]
    exclusion_reasons: tuple[int, ...]
    eligible: tuple[int, ...]
    actions: tuple[Action, ...]
    payloads: tuple[str, ...]
    baseline: int | None
    ramp: float
    floor: float
    consent_default: Consent


@dataclass(frozen=True, slots=True)
class PreparedCatalog:
    """All placements of a revision, ready for deciding."""

    revision: int
    placements: dict[str, PreparedPlacement]


def prepare_catalog(revision: CatalogRevision) -> PreparedCatalog:
    """Prepare every placement of a revision."""
    catalog = revision.catalog
    actions = tuple(Action(offer.id, offer.attributes) for offer in catalog.offers)
    prepared = {placement.id: _prepare(catalog, placement, actions) for placement in catalog.placements}
    return PreparedCatalog(revision.revision, prepared)


def _prepare(catalog: Catalog, placement: Placement, actions: tuple[Action, ...]) -> PreparedPlacement:
    candidates = tuple(catalog.offer_index[offer_id] for offer_id in placement.offers)
    excluded = tuple(
        position
        for position, index in enumerate(candidates)
        if catalog.offers[index].status is not OfferStatus.LIVE
    )
    eligible = tuple(index for position, index in enumerate(candidates) if position not in excluded)
    baseline = find_baseline(placement.baseline, [catalog.offers[index] for index in eligible])
    return PreparedPlacement(
        placement=placement,
        epoch=epoch_of(placement),
        candidates=candidates,
        excluded=excluded,
        exclusion_reasons=(int(ExclusionReason.NOT_LIVE),) * len(excluded),
        eligible=eligible,
        actions=tuple(actions[index] for index in eligible),
        payloads=tuple(catalog.offers[index].payload for index in eligible),
        baseline=baseline,
        # Without a baseline offer its share has nowhere to go but to the model.
        ramp=placement.ramp if baseline is not None else 1.0,
        floor=placement.floor,
        consent_default=Consent[placement.consent_default],
    )


def find_baseline(baseline: tuple[str, ...], eligible: list[Offer]) -> int | None:
    """Return the position of the first baseline offer that is eligible, else of one that shows nothing."""
    positions = {offer.id: position for position, offer in enumerate(eligible)}
    for offer_id in baseline:
        if offer_id in positions:
            return positions[offer_id]
    for position, offer in enumerate(eligible):
        if offer.type is OfferType.NOTHING:
            return position
    return None
