"""Models are swapped a few at a time, with rests: requests wait while one is loaded."""

from __future__ import annotations

import itertools

from offer_optimizer.core.catalog import Catalog, Placement
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.core.features import EMPTY
from offer_optimizer.decide.models import LONG_S, ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, prepare_catalog
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.decide.rooms import OFFERS, VW, Shelves

NAMES = ("a", "b", "c", "d", "e")


def catalog_of(names: tuple[str, ...]) -> PreparedCatalog:
    """Return a catalog with these placements."""
    placements = tuple(
        Placement(id=name, offers=tuple(offer.id for offer in OFFERS), policy=VW) for name in names
    )
    return prepare_catalog(CatalogRevision(1, "", 0, Catalog(offers=OFFERS, placements=placements)))


CATALOG = catalog_of(NAMES)


def publish(shelves: Shelves, position: int, names: tuple[str, ...] = NAMES) -> None:
    """Publish a snapshot of each placement at a ledger position."""
    for name in names:
        placement = CATALOG.placements[name]
        policy = registry.create("vw", placement.placement.policy.options, ())
        policy.learn(Example(EMPTY, (Action("a", EMPTY), Action("b", EMPTY)), 0, 0.5, 1.0))
        file = f"{name}{position}"
        shelves.snapshots[file] = Snapshot(name, placement.epoch.id, "vw", position, 0, 0, 1, policy.save())
        shelves.current[name, placement.epoch.id] = file


def positions(shelf: ModelShelf) -> list[int]:
    """Return the ledger positions of the models in service."""
    served = [shelf.get(name, CATALOG.placements[name].epoch.id) for name in NAMES]
    return [-1 if model is None else model.version.position for model in served]


def test_a_refresh_swaps_a_few_models_that_have_waited_longest_with_rests_between() -> None:
    shelves = Shelves()
    rests: list[int] = []
    shelf = ModelShelf(shelves, lambda: rests.append(1))
    shelf.refresh(CATALOG)
    seen = []
    for number in range(1, 6):
        publish(shelves, number)  # every placement has a newer one each time
        shelf.refresh(CATALOG)
        seen.append(positions(shelf))
    assert seen == [
        [1, 1, 1, 0, 0],
        [2, 1, 1, 2, 2],
        [2, 3, 3, 3, 2],
        [4, 4, 3, 3, 4],
        [4, 4, 5, 5, 5],
    ]
    assert len(rests) == 10


def test_behind_a_swap_that_took_long_a_refresh_swaps_no_other() -> None:
    shelves, clock = Shelves(), itertools.count(0.0, LONG_S * 1.5)
    shelf = ModelShelf(shelves, seconds=lambda: next(clock))
    shelf.refresh(CATALOG)
    publish(shelves, 1)
    shelf.refresh(CATALOG)
    assert positions(shelf) == [1, 0, 0, 0, 0]
    shelf.refresh(CATALOG)
    assert positions(shelf) == [1, 1, 0, 0, 0]


def test_one_that_can_not_be_read_does_not_keep_the_others_waiting() -> None:
    shelves = Shelves()
    shelf = ModelShelf(shelves)
    shelf.refresh(CATALOG)
    publish(shelves, 1)
    shelves.snapshots["a1"] = StorageUnavailable("made to fail")
    for _ in range(4):
        shelf.refresh(CATALOG)
    assert positions(shelf) == [0, 1, 1, 1, 1]


def test_models_that_placements_lack_are_loaded_at_once_with_rests_for_requests_between() -> None:
    shelves = Shelves()
    publish(shelves, 1)
    rests: list[int] = []
    shelf = ModelShelf(shelves, lambda: rests.append(1))
    shelf.refresh(catalog_of(NAMES[:1]))
    assert rests == []  # nothing is served yet: nobody waits
    shelf.refresh(CATALOG)
    assert (positions(shelf), len(rests)) == ([1] * 5, 4)


def test_of_many_placements_a_start_loads_some_and_the_next_refresh_the_rest() -> None:
    """What has no model yet answers its baseline; a start does not wait for hundreds of models."""
    shelf = ModelShelf(Shelves())
    shelf.refresh(CATALOG, 2)
    assert positions(shelf) == [0, 0, -1, -1, -1]
    shelf.refresh(CATALOG)
    assert positions(shelf) == [0] * 5
