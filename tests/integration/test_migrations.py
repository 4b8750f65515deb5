"""Data directories of older releases come over, those of newer ones are left alone."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from offer_optimizer.cli.serve import _settle_format
from offer_optimizer.core.errors import CannotStart, StorageUnavailable
from offer_optimizer.store import migrations
from offer_optimizer.store.doctor_ledger import look_at_ledger
from offer_optimizer.store.findings import Verdict
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.migrations import FORMAT_VERSION, TRUTH, format_of, migrate
from offer_optimizer.store.record_check import unchecked_position
from offer_optimizer.store.sqlite import open_writer, transaction
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.fuzz.judge import judge_whole
from tests.fuzz.whole_service import START_US, WholeService
from tests.fuzz.world import CATALOG

FORMAT_1: Final = """
CREATE TABLE fold_state(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE open_decision(
    position INTEGER PRIMARY KEY, decision_id BLOB NOT NULL, visitor_key INTEGER, placement_id TEXT NOT NULL,
    catalog_revision INTEGER NOT NULL, slot_count INTEGER NOT NULL, policy_epoch BLOB NOT NULL,
    learnable INTEGER NOT NULL, active INTEGER NOT NULL,
    decide_time_us INTEGER NOT NULL, close_time_us INTEGER NOT NULL);
CREATE INDEX open_decision_close ON open_decision(close_time_us, position);
CREATE TABLE fate(position INTEGER PRIMARY KEY, fate INTEGER NOT NULL, decision_position INTEGER);
CREATE TABLE closed(
    placement_id TEXT NOT NULL, policy_epoch BLOB NOT NULL, close_time_us INTEGER NOT NULL,
    position INTEGER NOT NULL, status INTEGER NOT NULL, reward REAL NOT NULL, clipped INTEGER NOT NULL,
    PRIMARY KEY (placement_id, policy_epoch, status, close_time_us, position)) WITHOUT ROWID;
INSERT INTO fold_state SELECT 'position', MAX(position) FROM record;
INSERT INTO fate SELECT position, 1, NULL FROM record WHERE kind = 2
"""
"""The tables that format 1 made of the records, as far as they differ, with something in them."""

FORMAT_2: Final = """
DROP INDEX open_decision_bucket;
ALTER TABLE open_decision DROP COLUMN bucket;
DROP TABLE open_bucket;
CREATE INDEX open_decision_visitor ON open_decision(visitor_key, placement_id, position)
    WHERE visitor_key IS NOT NULL;
ALTER TABLE record DROP COLUMN checksum;
ALTER TABLE visitor DROP COLUMN checksum;
UPDATE meta SET value = 2 WHERE name = 'format_version'
"""
"""Takes formats 3 and 4 back."""

FORMAT_3: Final = """
ALTER TABLE record DROP COLUMN checksum;
ALTER TABLE visitor DROP COLUMN checksum;
UPDATE meta SET value = 3 WHERE name = 'format_version'
"""
"""Takes format 4 back."""
OLDER: Final = {2: FORMAT_2, 3: FORMAT_3}


class FullDisk(sqlite3.Connection):
    """Has room for all steps, and none for the format."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401  (as sqlite3 has it)
        """Fail the last statement."""
        if sql.startswith("UPDATE meta"):
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)


def next_life(folder: Path) -> WholeService:
    """Start again, an hour later."""
    later_us = START_US + 3_600_000_000
    return WholeService(folder, CATALOG, seed=2, writer_id="ffeeddccbbaa9988", start_us=later_us)


def visit(service: WholeService, count: int) -> None:
    """Bring decisions, feedback and a merge."""
    for number in range(count):
        request = pb.DecideRequest(
            placement=("home", "cart", "beta")[number % 3],
            visitor=pb.Visitor(visitor_id=f"visitor-{number % 20}"),
            context=pb.Features(categories={"device": "phone"}, numbers={"cart": float(number)}),
        )
        answer = service.call("OfferService/Decide", request.SerializeToString())
        decision_id = pb.DecideResponse.FromString(answer.data).decision_id
        item = pb.Feedback(feedback_id="f", kind="click", decision_id=decision_id)
        if number % 3 == 0:
            service.call(
                "OfferService/RecordFeedback", pb.RecordFeedbackRequest(items=[item]).SerializeToString()
            )
        if number % 25 == 0:
            service.run_for(0.8)


def age(path: Path) -> None:
    """Make a ledger what a release of format 1 would have left of the same records."""
    with closing(open_writer(path)) as connection, transaction(connection):
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name not in TRUTH:
                connection.execute(f'DROP TABLE "{name}"')
        for statement in FORMAT_1.split(";"):
            connection.execute(statement)
        for name in ("record", "visitor"):
            connection.execute(f"ALTER TABLE {name} DROP COLUMN checksum")
        connection.execute("UPDATE meta SET value = 1 WHERE name = 'format_version'")


def run_all(path: Path, script: str) -> None:
    with closing(open_writer(path)) as connection, transaction(connection):
        for statement in script.split(";"):
            connection.execute(statement)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a data directory of this release with 150 decisions in it, half of them closed."""
    service = WholeService(tmp_path, CATALOG, seed=1)
    visit(service, 150)
    service.close()
    return tmp_path


def ledger_of(folder: Path) -> Path:
    return folder / "data" / "ledger.sqlite"


def test_a_ledger_of_format_1_goes_on_as_if_it_had_always_been_of_this_format(folder: Path) -> None:
    """Folded again whole: what it decides, learns and notes from there on is what a rebuild derives."""
    path = ledger_of(folder)
    age(path)
    with pytest.raises(CannotStart, match=r"format 1, this release reads format \d+: start .* serve"):
        Ledger.open_for_reading(path)
    service = next_life(folder)
    with closing(sqlite3.connect(path)) as connection:
        assert format_of(connection) == FORMAT_VERSION
    assert service.learner.fold.position == service.ledger.last_position()
    visit(service, 50)
    service.run_for(60.0)
    service.learner.publish_all()
    learned = judge_whole(service)
    service.close()
    assert learned.total() >= 150


def test_a_ledger_of_format_2_keeps_its_open_decisions_and_their_visitors(folder: Path) -> None:
    """They come into the first bucket of their placement, and feedback by visitor finds them."""
    path = ledger_of(folder)
    with closing(open_writer(path)) as connection, transaction(connection):
        before = connection.execute("SELECT position, visitor_key FROM open_decision").fetchall()
        for statement in FORMAT_2.split(";"):
            connection.execute(statement)
    assert before
    assert migrate(path) == 2
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT position, visitor_key FROM open_decision JOIN open_bucket USING (placement_id, bucket)"
        ).fetchall()
        assert sorted(found) == sorted(before)
    service = next_life(folder)
    visit(service, 50)
    service.run_for(60.0)
    service.learner.publish_all()
    assert judge_whole(service).total() > 0
    service.close()


def test_a_ledger_of_format_3_has_checksums_from_now_on_and_says_up_to_where_it_has_none(
    folder: Path,
) -> None:
    path = ledger_of(folder)
    run_all(path, FORMAT_3)
    assert migrate(path) == 3
    service = next_life(folder)
    old_position = unchecked_position(service.ledger.connection)
    assert old_position > 150
    visit(service, 50)
    service.run_for(60.0)
    service.learner.publish_all()
    assert judge_whole(service).total() > 0
    service.close()
    findings = look_at_ledger(DataDirectory(folder / "data"))[2]
    assert {finding.verdict for finding in findings} == {Verdict.SOUND}
    assert any(f"up to position {old_position}: an older release" in finding.text for finding in findings)
    with closing(open_writer(path)) as connection:
        for number, position in enumerate((old_position, old_position + 1)):
            connection.execute("UPDATE record SET checksum = NULL WHERE position = ?", (position,))
            findings = look_at_ledger(DataDirectory(folder / "data"))[2]
            assert sum(finding.verdict is Verdict.DAMAGED for finding in findings) == number


def test_a_migration_that_was_cut_off_before_the_fold_goes_on_where_it_was(folder: Path) -> None:
    path = ledger_of(folder)
    age(path)
    assert migrate(path) == 1
    assert migrate(path) == FORMAT_VERSION, "once"
    service = next_life(folder)
    service.run_for(60.0)
    service.learner.publish_all()
    assert judge_whole(service).total() > 0
    service.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_migration_on_a_full_disk_leaves_the_ledger_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """It is said that the disk is at fault, and with room it goes through."""
    path = ledger_of(folder)
    if version == 1:
        age(path)
    else:
        run_all(path, OLDER[version])
    with closing(open_writer(path)) as connection:
        connection.execute("VACUUM")
        before = list(connection.iterdump())

    def full(target: Path) -> sqlite3.Connection:
        open_writer(target).close()
        return sqlite3.connect(target, factory=FullDisk, isolation_level=None)

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "open_writer", full)
        with pytest.raises(StorageUnavailable, match="full"):
            Ledger.open_for_writing(path, bytes)
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before
    assert migrate(path) == version


def test_a_newer_ledger_is_refused_and_no_byte_of_it_changes(folder: Path) -> None:
    path = ledger_of(folder)
    with closing(open_writer(path)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'format_version'", (FORMAT_VERSION + 1,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = hashlib.sha256(path.read_bytes()).digest()
    said = f"format {FORMAT_VERSION + 1}, this release reads format {FORMAT_VERSION}: run the release"
    with pytest.raises(CannotStart, match=said):
        Ledger.open_for_writing(path, bytes)
    with pytest.raises(CannotStart, match=said):
        Ledger.open_for_reading(path)
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_ledger_of_format_1_that_lacks_records_is_refused_and_stays_as_it_was(folder: Path) -> None:
    path = ledger_of(folder)
    age(path)
    with closing(open_writer(path)) as connection:
        connection.execute("DELETE FROM record WHERE position = 5")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(CannotStart, match=r"1 of .* records are not there"):
        migrate(path)
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_there_is_nothing_to_migrate_where_there_is_no_ledger(tmp_path: Path) -> None:
    assert migrate(tmp_path / "ledger.sqlite") is None


@pytest.mark.parametrize("version", [1, 3])
def test_whoever_starts_hears_of_a_migration_and_of_folding_where_there_is_any(
    folder: Path, capsys: pytest.CaptureFixture[str], version: int
) -> None:
    path = ledger_of(folder)
    if version == 1:
        age(path)
    else:
        run_all(path, OLDER[version])
    _settle_format(DataDirectory(folder / "data"))
    said = capsys.readouterr().err
    assert f"migrated from format {version} to {FORMAT_VERSION}" in said
    assert ("folded again" in said) == (version == 1)
