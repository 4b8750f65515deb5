"""The ledger: positions without gaps, keys in place of digests, all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from offer_optimizer.core.errors import CannotStart
from offer_optimizer.store.codec import Epoch, RecordKind, Tick
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.migrations import FORMAT_VERSION, check_format
from offer_optimizer.store.sqlite import open_writer, transaction


def numbered() -> Callable[[int], bytes]:
    numbers = iter(range(2, 1 << 20, 2))
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger.create(open_writer(None), numbered())


def test_positions_count_from_one_without_gaps_also_after_a_rollback(ledger: Ledger) -> None:
    ledger.append_body(Tick(1))
    with pytest.raises(RuntimeError), transaction(ledger.connection):  # noqa: PT012  (rolled back whole)
        ledger.append_body(Tick(2))
        raise RuntimeError
    ledger.append_body(Tick(3))
    assert [(record.position, record.body()) for record in ledger.records()] == [(1, Tick(1)), (2, Tick(3))]
    assert ledger.last_position() == 2


def test_records_are_read_in_order_between_two_positions(ledger: Ledger) -> None:
    with transaction(ledger.connection):
        for number in range(4500):
            ledger.append_body(Tick(number))
    assert [record.position for record in ledger.records(100, 4400)] == list(range(101, 4401))


def test_rare_records_are_found_without_reading_the_others(ledger: Ledger) -> None:
    epoch = Epoch("home", 1, bytes(16), "{}")
    ledger.append_body(Tick(1))
    ledger.append_body(epoch)
    ledger.append_body(epoch)
    assert [record.position for record in ledger.rare_records(up_to=2)] == [2]


def test_a_decision_is_found_by_its_id(ledger: Ledger) -> None:
    ledger.append_body(Tick(1))
    assert ledger.append_decision(b"a" * 16, b"", None).position == 2
    assert ledger.find_decision(b"a" * 16) == 2
    assert ledger.find_decision(b"b" * 16) is None
    with pytest.raises(sqlite3.IntegrityError):
        ledger.append_decision(b"a" * 16, b"", None)


def test_a_missing_position_is_a_key_error(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        ledger.record_at(1)


def test_a_visitor_has_one_key_and_an_empty_digest_none(ledger: Ledger) -> None:
    assert ledger.visitor_key(b"") is None
    assert ledger.known_visitor_key(b"ann") is None
    key = ledger.visitor_key(b"ann")
    assert key == ledger.visitor_key(b"ann") == ledger.known_visitor_key(b"ann")
    assert key != ledger.visitor_key(b"bob")
    again = Ledger(ledger.connection, numbered())
    assert again.known_visitor_key(b"ann") == again.visitor_key(b"ann") == key


def test_a_key_made_in_a_transaction_that_was_rolled_back_is_forgotten(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), transaction(ledger.connection):  # noqa: PT012  (rolled back whole)
        ledger.visitor_key(b"ann")
        raise RuntimeError
    ledger.forget_cached_keys()
    assert ledger.known_visitor_key(b"ann") is None


def test_records_hold_the_key_and_never_the_digest(ledger: Ledger) -> None:
    key = ledger.visitor_key(b"digest of ann")
    ledger.append(RecordKind.FEEDBACK, b"body", key)
    rows = ledger.connection.execute("SELECT * FROM record").fetchall()
    assert b"digest of ann" not in repr(rows).encode()


def test_segment_offsets_are_kept_until_forgotten(ledger: Ledger) -> None:
    ledger.set_segment_offset("a", 1)
    ledger.set_segment_offset("a", 2)
    ledger.set_segment_offset("b", 3)
    ledger.forget_segment("b")
    assert ledger.segment_offsets() == {"a": 2}


def test_a_ledger_of_another_format_is_refused(ledger: Ledger) -> None:
    ledger.connection.execute(
        "UPDATE meta SET value = ? WHERE name = 'format_version'", (FORMAT_VERSION + 1,)
    )
    said = f"format {FORMAT_VERSION + 1}, this release reads format {FORMAT_VERSION}"
    with pytest.raises(CannotStart, match=said):
        check_format(ledger.connection, Path("ledger"))


class FailingCommit(sqlite3.Connection):
    """Fails at COMMIT; with `rolls_back` SQLite has ended the transaction by itself, as on a full disk."""

    rolls_back = False

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        """Run anything but COMMIT."""
        if sql == "COMMIT":
            if self.rolls_back:
                super().execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("rolls_back", [False, True])
def test_a_commit_that_fails_leaves_no_open_transaction(rolls_back: bool) -> None:
    """The next statement would otherwise be part of it, or commit it."""
    connection = sqlite3.connect("", factory=FailingCommit, isolation_level=None)
    assert isinstance(connection, FailingCommit)
    connection.execute("CREATE TABLE t(x)")
    connection.rolls_back = rolls_back
    with pytest.raises(sqlite3.OperationalError, match="full"), transaction(connection):
        connection.execute("INSERT INTO t VALUES (1)")
    assert not connection.in_transaction
    assert connection.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
