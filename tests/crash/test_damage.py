"""Files that were cut or changed: exact recovery, a stated prefix, or a refusal that says what to do.

Never a silently different model: what the learner makes of a damaged directory is compared with a rebuild.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from offer_optimizer.cli.main import build_app
from offer_optimizer.core.errors import CannotStart, DamagedFile, InvalidInput
from offer_optimizer.evaluate.loop_facts import read_health
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.doctor import examine
from offer_optimizer.store.files import Files
from offer_optimizer.store.findings import Verdict
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.recorders import ControlSegment
from offer_optimizer.store.restore import restore_catalog
from offer_optimizer.store.salts import load_or_create_salts
from offer_optimizer.store.salvage import find_damage, give_up
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.snapshots import SnapshotStore, decode_snapshot
from tests.conftest import Size
from tests.crash.damaged import VISITS, WAITING, cut, flip, found, restarted
from tests.crash.small_service import SmallService
from tests.unit.learn.service_in_memory import BOOT
from tests.unit.learn.worlds import counted_entropy


def alarms(data: DataDirectory) -> list[tuple[str, str]]:
    ledger = Ledger.open_for_reading(data.ledger_path)
    with closing(ledger.connection):
        health = read_health(ledger, Files(), data, 2_000_000_000)
    return [(alarm.name, alarm.message) for alarm in health.alarms if alarm.name == "file_damaged"]


def waiting_segment(data: DataDirectory, kind: str) -> Path:
    (path,) = data.segments.glob(f"{kind}-*2-*.seg")
    return path


def test_the_doctor_finds_nothing_wrong_with_a_sound_directory_and_changes_nothing(
    data: DataDirectory,
) -> None:
    before = {path: path.read_bytes() for path in data.path.rglob("*") if path.is_file()}
    findings = list(examine(Files(), data, BOOT))
    assert {finding.verdict for finding in findings} == {Verdict.SOUND, Verdict.NOTE}
    subjects = " ".join(finding.subject for finding in findings)
    for part in (
        "FORMAT",
        "secret",
        "salts",
        "catalog",
        "ledger.sqlite",
        "journal-",
        "inbox-",
        "snapshots",
        "hot",
    ):
        assert part in subjects
    after = {path: path.read_bytes() for path in data.path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {"ledger.sqlite-shm", "ledger.sqlite-wal"}


def test_a_sound_directory_restarts_to_what_a_rebuild_derives(data: DataDirectory) -> None:
    service = restarted(data)
    assert service.counts()[0] == VISITS + WAITING
    assert service.differences() == []
    service.stop()


@pytest.mark.parametrize("kind", ["journal", "inbox"])
def test_a_damaged_segment_stops_the_learner_in_front_of_it_until_it_is_given_up(
    data: DataDirectory, kind: str
) -> None:
    """The process lives, health names file and remedy, the rest is kept, the model is the rebuilt one."""
    path = waiting_segment(data, kind)
    damage_at = path.stat().st_size // 2
    flip(path, 8 * damage_at)
    service = restarted(data)
    assert service.learner.retry_s > 0
    before = service.counts()
    assert sum(before) < sum((VISITS, WAITING)) * 2
    ((_, message),) = alarms(data)
    assert str(path) in message
    finding = found(data)[str(path)]
    assert f"offer-optimizer salvage --data {data.path} {path.name}" in finding.remedy
    ranges, whole = find_damage(service.files, str(path))
    assert len(ranges) == 1
    give_up(service.files, str(path), ranges)
    service.run_for(60.0)
    service.run_for(60.0)
    assert service.learner.retry_s == 0.0
    expected = {
        "journal": WAITING,
        "inbox": sum(number % 3 > 0 for number in range(VISITS, VISITS + WAITING)),
    }
    assert whole == expected[kind] - 1
    assert not path.exists()
    assert alarms(data) == []
    assert found(data) == {}
    assert service.differences() == []
    service.stop()


@pytest.mark.parametrize("kind", ["journal", "inbox"])
def test_any_bit_or_cut_in_a_segment_gives_a_prefix_or_a_stop_and_never_another_model(
    made: Path, tmp_path: Path, kind: str, size: Size
) -> None:
    chance = random.Random(kind)
    outcomes = {"stopped": 0, "prefix": 0}
    for number in range(size.pick(test=8, ci=20, proof=200)):
        data = DataDirectory(tmp_path / str(number))
        shutil.copytree(made, data.path)
        path = waiting_segment(data, kind)
        if number % 2:
            flip(path, chance.randrange(8 * path.stat().st_size))
        else:
            cut(path, chance.randrange(path.stat().st_size))
        service = restarted(data)
        has_stopped = service.learner.retry_s > 0
        outcomes["stopped" if has_stopped else "prefix"] += 1
        assert bool(alarms(data)) == has_stopped == (str(path) in found(data))
        assert VISITS <= service.counts()[0] <= VISITS + WAITING
        assert service.differences() == []
        service.stop()
        shutil.rmtree(data.path)
    assert all(outcomes.values())


def small_file_changes(path: Path) -> list[bytes]:
    """Return a file's content cut at every length, and with every bit flipped."""
    whole = path.read_bytes()
    found = [whole[:length] for length in range(len(whole))]
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        found.append(bytes(changed))
    return found


@pytest.mark.parametrize("name", ["secret", "salts", "FORMAT"])
def test_a_changed_secret_salt_or_format_is_refused_with_its_path(data: DataDirectory, name: str) -> None:
    """No bit of them goes unnoticed: visitors, draws and holdouts hang on them."""
    files, entropy = Files(), counted_entropy()
    read: dict[str, Callable[[], object]] = {
        "secret": lambda: Identity.load_or_create(files, data.secret_path, entropy),
        "salts": lambda: load_or_create_salts(files, data.salts_path, entropy),
        "FORMAT": lambda: data.check_format(files),
    }
    path = data.path / name
    whole = path.read_bytes()
    before = read[name]()
    refused = 0
    for changed in small_file_changes(path):
        path.write_bytes(changed)
        try:
            assert read[name]() == before, "only what says the same is taken"
        except (DamagedFile, CannotStart) as error:
            assert str(data.path) in str(error)  # noqa: PT017  (either this or the same answer)
            refused += 1
    assert refused >= 8 * len(whole.strip())


def test_a_salt_that_is_not_the_ledgers_stops_the_learner(data: DataDirectory) -> None:
    """Another file put in its place, sound in itself: draws could no longer be repeated."""
    data.salts_path.unlink()
    load_or_create_salts(Files(), data.salts_path, lambda size: b"\7" * size)
    service = restarted(data)
    assert service.learner.retry_s > 0
    assert "not the one in the ledger" in service.learner._complaint


def test_a_damaged_catalog_revision_comes_back_from_the_ledger(data: DataDirectory) -> None:
    (path,) = data.catalog.iterdir()
    whole = path.read_bytes()
    chance = random.Random(5)
    service = SmallService(data.path)
    store = service.store(ControlSegment(SegmentWriter(Files(), "/nowhere", "control", BOOT, "f" * 16)))
    for number in range(40):
        if number % 2:
            flip(path, chance.randrange(8 * len(whole)))
        else:
            cut(path, chance.randrange(len(whole)))
        assert str(path) in found(data)
        assert str(path) in alarms(data)[0][1]
        with pytest.raises(DamagedFile, match=str(path)):
            store.read_stored(1)
        assert restore_catalog(data, store)
        assert path.read_bytes() == whole
    assert found(data) == {}


def test_a_damaged_catalog_revision_that_the_ledger_lacks_is_refused(data: DataDirectory) -> None:
    (path,) = data.catalog.iterdir()
    flip(path, 100)
    data.ledger_path.unlink()
    service = SmallService(data.path)
    store = service.store(ControlSegment(SegmentWriter(Files(), "/nowhere", "control", BOOT, "f" * 16)))
    with pytest.raises(DamagedFile, match="use a backup"):
        restore_catalog(data, store)


def test_every_cut_and_thousands_of_flipped_bits_of_a_learned_model_are_refused(
    data: DataDirectory, size: Size
) -> None:
    snapshots = SnapshotStore(Files(), data.snapshots)
    (placement_id,) = snapshots.placements()
    name = snapshots.names(placement_id)[-1]
    path = data.snapshots / placement_id / name
    whole = path.read_bytes()
    chance = random.Random(8)
    step = size.pick(test=max(len(whole) // 200, 1), ci=max(len(whole) // 1000, 1), proof=1)
    for length in range(0, len(whole), step):
        with pytest.raises(DamagedFile, match=str(path)):
            decode_snapshot(whole[:length], str(path))
    for _ in range(size.pick(test=300, ci=1000, proof=5000)):
        changed, bit = bytearray(whole), chance.randrange(8 * len(whole))
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFile, match=str(path)):
            decode_snapshot(bytes(changed), str(path))
    flip(path, chance.randrange(8 * len(whole)))
    with pytest.raises(DamagedFile, match=str(path)):
        snapshots.load(placement_id, name)
    assert "restart the server" in found(data)[str(path)].remedy
    assert alarms(data)


def test_a_learner_that_meets_a_damaged_model_comes_to_the_same_one_again(data: DataDirectory) -> None:
    snapshots = SnapshotStore(Files(), data.snapshots)
    (placement_id,) = snapshots.placements()
    for name in snapshots.names(placement_id)[1:]:
        flip(data.snapshots / placement_id / name, 5000)
    service = restarted(data)
    assert service.differences() == []
    assert alarms(data) == []
    assert service.counts()[0] == VISITS + WAITING
    assert RecordKind.DECISION in {record.kind for record in service.ledger.records()}
    service.stop()


def run_command(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(build_app(), list(arguments))
    return result.exit_code, result.output


def test_doctor_and_salvage_say_what_they_found_and_did(data: DataDirectory) -> None:
    """Exit 0 when all is sound, 1 with damage, 2 where there is no data directory."""
    status, text = run_command("doctor", "--data", str(data.path))
    assert (status, text.splitlines()[-1]) == (0, "all is sound")
    path = waiting_segment(data, "journal")
    flip(path, 8 * (path.stat().st_size // 2))
    status, text = run_command("doctor", "--data", str(data.path), "--json")
    (line,) = (json.loads(line) for line in text.splitlines() if "DAMAGED" in line)
    assert (status, line["subject"]) == (1, str(path))
    assert f"offer-optimizer salvage --data {data.path} {path.name}" in line["remedy"]
    status, text = run_command("salvage", "--data", str(data.path), path.name, "--yes")
    assert (status, text.splitlines()[-2:]) == (
        0,
        [f"{WAITING - 1} records are whole and stay.", "given up; the learner goes on behind it"],
    )
    assert run_command("doctor", "--data", str(data.path))[0] == 0
    status, text = run_command("doctor", "--data", str(data.segments))
    assert status == 2
    assert "not a data directory" in text


def test_salvage_touches_nothing_that_is_sound_or_no_segment(data: DataDirectory) -> None:
    path = waiting_segment(data, "inbox")
    assert "no damage" in run_command("salvage", "--data", str(data.path), path.name, "--yes")[1]
    assert not list(data.segments.glob("*.given-up"))
    with pytest.raises(InvalidInput, match="not the name of a segment"):
        CliRunner().invoke(
            build_app(), ["salvage", "--data", str(data.path), "../secret"], catch_exceptions=False
        )
