"""The hot cache on a disk, or in a map, that has no room: changes are refused, and nothing else happens."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.core.errors import CacheBusy
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.hot_room import RESERVE_BYTES, HotRoom
from offer_optimizer.store.lmdb_cache import LmdbCache
from tests.integration.test_hot_cache import ANN, BOOT, add, add_many, environment_of, make_ready, times


@pytest.fixture
def lock(tmp_path: Path) -> HotLock:
    return HotLock(tmp_path / "lock", BOOT, os.getpid(), time.monotonic_ns, time.sleep)


@pytest.fixture
def cache(tmp_path: Path, lock: HotLock) -> Iterator[LmdbCache]:
    made = LmdbCache(tmp_path, lock, BOOT, trial=lambda _: True)
    make_ready(made)
    yield made
    made.close()


def allocated_bytes(folder: Path) -> int:
    return (environment_of(folder) / "data.mdb").stat().st_blocks * 512


def test_a_full_map_refuses_changes_and_is_not_doubted(tmp_path: Path, lock: HotLock) -> None:
    small = LmdbCache(tmp_path, lock, BOOT, map_bytes=256 * 1024, trial=lambda _: True)
    make_ready(small)
    with pytest.raises(CacheBusy):
        add_many(small, 5000)
    assert small.is_ready()
    assert times(small, (0).to_bytes(32, "big")) == [0]
    small.close()


def test_the_file_is_allocated_ahead_of_what_is_in_use(cache: LmdbCache, tmp_path: Path) -> None:
    add_many(cache, 300)
    used_bytes = (cache.in_force().environment.info()["last_pgno"] + 1) * cache.in_force().page_bytes
    assert used_bytes + RESERVE_BYTES <= allocated_bytes(tmp_path) < used_bytes + 4 * RESERVE_BYTES


def test_a_full_disk_refuses_changes_before_any_is_made(
    tmp_path: Path, cache: LmdbCache, lock: HotLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(cache, 1)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    add(cache, 2)  # allocated before
    other = LmdbCache(tmp_path, lock, BOOT, trial=lambda _: True)
    cache.close()
    other.refresh()
    with pytest.raises(CacheBusy, match="No space left"):
        add(other, 3)
    assert other.is_ready()
    assert times(other) == [1, 2]
    monkeypatch.undo()
    add(other, 4)
    assert times(other, ANN) == [1, 2, 4]
    other.close()


def test_room_is_taken_in_steps_and_never_beyond_the_map(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch()
    room = HotRoom(path, 5 * RESERVE_BYTES)
    sizes = []
    for used_bytes in (0, RESERVE_BYTES, RESERVE_BYTES + 1, 9 * RESERVE_BYTES, 9 * RESERVE_BYTES):
        room.ensure(used_bytes)
        sizes.append(path.stat().st_size // RESERVE_BYTES)
    room.close()
    assert sizes == [2, 2, 3, 5, 5]
