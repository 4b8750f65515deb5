"""`offer-optimizer status` and the facts it reads, over data directories on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from offer_optimizer.cli.main import build_app
from offer_optimizer.core.catalog import PolicyChoice
from offer_optimizer.core.control import Audit, Learning, Rollback, Thinning
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.evaluate.desks import ChildHealth
from offer_optimizer.evaluate.loop_facts import read_facts
from offer_optimizer.store.files import Files
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.recorders import Inbox
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore
from offer_optimizer.store.sqlite import open_writer
from offer_optimizer.store.writer_cells import Refused, WriterCells
from tests.unit.evaluate.ledgers import SECOND_US, Shop, catalog
from tests.unit.learn.worlds import World, feedback_of

BOOT = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Yield a shop over a data directory: 20 decisions, half of them clicked, all windows closed."""
    directory = DataDirectory(tmp_path)
    for path in (directory.segments, directory.snapshots, directory.run):
        path.mkdir()
    world = World(open_writer(directory.ledger_path))
    found = Shop(catalog(policy=PolicyChoice(name="vw", options={"bits": 10})), world=world)
    for number in range(20):
        found.decide(f"v{number}", number % 3, click=number % 2 == 0)
    found.close()
    yield found
    world.connection.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["status", *arguments], env={"COLUMNS": "200"})


def test_a_directory_is_told_in_json_with_status_0_or_1(shop: Shop, tmp_path: Path) -> None:
    """Its 20 examples wait for years, as the clock has it: the model is stale, and the status says so."""
    result = run("--data", str(tmp_path), "--json")
    assert result.exit_code == 1, result.output
    found = json.loads(result.output)
    assert [(alarm["name"], alarm["placement"]) for alarm in found["alarms"]] == [("model_stale", "home")]
    assert {item["placement"]: item["unlearned_count"] for item in found["placements"]} == {
        "home": 20,
        "other": 0,
    }
    only_other = run("other", "--data", str(tmp_path))
    assert only_other.exit_code == 0, only_other.output
    assert only_other.output.startswith("All is well.")


def test_what_can_not_be_told_is_status_2_and_one_plain_line(shop: Shop, tmp_path: Path) -> None:
    for arguments, words in (
        (("nowhere", "--data", str(tmp_path)), "nowhere"),
        (("--data", str(tmp_path / "none")), "there is no ledger"),
        (("--target", "127.0.0.1:1", "--timeout", "0.2"), "127.0.0.1:1"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert words in result.output
        assert "Traceback" not in result.output


def test_a_published_model_says_what_it_has_learned_and_what_waits(shop: Shop, tmp_path: Path) -> None:
    lessons = shop.world.tables.lessons("home", shop.epoch, (0, 0), None, 100)
    cursor = (lessons[11].close_time_us, lessons[11].position)
    snapshot = Snapshot("home", shop.epoch, "vw", 12, *cursor, 12, b"state")
    SnapshotStore(Files(), DataDirectory(tmp_path).snapshots).publish(snapshot, shop.now_us - 5 * SECOND_US)
    found = read_facts(shop.ledger, Files(), DataDirectory(tmp_path), shop.now_us).placements[0]
    assert (found.learned_count, found.unlearned_count, found.open_count) == (12, 8, 0)
    assert found.published_us == shop.now_us - 5 * SECOND_US
    assert found.oldest_unlearned_us == lessons[12].close_time_us
    assert found.nothing_offers == {"nothing"}


def test_what_a_rollback_took_out_waits_for_nobody(shop: Shop, tmp_path: Path) -> None:
    """Else a placement that nobody visits after a rollback would be called stale."""
    lessons = shop.world.tables.lessons("home", shop.epoch, (0, 0), None, 100)
    cursor, last_us = (lessons[11].close_time_us, lessons[11].position), lessons[17].close_time_us
    back = Rollback("home", shop.epoch, 12, *cursor, 12, Audit("somebody", "a test", 7), last_us)
    position = shop.ledger.append_body(back).position
    snapshot = Snapshot("home", shop.epoch, "vw", position, *cursor, 12, b"state")
    SnapshotStore(Files(), DataDirectory(tmp_path).snapshots).publish(snapshot, shop.now_us)
    found = read_facts(shop.ledger, Files(), DataDirectory(tmp_path), shop.now_us).placements[0]
    assert found.unlearned_count == sum(lesson.close_time_us > last_us for lesson in lessons)
    assert found.oldest_unlearned_us == lessons[18].close_time_us


def test_what_waits_in_a_segment_is_the_lag_until_it_is_drained(shop: Shop, tmp_path: Path) -> None:
    directory, files = DataDirectory(tmp_path), Files()
    cells = WriterCells.create(files, directory.run, "0" * 16, 1, 0)
    segment = SegmentWriter(files, directory.segments, "inbox", BOOT, "0" * 16)
    inbox = Inbox(GroupSync(segment), cells, lambda: shop.now_us)
    assert read_facts(shop.ledger, files, directory, shop.now_us).oldest_waiting_us is None
    inbox.append_durable([(b"v", feedback_of("f", shop.now_us, decision=1))])
    found = read_facts(shop.ledger, files, directory, shop.now_us + 90 * SECOND_US)
    assert found.oldest_waiting_us == shop.now_us
    assert found.lag_s == 90.0
    (path,) = directory.segments.iterdir()
    shop.ledger.set_segment_offset(path.name, path.stat().st_size)
    assert read_facts(shop.ledger, files, directory, shop.now_us).oldest_waiting_us is None
    segment.close()
    cells.close()


def test_steering_of_all_placements_replaces_what_was_said_of_one(shop: Shop, tmp_path: Path) -> None:
    def steer(*bodies: Learning | Thinning) -> list[tuple[int | None, float]]:
        for body in bodies:
            shop.ledger.append_body(body)
        found = read_facts(shop.ledger, Files(), DataDirectory(tmp_path), shop.now_us)
        return [(item.frozen_since_us, item.learn_probability) for item in found.placements]

    audit = Audit("somebody", "a test", 7)
    assert steer() == [(None, 1.0), (None, 1.0)]
    assert steer(Learning("home", True, audit), Thinning("home", 0.5)) == [(7, 0.5), (None, 1.0)]
    assert steer(Learning("", True, audit)) == [(7, 0.5), (7, 1.0)]
    assert steer(Learning("", False, audit), Thinning("home", 1.0)) == [(None, 1.0), (None, 1.0)]


def test_a_child_process_tells_what_the_directory_says(shop: Shop, tmp_path: Path) -> None:
    desk = ChildHealth(tmp_path, lambda: shop.now_us)
    found = desk.health("home", 30.0)
    assert [item["placement"] for item in found["placements"]] == ["home"]
    assert found["placements"][0]["decision_count"] == 20
    with pytest.raises(UnknownPlacement):
        desk.health("nowhere", 30.0)


def test_a_ledger_that_never_had_a_catalog_is_well(tmp_path: Path) -> None:
    World(open_writer(DataDirectory(tmp_path).ledger_path)).connection.close()
    result = run("--data", str(tmp_path))
    assert result.exit_code == 0, result.output


def test_a_ledger_that_can_not_be_opened_is_an_alarm_beside_what_processes_were_refused(
    shop: Shop, tmp_path: Path
) -> None:
    """As where its log can't be opened: health is told to who is in trouble, not refused to them."""
    shop.world.connection.close()
    path = DataDirectory(tmp_path).ledger_path
    path.with_name(f"{path.name}-wal").mkdir()
    cells = WriterCells.create(Files(), DataDirectory(tmp_path).run, "00112233aabbccdd", os.getpid(), 0)
    now_us = 1_790_000_000_000_000
    cells.note_refused(Refused.INBOX, now_us - SECOND_US)
    found = ChildHealth(tmp_path, lambda: now_us).health("home", 30.0)
    cells.close()
    messages = [alarm["message"] for alarm in found["alarms"] if alarm["name"] == "storage_refused"]
    assert [text for text in messages if "feedback is refused" in text]
    assert [text for text in messages if str(path) in text]
    assert found["placements"] == []


def test_a_ledger_that_is_none_is_damage(shop: Shop, tmp_path: Path) -> None:
    shop.world.connection.close()
    path = DataDirectory(tmp_path).ledger_path
    path.write_bytes(b"not a database" * 1000)
    found = ChildHealth(tmp_path, lambda: 1).health("", 30.0)
    assert [str(path) in alarm["message"] for alarm in found["alarms"] if alarm["name"] == "file_damaged"]
