"""Health says what could not be read, and never fails for it."""

from __future__ import annotations

from pathlib import Path

from offer_optimizer.evaluate import health_child
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory


def alarms(directory: Path) -> list[tuple[str, str]]:
    found = health_child.find({"directory": str(directory), "now_us": 1, "placement": ""})
    return [(alarm["name"], alarm["message"]) for alarm in found["alarms"]]


def test_a_ledger_that_is_not_there_yet_is_an_alarm(tmp_path: Path) -> None:
    """As at a first start, on a machine that is slow to come to it."""
    DataDirectory(tmp_path).prepare(Files())
    for _ in range(2):
        ((name, message),) = alarms(tmp_path)
        assert name == "storage_refused"
        assert "The ledger could not be read" in message
        (tmp_path / "ledger.sqlite").touch()


def test_a_disk_that_does_not_give_back_catalog_or_cells_is_an_alarm(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.prepare(Files())
    for unreadable in (directory.catalog / "9", directory.run / "x.cells"):
        unreadable.mkdir(parents=True)
    text = " ".join(message for _, message in alarms(tmp_path))
    assert "catalog/9: could not read: Is a directory" in text
    assert "x.cells: could not read: Is a directory" in text
