"""Taking an offer off every page: a new catalog revision in which it is PAUSED, and nothing else differs."""

from __future__ import annotations

from typing import Final

from offer_optimizer.core.catalog import OfferStatus
from offer_optimizer.core.catalog_edit import set_offer_status
from offer_optimizer.core.errors import NotFound, RevisionConflict
from offer_optimizer.core.features import show
from offer_optimizer.decide.ports import CatalogDesk

ATTEMPTS: Final = 5
"""How often somebody else may change the catalog first."""


def disable_offer(desk: CatalogDesk, offer_id: str) -> int:
    """Pause an offer that is LIVE and return the revision in which it is off; one that is off stays so.

    Raises NotFound for an offer that the catalog in force doesn't have, RevisionConflict when the catalog was
    changed by somebody else at every attempt, InvalidCatalog, StorageUnavailable.
    """
    revision = desk.current()
    for attempt in range(1, ATTEMPTS + 1):
        index = revision.catalog.offer_index.get(offer_id)
        is_live = index is not None and revision.catalog.offers[index].status is OfferStatus.LIVE
        document = set_offer_status(revision.document, offer_id, "PAUSED") if is_live else revision.document
        try:
            # Also where there is nothing to change: what `current` told may be a tenth of a second old, and
            # an unchanged document makes no revision.
            change = desk.apply(document, revision.revision, validate_only=False)
        except RevisionConflict as conflict:
            if attempt == ATTEMPTS:
                raise
            revision = desk.read(conflict.found)
            continue
        if index is None:
            raise NotFound(f"offer {show(offer_id)} is not in the catalog, revision {revision.revision}")
        return change.revision
    raise AssertionError("unreachable: the last attempt returns or raises")
