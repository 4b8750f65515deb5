"""Visitors are found wherever their records are: in full blocks, behind them, where some were moved out."""

from __future__ import annotations

import random

import pytest

from offer_optimizer.store import visitor_index
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import open_writer, transaction
from offer_optimizer.store.visitor_index import VisitorIndex
from tests.unit.learn.worlds import counted_entropy


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a ledger of 95 records of 7 visitors and of nobody, in blocks of 10."""
    monkeypatch.setattr(visitor_index, "BLOCK", 10)
    found, chance = Ledger.create(open_writer(None), counted_entropy()), random.Random(3)
    with transaction(found.connection):
        for _ in range(95):
            found.append(RecordKind.FEEDBACK, b"", chance.choice([None, *range(7)]))
    return found


def scanned(ledger: Ledger, *keys: int) -> list[int]:
    """Return what a scan finds."""
    return [record.position for record in ledger.records() if record.visitor_key in keys]


@pytest.mark.parametrize("blocks", [0, 1, 9])
def test_positions_are_what_a_scan_finds_however_much_is_indexed(ledger: Ledger, blocks: int) -> None:
    index = VisitorIndex(ledger.connection)
    assert sum(index.step(95) for _ in range(blocks)) == blocks
    for key in range(8):
        assert index.positions([key]) == scanned(ledger, key)
    assert index.positions([2, 5]) == scanned(ledger, 2, 5)
    assert index.positions([]) == []


def test_only_full_blocks_are_indexed(ledger: Ledger) -> None:
    index = VisitorIndex(ledger.connection)
    assert sum(index.step(95) for _ in range(20)) == 9


def test_records_that_their_visitor_does_not_lead_to_are_counted(ledger: Ledger) -> None:
    index = VisitorIndex(ledger.connection)
    while index.step(95):
        pass
    assert index.missing_count() == 0
    ledger.connection.execute("UPDATE visitor_position SET position = position + 60 WHERE position = 3")
    ledger.connection.execute("UPDATE visitor_position SET visitor_key = 77 WHERE position = 30")
    assert index.missing_count() == 2


def test_another_key_is_found_instead(ledger: Ledger) -> None:
    index = VisitorIndex(ledger.connection)
    for _ in range(5):
        index.step(95)
    wanted = scanned(ledger, 4)
    with transaction(ledger.connection):
        ledger.connection.execute("UPDATE record SET visitor_key = 99 WHERE visitor_key = 4")
        index.rename({4: 99})
    assert index.positions([99]) == wanted
    assert index.positions([4]) == []


def test_what_was_moved_out_is_forgotten(ledger: Ledger) -> None:
    index = VisitorIndex(ledger.connection)
    while index.step(95):
        pass
    with transaction(ledger.connection):
        ledger.connection.execute("DELETE FROM record WHERE position <= 44 AND position % 4 <> 0")
        index.drop_between(0, 44)
    left = [position for position in index.positions([3]) if position <= 40]
    assert left == [position for position in scanned(ledger, 3) if position <= 40]


def test_a_ledger_of_before_is_scanned() -> None:
    found = Ledger.create(open_writer(None), counted_entropy())
    found.connection.execute("DROP TABLE visitor_position")
    record = found.append(RecordKind.FEEDBACK, b"", 5)
    assert VisitorIndex(found.connection).positions([5]) == [record.position]
