"""Days move to the archive: the ledger shrinks, models and the rebuild stay what they were."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.core.control import Audit, Promotion
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.evaluate.reward_change import RewardChangeStudy
from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.learn.lineage import END
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.store.base_file import BaseStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.outcomes import logged_decisions
from tests.integration.days import SLOW, Days
from tests.unit.learn.worlds import PLACEMENT


@pytest.fixture
def days(tmp_path: Path) -> Iterator[Days]:
    found = Days(tmp_path / "with")
    yield found
    found.close()


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Days]:
    """Live the same life without retention."""
    found = Days(tmp_path / "without")
    yield found
    found.close()


def test_models_and_rebuild_are_as_if_nothing_had_been_moved(days: Days, untouched: Days) -> None:
    for _ in range(4):
        days.live(1)
        untouched.live(1)
        prepared = days.prepare()
        days.live(1)  # the learner goes on while a base is made
        untouched.live(1)
        assert days.rebuilt() == []
        assert days.retire() is (prepared is not None)
        assert days.rebuilt() == []
        assert days.shas() == untouched.shas()
    assert days.world.ledger.last_position() > 600
    (left,) = days.world.connection.execute("SELECT COUNT(*) FROM record WHERE kind <= 3").fetchone()
    (all_,) = untouched.world.connection.execute("SELECT COUNT(*) FROM record WHERE kind <= 3").fetchone()
    assert left < all_ / 2


def test_every_decision_is_in_the_archive_or_in_the_ledger_once(days: Days, untouched: Days) -> None:
    for _ in range(3):
        days.live(2)
        untouched.live(2)
        days.prepare()
        days.retire()
    archived = [
        row for name in (PLACEMENT, SLOW) for row in ParquetLog.open(days.directory.archive, name).rows()
    ]
    here = _rows(days)
    closed_here = {row.decision.decision_id for row in here}
    twice = closed_here & {row.decision.decision_id for row in archived}
    # The last lesson of each epoch stays in the ledger, as the close cursor of its model, and for an hour
    # what feedback by visitor ended early.
    assert len(twice) <= 12
    all_rows = _rows(untouched)
    assert len(archived) + len(here) - len(twice) == len(all_rows)
    expected = {row.decision.decision_id: row for row in all_rows}
    for row in archived:
        same = expected[row.decision.decision_id]
        assert repr(row.decision) == repr(same.decision)
        assert row.outcome.reward_learned == same.outcome.reward_learned
        assert row.outcome.status == same.outcome.status


def _rows(days: Days) -> list[LoggedDecision]:
    return list(logged_decisions(days.world.ledger, 0, days.world.fold.position, lambda _done, _all: None))


def test_there_is_nothing_to_do_twice(days: Days) -> None:
    days.live(3)
    assert days.prepare() is not None
    assert days.prepare() is None, "what was prepared waits for the learner"
    assert days.retire()
    assert not days.retire()
    assert days.prepare() is None, "the same day is over already"


def test_a_promotion_behind_a_base_makes_the_model_that_is_told(days: Days) -> None:
    """With the reward in force, the base's model goes on; what it had learned stays."""
    days.live(3)
    days.prepare()
    days.retire()
    days.live(1)
    base = base_in_force(days.world.ledger, BaseStore(Files(), days.directory.bases))
    assert base is not None
    home = days.content.placement_by_id[PLACEMENT]
    ledger = Ledger.open_for_reading(days.directory.ledger_path)
    told = RewardChangeStudy(ledger, home, home, lambda *_: None, uses_final=True, base=base).run()
    ledger.connection.close()
    fold = days.world.fold
    epoch = days.epochs[PLACEMENT]
    asked = Promotion(PLACEMENT, epoch.id, epoch.description, fold.time_us, END[1], True, Audit("ann", "", 1))
    days.world.add(asked)

    def check(rebuilt: Rebuilt) -> None:
        model = rebuilt.model(epoch.id)
        assert model.learned_count == told.learned_count
        assert hashlib.sha256(model.policy.save()).hexdigest() == told.model_sha256

    days.rebuilt(check)
    assert told.moved.startswith("decisions before 2024-10-0")


def test_a_base_that_is_not_the_noted_one_is_refused(days: Days) -> None:
    from offer_optimizer.core.errors import DamagedFile

    days.live(3)
    days.prepare()
    days.retire()
    bases = BaseStore(Files(), days.directory.bases)
    path = bases.path_of(bases.positions()[-1])
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFile, match="checksum"):
        base_in_force(days.world.ledger, bases)
    path.unlink()
    with pytest.raises(DamagedFile, match="is missing"):
        base_in_force(days.world.ledger, bases)
    shutil.move(copy, path)
    assert days.rebuilt() == []
