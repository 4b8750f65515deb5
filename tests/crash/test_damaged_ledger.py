"""A ledger that was lost, cut or changed is refused or stopped at, and `doctor` says so."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from offer_optimizer.core.errors import CannotStart, OfferOptimizerError
from offer_optimizer.store.decision_codec import decode_decision, encode_decision
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.lost_ledger import require_ledger
from tests.conftest import Size
from tests.crash.damaged import cut, flip, found, restarted
from tests.crash.small_service import SmallService


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_ledger_that_was_lost_is_never_begun_anew(data: DataDirectory, how: str) -> None:
    if how == "gone":
        data.ledger_path.unlink()
    else:
        data.ledger_path.write_bytes(b"")
    with pytest.raises(CannotStart, match=r"ledger\.sqlite is missing or empty.*backup"):
        require_ledger(Files(), data)
    assert str(data.ledger_path) in found(data)


def test_a_cut_ledger_is_called_damaged_by_doctor_and_refused_or_read_to_its_end(
    made: Path, tmp_path: Path, size: Size
) -> None:
    chance = random.Random(6)
    for number in range(size.pick(test=6, ci=20, proof=100)):
        data = DataDirectory(tmp_path / str(number))
        shutil.copytree(made, data.path)
        cut(data.ledger_path, chance.randrange(1, data.ledger_path.stat().st_size))
        damage = found(data)[str(data.ledger_path)]
        assert "backup" in damage.remedy
        shutil.rmtree(data.path)


def test_what_a_flipped_bit_in_the_ledger_does_is_seen(
    made: Path, tmp_path: Path, size: Size, figure: Callable[[str], None]
) -> None:
    """Records have checksums; tables that are derived from them are what `rebuild --check` is for."""
    chance = random.Random(7)
    seen = {"doctor": 0, "rebuild": 0, "nobody": 0, "not in use": 0}
    whole = _content(made / "ledger.sqlite")
    # Most of a small database is room to grow, which is zeros.
    used = [place for place, byte in enumerate((made / "ledger.sqlite").read_bytes()) if byte]
    tries = size.pick(test=15, ci=60, proof=2000)
    for number in range(tries):
        data = DataDirectory(tmp_path / str(number))
        shutil.copytree(made, data.path)
        flip(data.ledger_path, 8 * chance.choice(used) + chance.randrange(8))
        seen[_who_sees(data, whole)] += 1
        shutil.rmtree(data.path)
    figure(
        f"{tries} bits flipped in the ledger: {seen['not in use']} change no value; of the others"
        f" {seen['doctor']} are found by doctor, {seen['rebuild']} more by rebuild --check,"
        f" {seen['nobody']} by neither"
    )
    assert seen["doctor"] > tries // 2
    # What is left are names: of tables, and of segments that were drained.
    assert seen["nobody"] <= 2 + tries // 50


def test_a_learner_stops_at_a_record_that_is_not_what_was_written(data: DataDirectory) -> None:
    """A value that parses as well: nothing but the checksum can tell. Nothing is learned from it."""
    service = SmallService(data.path)
    service.start()
    service.run_for(1.0)
    (position,) = service.ledger.connection.execute("SELECT MAX(position) FROM open_decision").fetchone()
    service.stop()
    with closing(sqlite3.connect(data.ledger_path)) as connection:
        (body,) = connection.execute("SELECT body FROM record WHERE position = ?", (position,)).fetchone()
        decision = decode_decision(body)
        (slot,) = decision.slots
        changed = replace(decision, slots=(replace(slot, propensity=slot.propensity / 2),))
        new = (encode_decision(changed), position)
        connection.execute("UPDATE record SET body = ? WHERE position = ?", new)
        connection.commit()
    assert f"at positions {position}" in found(data)[str(data.ledger_path)].text
    service = restarted(data)
    assert service.learner.retry_s > 0
    assert f"ledger.sqlite: the record at position {position}" in service.learner._complaint
    assert "offer-optimizer doctor" in service.learner._complaint
    service.stop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE visitor SET visitor_key = visitor_key + 1", "the keys of [0-9]+ visitors are not"),
        ("UPDATE segment SET name = 'j' || name", "is no name of a segment"),
        ("ALTER TABLE ended_decision RENAME TO ended_desision", "has no ended_decision"),
        ("UPDATE decision_position SET decision_id = zeroblob(15) || decision_id", "ids of [0-9]+ decisions"),
    ],
    ids=["visitor", "segment", "table", "id"],
)
def test_the_doctor_sees_what_no_record_tells(data: DataDirectory, change: str, said: str) -> None:
    with closing(sqlite3.connect(data.ledger_path, isolation_level=None)) as connection:
        connection.execute(change)
    assert re.search(said, found(data)[str(data.ledger_path)].text)


def _content(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def _who_sees(data: DataDirectory, whole: list[str]) -> str:
    if str(data.ledger_path) in found(data):
        return "doctor"
    service = SmallService(data.path)
    try:
        service.ledger = Ledger.open_for_reading(data.ledger_path)
        if service.differences():
            return "rebuild"
        return "not in use" if _content(data.ledger_path) == whole else "nobody"
    except (OfferOptimizerError, sqlite3.Error, ValueError, KeyError):
        return "rebuild"
