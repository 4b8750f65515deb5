"""What people ask of learning is held against the catalog and the kept models before it is durable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from offer_optimizer.core.catalog import PolicyChoice
from offer_optimizer.core.control import Audit, Learning, Quarantine, Rollback
from offer_optimizer.core.errors import InvalidInput, NotFound, OfferOptimizerError, UnknownPlacement
from offer_optimizer.learn.desk import ControlDesk
from offer_optimizer.learn.lineage import START, Cursor
from offer_optimizer.learn.ports import Asker
from offer_optimizer.store.codec import Change, decode_control
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.moved import Moved
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore
from tests.unit.learn.histories import E1, FIRST
from tests.unit.learn.worlds import PLACEMENT, catalog, placement

ALICE = Asker("alice", "why not")
NOW_US = 77
SNAPSHOT = Snapshot(PLACEMENT, E1, "vw", 12, 1_000, 7, 3, b"state")


class Desk:
    """A desk, and what it wrote."""

    def __init__(self) -> None:
        self.written: list[Change] = []
        self.snapshots = SnapshotStore(MemoryFiles(directories=("/data",)), Path("/data"))
        fixed = placement(id="fixed", policy=PolicyChoice(name="uniform"))
        self.desk = ControlDesk(self, self.snapshots, lambda: catalog(FIRST, fixed), lambda: NOW_US, self)
        self.what_was_moved: Moved | None = None
        self.begin = START

    def moved(self) -> Moved | None:
        return self.what_was_moved

    def begins_at(self, policy_epoch: bytes) -> Cursor:
        assert policy_epoch == E1
        return self.begin

    def append_durable(self, payload: bytes) -> None:
        self.written.append(decode_control(payload))


@pytest.fixture
def made() -> Desk:
    return Desk()


def test_a_rollback_says_where_the_version_had_stood(made: Desk) -> None:
    """Of two at one ledger position, the newer one is meant."""
    made.snapshots.publish(SNAPSHOT, 1)
    made.snapshots.publish(replace(SNAPSHOT, close_time_us=2_000, close_position=9, learned_count=5), 2)
    made.desk.roll_back(PLACEMENT, f"{E1.hex()}:12", ALICE)
    made.desk.roll_back(PLACEMENT, f"{E1.hex()}:0", ALICE)
    audit = Audit("alice", "why not", NOW_US)
    assert made.written == [
        Rollback(PLACEMENT, E1, 12, 2_000, 9, 5, audit),
        Rollback(PLACEMENT, E1, 0, 0, 0, 0, audit),
    ]


@pytest.mark.parametrize("position", [0, 12])
def test_a_version_from_before_what_retention_moved_is_refused(made: Desk, position: int) -> None:
    """Nothing but the base's model could be served in its place."""
    made.snapshots.publish(SNAPSHOT, 1)
    made.begin = (SNAPSHOT.close_time_us, SNAPSHOT.close_position + 1)
    with pytest.raises(InvalidInput, match=rf"^model_version: {E1.hex()}:{position} had learned less than"):
        made.desk.roll_back(PLACEMENT, f"{E1.hex()}:{position}", ALICE)
    assert made.written == []
    made.begin = (SNAPSHOT.close_time_us, SNAPSHOT.close_position)
    made.desk.roll_back(PLACEMENT, f"{E1.hex()}:12", ALICE)
    assert len(made.written) == 1


def test_a_quarantine_says_what_it_can_not_leave_out_any_more(made: Desk) -> None:
    made.what_was_moved = Moved(9, 60_000_000)
    notes = [
        made.desk.quarantine("", start_us, 70_000_000, "", "", ALICE) for start_us in (59_999_999, 60_000_000)
    ]
    assert notes == [
        "what closed before 1970-01-01T00:01+00:00 was moved to the archive and stays learned",
        "",
    ]
    assert len(made.written) == 2


def test_a_version_that_is_not_kept_is_refused_with_those_that_are(made: Desk) -> None:
    made.snapshots.publish(SNAPSHOT, 1)
    with pytest.raises(NotFound) as refused:
        made.desk.roll_back(PLACEMENT, f"{E1.hex()}:13", ALICE)
    head, *kept = str(refused.value).splitlines()
    assert head.startswith(f"model_version: {E1.hex()}:13 is not kept")
    assert kept == [f"{E1.hex()}:12", f"{E1.hex()}:0"]
    assert made.written == []


@pytest.mark.parametrize("version", ["", "12", "zz:1", f"{'00' * 15}:1", f"{'00' * 16}:-1", f"{'00' * 16}:x"])
def test_what_is_no_version_is_refused(made: Desk, version: str) -> None:
    with pytest.raises(InvalidInput, match=r"^model_version: must be EPOCH:POSITION"):
        made.desk.roll_back(PLACEMENT, version, ALICE)


def test_a_version_of_another_epoch_is_refused_with_the_one_in_force(made: Desk) -> None:
    with pytest.raises(InvalidInput, match=f"^model_version: is of another policy epoch .* {E1.hex()}"):
        made.desk.roll_back(PLACEMENT, f"{'00' * 16}:5", ALICE)


def test_learning_is_frozen_at_one_placement_or_all(made: Desk) -> None:
    made.desk.set_learning(PLACEMENT, ALICE, frozen=True)
    made.desk.set_learning("", ALICE, frozen=False)
    audit = Audit("alice", "why not", NOW_US)
    assert made.written == [Learning(PLACEMENT, True, audit), Learning("", False, audit)]


def test_a_quarantine_is_written_as_asked(made: Desk) -> None:
    made.desk.quarantine("", 5, 6, "save5", "", ALICE)
    assert made.written == [Quarantine("", 5, 6, "save5", "", Audit("alice", "why not", NOW_US))]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("nowhere", 5, 6, "", ""), UnknownPlacement, "placement: 'nowhere' is not in the catalog"),
        (("fixed", 5, 6, "", ""), InvalidInput, "placement: fixed: the policy uniform learns nothing"),
        ((PLACEMENT, 6, 6, "", ""), InvalidInput, "end_time: is not after start_time"),
        ((PLACEMENT, 5, 6, "save5", "crm"), InvalidInput, "source: can't be given together with offer_id"),
    ],
    ids=["placement", "policy", "times", "both"],
)
def test_what_makes_no_sense_is_refused_and_not_written(
    made: Desk,
    arguments: tuple[str, int, int, str, str],
    error: type[OfferOptimizerError],
    text: str,
) -> None:
    with pytest.raises(error, match=f"^{text}"):
        made.desk.quarantine(*arguments, ALICE)
    assert made.written == []


def test_kept_models_are_listed_newest_first_down_to_the_initial_one(made: Desk) -> None:
    made.snapshots.publish(SNAPSHOT, 100, is_promoted=True)
    made.snapshots.publish(replace(SNAPSHOT, ledger_position=20, learned_count=9), 200)
    found = [
        (kept.version.position, kept.learned_count, kept.publish_time_us, kept.is_current, kept.is_promoted)
        for kept in made.desk.kept(PLACEMENT, None)
    ]
    assert found == [(20, 9, 200, True, False), (12, 3, 100, False, True), (0, 0, None, False, False)]
    assert [kept.is_current for kept in made.desk.kept(PLACEMENT, bytes(16))] == [True]
