"""Gets the placement of a drive ready at the service: added to the catalog in force, and served.

Adds, never removes; somebody else's change in between is read and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from offer_optimizer.client import AppliedCatalog, CatalogDocument, RequestRejected, RevisionConflict
from offer_optimizer.core.catalog_document import add_placement, parse_catalog
from offer_optimizer.drive.errors import DriveFailed
from offer_optimizer.drive.plan import (
    REWARD_KIND,
    Plan,
    existing_plan,
    fresh_plan,
    offer_entries,
    placement_entry,
)
from offer_optimizer.drive.replay import DECIDE_TIMEOUT_S, Service
from offer_optimizer.drive.table import Table

ATTEMPTS: Final = 5
"""Conflicts in a row after which somebody else is writing the catalog faster than we can read it."""
SERVED_WITHIN_S: Final = 10.0
"""Deciders switch within a quarter of a second; this long means that they don't."""


class CatalogDesk(Protocol):
    """What placing asks of the client."""

    def get_catalog(self) -> CatalogDocument:
        """Return the catalog in force."""
        ...

    def apply_catalog(self, document: str, expected_revision: int) -> AppliedCatalog:
        """Put a document in force. Raises RevisionConflict."""
        ...


def use_existing(desk: CatalogDesk, placement_id: str, table: Table) -> Plan:
    """Return the plan of a placement in the catalog. Raises DriveRefused where it doesn't fit the table."""
    return existing_plan(placement_id, table, parse_catalog(desk.get_catalog().document))


def add_fresh(desk: CatalogDesk, placement_id: str, table: Table, window: str) -> Plan:
    """Add a placement with the table's arms to the catalog in force, and return its plan.

    Raises DriveRefused on a bad window, RequestRejected when the catalog can't take the placement, and
    RevisionConflict after five conflicts in a row.
    """
    plan = fresh_plan(placement_id, table, window)
    for attempt in range(1, ATTEMPTS + 1):
        revision, document = desk.get_catalog()
        extended = add_placement(
            document,
            kinds=[REWARD_KIND],
            offers=offer_entries(table),
            placement=placement_entry(placement_id, table, window),
        )
        try:
            desk.apply_catalog(extended, revision)
        except RevisionConflict:
            if attempt == ATTEMPTS:
                raise
        else:
            break
    return plan


def wait_until_served(
    service: Service,
    placement_id: str,
    *,
    connections: int,
    clock: Callable[[], float],
    sleep: Callable[[float], object],
) -> None:
    """Ask until every connection's decider knows the placement.

    The questions are `deferred` and never shown, so nothing is learned from them. Raises DriveFailed.
    """
    deadline = clock() + SERVED_WITHIN_S
    known = 0
    while True:
        try:
            decision = service.decide(placement_id, deferred=True, timeout_s=DECIDE_TIMEOUT_S)
        except RequestRejected as rejected:
            if rejected.code != "NOT_FOUND" or clock() > deadline:
                raise
            known = 0
            sleep(0.05)
            continue
        if decision.served_by == "client_baseline":
            known = 0
            if clock() > deadline:
                raise DriveFailed(f"the service answers no decisions: {decision.reason}")
            sleep(0.05)
            continue
        known += 1
        if known >= connections:
            return
