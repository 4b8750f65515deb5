"""DisableOffer: one offer is paused, whatever else happens to the catalog meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from offer_optimizer.api.disable import disable_offer
from offer_optimizer.core.catalog import OfferStatus
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_revision import CatalogChange, CatalogRevision
from offer_optimizer.core.errors import NotFound, RevisionConflict

DOCUMENT = """\
# A comment that somebody wrote.
version: 1
offers:
  - id: coupon
    type: COUPON
  - id: old
    type: MESSAGE
    status: RETIRED
placements:
  - id: home
    offers: [coupon]
"""


class Desk:
    """A catalog desk in memory whose `current` may lag behind; `before_apply` may change the catalog."""

    def __init__(self, document: str = DOCUMENT) -> None:
        self.history = [document]
        self.told = 1
        self.before_apply: Callable[[], None] = lambda: None

    def read(self, revision: int) -> CatalogRevision:
        document = self.history[revision - 1]
        return CatalogRevision(revision, document, 0, parse_catalog(document))

    def current(self) -> CatalogRevision:
        return self.read(self.told)

    def apply(self, document: str, expected_revision: int, *, validate_only: bool) -> CatalogChange:
        self.before_apply()
        if expected_revision != len(self.history):
            raise RevisionConflict(expected_revision, len(self.history))
        assert not validate_only
        if document != self.history[-1]:
            self.history.append(document)
        return CatalogChange(len(self.history), ())

    def statuses(self) -> dict[str, OfferStatus]:
        newest = self.read(len(self.history))
        return {offer.id: offer.status for offer in newest.catalog.offers}


def test_the_offer_is_paused_in_a_revision_of_its_own_and_nothing_else_is_touched() -> None:
    desk = Desk()
    assert disable_offer(desk, "coupon") == 2
    assert desk.statuses() == {"coupon": OfferStatus.PAUSED, "old": OfferStatus.RETIRED}
    assert desk.history[1].startswith("# A comment that somebody wrote.\n")


def test_pausing_again_returns_the_revision_in_force() -> None:
    desk = Desk()
    disable_offer(desk, "coupon")
    desk.told = 2
    assert disable_offer(desk, "coupon") == 2
    assert len(desk.history) == 2


def test_an_offer_that_is_off_for_another_reason_stays_as_it_is() -> None:
    desk = Desk()
    assert disable_offer(desk, "old") == 1
    assert desk.statuses()["old"] is OfferStatus.RETIRED


def test_an_offer_that_nobody_knows_is_not_found_and_nothing_changes() -> None:
    desk = Desk()
    with pytest.raises(NotFound, match="'nobody' is not in the catalog"):
        disable_offer(desk, "nobody")
    assert len(desk.history) == 1


def test_what_somebody_else_applied_meanwhile_is_kept() -> None:
    desk = Desk()
    desk.history.append(DOCUMENT.replace("COUPON", "SERVICE"))
    assert disable_offer(desk, "coupon") == 3
    assert "type: SERVICE" in desk.history[2]
    assert desk.statuses()["coupon"] is OfferStatus.PAUSED


def test_an_offer_that_was_just_added_is_found_although_the_desk_lags_behind() -> None:
    desk = Desk()
    added = DOCUMENT.replace("placements:", "  - id: fresh\n    type: MESSAGE\nplacements:")
    desk.history.append(added)
    assert disable_offer(desk, "fresh") == 3


def test_one_that_was_just_put_back_is_paused_although_the_desk_lags_behind() -> None:
    desk = Desk()
    disable_offer(desk, "coupon")
    desk.told = 2
    desk.history.append(DOCUMENT)
    assert disable_offer(desk, "coupon") == 4
    assert desk.statuses()["coupon"] is OfferStatus.PAUSED


@pytest.mark.parametrize("conflicts", [4, 5])
def test_it_tries_five_times_and_not_once_more(conflicts: int) -> None:
    desk = Desk()
    left = [conflicts]

    def interfere() -> None:
        if left[0]:
            left[0] -= 1
            desk.history.append(f"{DOCUMENT}# change {left[0]}\n")

    desk.before_apply = interfere
    if conflicts < 5:
        disable_offer(desk, "coupon")
        assert desk.statuses()["coupon"] is OfferStatus.PAUSED
    else:
        with pytest.raises(RevisionConflict):
            disable_offer(desk, "coupon")
