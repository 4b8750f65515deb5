"""The shelf of models: swapped whole, never wrong, never gone while somebody still asks."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog import PolicyChoice
from offer_optimizer.core.errors import DamagedFile, StorageUnavailable
from offer_optimizer.core.features import EMPTY
from offer_optimizer.decide.models import IDLE_REFRESHES, ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, prepare_catalog
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.decide.rooms import VW, Shelves, revision_of

FIRST = prepare_catalog(revision_of(1, policy=VW))
SECOND = prepare_catalog(revision_of(2, policy=PolicyChoice(name="vw", options={"bits": 10, "power_t": 0.1})))


def epoch_of(catalog: PreparedCatalog) -> bytes:
    return catalog.placements["home"].epoch.id


E1, E2 = epoch_of(FIRST), epoch_of(SECOND)


def snapshot(epoch: bytes, position: int) -> Snapshot:
    """Return a snapshot that has learned one example."""
    catalog = {E1: FIRST, E2: SECOND}[epoch]
    policy = registry.create("vw", catalog.placements["home"].placement.policy.options, ())
    policy.learn(Example(EMPTY, (Action("a", EMPTY), Action("b", EMPTY)), 0, 0.5, 1.0))
    return Snapshot("home", epoch, "vw", position, 0, 0, 1, policy.save())


@pytest.fixture
def shelves() -> Shelves:
    return Shelves()


def position(shelf: ModelShelf, epoch: bytes) -> int | None:
    """Return the ledger position of the model in service."""
    found = shelf.get("home", epoch)
    return None if found is None else found.version.position


def test_a_fresh_placement_has_its_initial_model(shelves: Shelves) -> None:
    shelf = ModelShelf(shelves)
    shelf.refresh(FIRST)
    assert position(shelf, E1) == 0
    assert position(shelf, E2) is None


def test_a_published_snapshot_is_served_and_loaded_once(shelves: Shelves) -> None:
    shelf = ModelShelf(shelves)
    shelf.refresh(FIRST)
    shelves.snapshots["a"] = snapshot(E1, 5)
    shelves.current["home", E1] = "a"
    for _ in range(3):
        shelf.refresh(FIRST)
    assert (position(shelf, E1), shelves.load_count) == (5, 1)


@pytest.mark.parametrize("defect", [DamagedFile("a", "cut"), snapshot(E2, 7)])
def test_a_bad_snapshot_leaves_the_model_that_is_there(
    shelves: Shelves, defect: Snapshot | Exception
) -> None:
    """Damaged, or saved with other options: refused once and not tried again."""
    shelf = ModelShelf(shelves)
    shelf.refresh(FIRST)
    shelves.snapshots["a"] = defect
    shelves.current["home", E1] = "a"
    for _ in range(3):
        shelf.refresh(FIRST)
    assert (position(shelf, E1), shelves.load_count) == (0, 1)


def test_with_nothing_but_a_bad_snapshot_there_is_no_model(shelves: Shelves) -> None:
    """A model that forgot everything must not pass for the one that learned."""
    shelf = ModelShelf(shelves)
    shelves.snapshots["a"] = DamagedFile("a", "cut")
    shelves.current["home", E1] = "a"
    for _ in range(3):
        shelf.refresh(FIRST)
        assert position(shelf, E1) is None
    shelves.snapshots["b"] = snapshot(E1, 9)
    shelves.current["home", E1] = "b"
    shelf.refresh(FIRST)
    assert position(shelf, E1) == 9


def test_a_disk_that_fails_for_a_moment_is_asked_again(shelves: Shelves) -> None:
    shelf = ModelShelf(shelves)
    shelves.snapshots["a"] = StorageUnavailable("too many open files")
    shelves.current["home", E1] = "a"
    shelf.refresh(FIRST)
    shelves.snapshots["a"] = snapshot(E1, 5)
    shelf.refresh(FIRST)
    assert position(shelf, E1) == 5


def test_a_snapshot_pruned_between_look_and_read_changes_nothing(shelves: Shelves) -> None:
    shelf = ModelShelf(shelves)
    shelf.refresh(FIRST)
    shelves.current["home", E1] = "gone"
    shelf.refresh(FIRST)
    assert position(shelf, E1) == 0


def test_while_a_new_revision_is_made_ready_the_old_one_keeps_its_models(shelves: Shelves) -> None:
    """Requests that began under it still ask; after some refreshes nobody does."""
    shelf = ModelShelf(shelves)
    shelf.refresh(FIRST)
    for _ in range(IDLE_REFRESHES):
        shelf.refresh(SECOND)
        assert position(shelf, E1) == position(shelf, E2) == 0
    shelf.refresh(SECOND)
    assert position(shelf, E1) is None
    assert position(shelf, E2) == 0


def test_a_policy_changed_back_serves_what_it_had_learned_at_once(shelves: Shelves) -> None:
    shelf = ModelShelf(shelves)
    shelves.snapshots = {"a": snapshot(E1, 5), "b": snapshot(E2, 8)}
    shelves.current = {("home", E1): "a", ("home", E2): "b"}
    for catalog in (FIRST, *[SECOND] * (IDLE_REFRESHES + 2), FIRST):
        shelf.refresh(catalog)
    assert position(shelf, E1) == 5
