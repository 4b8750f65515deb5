"""What a decision finds of a visitor's tally: torn, overtaken, of another generation, or without room."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import lmdb
import pytest

from offer_optimizer.core.errors import CacheBusy, CacheUnready
from offer_optimizer.store import lmdb_environment
from offer_optimizer.store.hot_room import HotRoom
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.lmdb_environment import Opened
from tests.integration.tallies import (
    ANN,
    BOB,
    READING,
    change,
    change_in,
    counts,
    decide,
    fill_seat,
    know,
    open_small,
)
from tests.integration.test_hot_cache import environment_of, make_ready, open_cache, run_child
from tests.unit.store.test_hot_visitor import MIDNIGHT_US


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LmdbCache]:
    """Return one whose visitors share a seat, and that knows one of them."""
    made = open_small(tmp_path, 1, monkeypatch)
    know(made, ANN)
    yield made
    made.close()


# --- a seat that nobody finished writing ----------------------------------------------------------------


def tear(folder: Path) -> None:
    """Overwrite a byte of the counts of the only seat."""
    with (environment_of(folder) / "tallies").open("r+b") as file:
        file.seek(4096 + 65)
        (byte,) = file.read(1)
        file.seek(4096 + 65)
        file.write(bytes((byte ^ 0xFF,)))


def test_a_torn_seat_gives_no_tally_and_a_view_asks_lmdb_and_doubts_nothing(
    cache: LmdbCache, tmp_path: Path
) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    assert decide(cache, ANN, 3, MIDNIGHT_US)[1]
    tear(tmp_path)
    assert cache.tally(READING, ANN, MIDNIGHT_US, 3) is None
    with cache.view() as view:
        assert list(view.counts(READING, ANN, MIDNIGHT_US)) == [1] * 3
    assert cache.is_ready()
    tear(tmp_path)
    assert counts(cache, ANN) == [2] * 3
    # What was seen while the seat was torn is no ground to decide on.
    with cache.transaction(1.0) as state:
        assert not state.continues(view)


def count_within(cache: LmdbCache, visitor: bytes) -> None:
    with cache.transaction(1.0, keeps_tally=True) as state:
        state.counts(READING, visitor, MIDNIGHT_US)
        change_in(state, "count", visitor, 1, MIDNIGHT_US)


@pytest.mark.parametrize("visitor", [ANN, BOB], ids=["its own", "another's"])
def test_a_transaction_that_needs_a_torn_seat_doubts_the_cache(
    cache: LmdbCache, tmp_path: Path, visitor: bytes
) -> None:
    know(cache, BOB)
    decide(cache, ANN, 0, MIDNIGHT_US)
    tear(tmp_path)
    with pytest.raises(CacheUnready):
        count_within(cache, visitor)
    assert not cache.is_ready()
    make_ready(cache)
    assert counts(cache, ANN) == [0] * 3


# --- who changes something between looking and holding ---------------------------------------------------


def assert_free(cache: LmdbCache) -> None:
    with cache.transaction(0.0) as state:
        assert state.is_whole


def test_a_tally_that_another_process_changed_is_not_held_and_the_lock_is_free(
    cache: LmdbCache, tmp_path: Path
) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    tally = cache.tally(READING, ANN, MIDNIGHT_US, 3)
    assert tally is not None
    child = run_child(
        "from tests.integration.tallies import ANN, MIDNIGHT_US, decide\n"
        "print([decide(cache, ANN, number, MIDNIGHT_US)[1] for number in (3, 6)])",
        tmp_path,
    )
    # The first look of a process opens the table by a view.
    assert child.communicate(timeout=60)[0] == b"[False, True]\n"
    assert not tally.take(1.0)
    assert_free(cache)
    assert counts(cache, ANN) == [3] * 3


@pytest.mark.parametrize("kind", ["count", "reserve", "undo", "merge"])
def test_a_tally_is_not_held_behind_a_plain_change_of_its_visitor(cache: LmdbCache, kind: str) -> None:
    change(cache, "count", BOB, 96)
    decide(cache, ANN, 99, MIDNIGHT_US)
    tally = cache.tally(READING, ANN, MIDNIGHT_US, 3)
    assert tally is not None
    change(cache, kind, ANN, 99 if kind == "undo" else 102)
    assert not tally.take(1.0)
    assert_free(cache)


@pytest.mark.parametrize("is_doubted", [False, True], ids=["replaced", "doubted"])
def test_a_tally_of_a_generation_that_is_not_in_force_is_not_held(cache: LmdbCache, is_doubted: bool) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    tally = cache.tally(READING, ANN, MIDNIGHT_US, 3)
    assert tally is not None
    if is_doubted:
        cache.doubt()
    else:
        make_ready(cache)
    assert not tally.take(1.0)
    if is_doubted:
        make_ready(cache)
    assert_free(cache)
    assert counts(cache, ANN) == [0] * 3


def test_a_tally_is_not_held_while_another_process_holds_the_lock(cache: LmdbCache, tmp_path: Path) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    tally = cache.tally(READING, ANN, MIDNIGHT_US, 3)
    assert tally is not None
    child = run_child("with cache.transaction(1.0): print('in', flush=True); sys.stdin.readline()", tmp_path)
    assert child.stdout is not None
    assert child.stdout.readline() == b"in\n"
    with pytest.raises(CacheBusy):
        tally.take(0.02)
    child.communicate(b"go\n", timeout=60)
    assert tally.take(1.0)
    tally.let_go()


def test_a_transaction_does_not_continue_a_view_behind_which_a_tally_was_added_to(cache: LmdbCache) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    with cache.view() as before:
        before.counts(READING, ANN, MIDNIGHT_US)
    with cache.transaction(1.0) as state:
        assert state.continues(before)
    assert decide(cache, ANN, 3, MIDNIGHT_US)[1]
    with cache.transaction(1.0) as state:
        assert not state.continues(before)
        assert list(state.counts(READING, ANN, MIDNIGHT_US)) == [2] * 3


def test_who_comes_once_gets_no_seat(cache: LmdbCache) -> None:
    assert [decide(cache, BOB, 3 * number, MIDNIGHT_US)[1] for number in range(4)] == [False] * 2 + [True] * 2


# --- a full disk -----------------------------------------------------------------------------------------


def refuse(*_: object) -> NoReturn:
    """Do as a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_where_the_disk_has_no_room_for_a_seat_decisions_go_on_without(
    cache: LmdbCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        for number in range(4):
            assert decide(cache, ANN, 3 * number, MIDNIGHT_US) == (bytes([number] * 3), False)
        assert counts(cache, ANN) == [4] * 3
    assert not any((environment_of(tmp_path) / "tallies").read_bytes())
    assert [decide(cache, ANN, number, MIDNIGHT_US)[1] for number in (12, 15)] == [False, True]
    assert counts(cache, ANN) == [6] * 3


def test_what_lies_in_a_full_seat_is_brought_home_before_more_is_added(cache: LmdbCache) -> None:
    number = fill_seat(cache, ANN)
    assert number > 3
    for more in range(20):
        assert decide(cache, ANN, 3 * (number + more), MIDNIGHT_US) == (bytes([number + more] * 3), True)
        assert counts(cache, ANN) == [number + more + 1] * 3
    know(cache, BOB)
    decide(cache, BOB, 1, MIDNIGHT_US)
    assert counts(cache, ANN) == [number + 20] * 3


def test_events_that_were_brought_home_stay_bounded(cache: LmdbCache) -> None:
    for number in range(800):
        decide(cache, ANN, 3 * number, MIDNIGHT_US)
    assert counts(cache, ANN) == [100] * 3


def test_more_events_than_any_seat_holds_go_by_lmdb(cache: LmdbCache) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    assert cache.tally(READING, ANN, MIDNIGHT_US, 13) is not None
    assert cache.tally(READING, ANN, MIDNIGHT_US, 14) is None


@pytest.mark.parametrize(
    ("where", "error", "expected", "stays"),
    [
        ("ensure", OSError(errno.ENOSPC, "No space left on device"), CacheBusy, True),
        ("settled", lmdb.MapFullError("mdb_put: MDB_MAP_FULL"), CacheBusy, True),
        ("settled", lmdb.CorruptedError("mdb_put: MDB_CORRUPTED"), CacheUnready, False),
    ],
    ids=["no room on the disk", "map full", "damaged"],
)
def test_a_full_seat_that_can_not_be_brought_home_is_not_taken_and_the_lock_is_free(
    cache: LmdbCache,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: Exception,
    expected: type[Exception],
    stays: bool,
) -> None:
    """Before anything is drawn: a decision that is refused behind its draw would bias what is logged."""
    number = fill_seat(cache, ANN)
    tally = cache.tally(READING, ANN, MIDNIGHT_US, 3)
    assert tally is not None

    def fail(*_: object) -> NoReturn:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(HotRoom if where == "ensure" else lmdb_environment, where, fail)
        with pytest.raises(expected):
            tally.take(1.0)
    assert cache.is_ready() is stays
    if stays:
        assert_free(cache)
        assert counts(cache, ANN) == [number] * 3


class RefusedCommit:
    """A transaction of LMDB whose commit is refused."""

    def __init__(self, real: lmdb.Transaction[bytes]) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def commit(self) -> NoReturn:
        """Abort."""
        self._real.abort()
        raise lmdb.MapFullError("mdb_txn_commit: MDB_MAP_FULL")


def test_a_commit_that_is_refused_loses_no_event(cache: LmdbCache, monkeypatch: pytest.MonkeyPatch) -> None:
    number = fill_seat(cache, ANN)
    begin = Opened.begin_write
    with monkeypatch.context() as patch:
        patch.setattr(Opened, "begin_write", lambda opened: RefusedCommit(begin(opened)))
        with pytest.raises(CacheBusy):
            decide(cache, ANN, 3 * number, MIDNIGHT_US)
    assert counts(cache, ANN) == [number] * 3
    decide(cache, ANN, 3 * number, MIDNIGHT_US)
    assert counts(cache, ANN) == [number + 1] * 3


def test_a_page_that_the_disk_took_in_part_has_no_seats(
    cache: LmdbCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda _fd, data, _at: len(data) - 100)
        assert not any(decide(cache, ANN, 3 * number, MIDNIGHT_US)[1] for number in range(4))
    assert counts(cache, ANN) == [4] * 3


# --- a table that is not what was made -------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [None, 0, 1000, 3 * 512], ids="{} bytes".format)
def test_an_environment_whose_table_is_missing_or_cut_is_doubted(
    cache: LmdbCache, tmp_path: Path, size_bytes: int | None
) -> None:
    decide(cache, ANN, 0, MIDNIGHT_US)
    cache.close()
    table = environment_of(tmp_path) / "tallies"
    if size_bytes is None:
        table.unlink()
    else:
        os.truncate(table, size_bytes)
    after = open_cache(tmp_path)
    after.refresh()
    assert after.stage() is None
    make_ready(after)
    assert counts(after, ANN) == [0] * 3
    after.close()
