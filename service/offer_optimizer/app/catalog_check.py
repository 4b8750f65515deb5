"""Whether this release would take the catalog that is in force, as an earlier one did.

A revision in force is served as it was stored and not validated again at a start: what an older release took
and this one refuses goes on. Whoever runs the service should hear of it at once, and not when the next,
unrelated change is refused for it.
"""

from __future__ import annotations

from typing import Final

import structlog

from offer_optimizer.core.catalog_document import CheckPolicy, parse_catalog
from offer_optimizer.core.errors import DamagedFile, InvalidCatalog, NotFound, StorageUnavailable
from offer_optimizer.store.catalog import CatalogStore

log = structlog.get_logger(__name__)

_SHOWN: Final = 10


def check_in_force(catalog: CatalogStore, check_policy: CheckPolicy) -> tuple[str, ...]:
    """Log what this release refuses in the revision in force; return it, a line for each defect.

    Says nothing of a revision that is not there or can't be read: others do.
    """
    try:
        revision = catalog.refresh()
    except (NotFound, DamagedFile, StorageUnavailable):
        return ()
    try:
        parse_catalog(revision.document, check_policy)
    except InvalidCatalog as error:
        log.warning(
            "catalog_not_taken_today",
            revision=revision.revision,
            problems=error.problems[:_SHOWN],
            problem_count=len(error.problems),
            effect="it stays in force; correct the document before the next `catalog apply`",
        )
        return error.problems
    return ()
