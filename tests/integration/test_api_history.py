"""The desks over a ledger on disk: stories beside the writer, reports in a child process."""

from __future__ import annotations

from pathlib import Path

import pytest

from offer_optimizer.core.errors import NotFound, UnknownPlacement
from offer_optimizer.evaluate.contributions import CurrentModel
from offer_optimizer.evaluate.desks import ChildReports, LedgerStories
from offer_optimizer.evaluate.errors import HistoryUnreadable, ReportTooLong
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.sqlite import open_writer
from tests.unit.learn.worlds import PLACEMENT, START_US, WINDOW_US, World, catalog, decision_of, feedback_of

EPOCH = epoch_of(catalog().placements[0]).id
DECISIONS = 12


def no_model(placement_id: str) -> CurrentModel | None:
    return None


@pytest.fixture
def ledger_path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    world = World(open_writer(path))
    world.apply(1, catalog())
    for number in range(1, DECISIONS + 1):
        # Ids begin with their time, as those of the service do.
        head = ((START_US + number) // 1000).to_bytes(6, "big")
        decision = decision_of(number, START_US + number, epoch=EPOCH)
        object.__setattr__(decision, "decision_id", head + decision.decision_id[6:])
        world.decide(decision, f"visitor-{number % 4}")
    world.hear(feedback_of("f", START_US + 50))
    world.tick(START_US + WINDOW_US + 100)
    world.connection.close()
    return path


def id_of(number: int) -> bytes:
    return ((START_US + number) // 1000).to_bytes(6, "big") + number.to_bytes(16, "big")[6:]


def test_a_story_is_told_beside_an_open_writer(ledger_path: Path) -> None:
    writer = open_writer(ledger_path)
    writer.execute("BEGIN IMMEDIATE")
    story = LedgerStories(ledger_path, no_model).explain(id_of(3))
    assert (story.placement_id, story.has_visitor, story.contributions) == (PLACEMENT, True, None)
    writer.execute("ROLLBACK")
    writer.close()


def test_before_the_first_record_nothing_is_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing is, as yet"):
        LedgerStories(tmp_path / "absent", no_model).explain(id_of(3))


def test_a_ledger_that_can_not_be_read_is_worth_a_retry(tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(HistoryUnreadable):
        LedgerStories(path, no_model).explain(id_of(3))
    with pytest.raises(HistoryUnreadable):
        ChildReports(path, lambda: START_US).report(PLACEMENT, None, None, 60.0)


def test_a_story_leaves_no_reader_behind(ledger_path: Path) -> None:
    writer = open_writer(ledger_path)
    writer.execute("PRAGMA busy_timeout = 100")
    writer.execute("CREATE TABLE more(number)")
    stories = LedgerStories(ledger_path, no_model)
    stories.explain(id_of(3))
    with pytest.raises(NotFound):
        stories.explain(bytes(16))
    writer.execute("INSERT INTO more VALUES (1)")
    (busy, _, _) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    writer.close()
    assert busy == 0


def test_a_report_is_made_in_a_process_of_its_own(ledger_path: Path) -> None:
    reports = ChildReports(ledger_path, lambda: START_US + WINDOW_US)
    found = reports.report(PLACEMENT, None, None, 60.0)
    assert (found["decision_count"], found["start_us"], found["end_us"]) == (
        DECISIONS,
        0,
        START_US + WINDOW_US,
    )
    part = reports.report(PLACEMENT, START_US + 5, START_US + 9, 60.0)
    assert part["decision_count"] == 4
    with pytest.raises(UnknownPlacement, match="placement: 'attic' is not in the catalog"):
        reports.report("attic", None, None, 60.0)


def test_a_report_ends_with_its_callers_patience(ledger_path: Path) -> None:
    with pytest.raises(ReportTooLong, match="later start_time or a longer deadline"):
        ChildReports(ledger_path, lambda: START_US).report(PLACEMENT, None, None, 0.3)
