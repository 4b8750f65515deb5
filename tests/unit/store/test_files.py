"""Files: all or nothing, errors that say where, named steps."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from offer_optimizer.core.errors import NotFound, StorageUnavailable
from offer_optimizer.store.files import AppendFailed, Files, Moment
from offer_optimizer.store.memory_files import MemoryDisk, MemoryFiles


def failing_at(step: str, code: int = errno.EIO) -> Callable[[str, Moment], None]:
    def on_step(name: str, moment: Moment) -> None:
        if (name, moment) == (step, "before"):
            raise OSError(code, "made to fail")

    return on_step


def test_append_adds_at_the_end() -> None:
    files = MemoryFiles()
    fd = files.open_append("/data/a", "a", b"head")
    files.append(fd, b"one", "a")
    files.append(fd, b"two", "a")
    assert files.read("/data/a") == b"headonetwo"
    assert files.read("/data/a", 4, 3) == b"one"
    assert files.read("/data/a", 99) == b""


def test_an_append_that_hits_a_full_disk_leaves_nothing_of_itself() -> None:
    files = MemoryFiles(capacity_bytes=10)
    fd = files.open_append("/data/a", "a")
    files.append(fd, b"1234567", "a")
    with pytest.raises(AppendFailed, match="/data/a: could not append: no space left") as raised:
        files.append(fd, b"too much", "a")
    assert (raised.value.kept, raised.value.is_torn) == (0, False)
    assert files.read("/data/a") == b"1234567"
    files.append(fd, b"fit", "a")
    assert files.read("/data/a") == b"1234567fit"


def test_an_append_of_many_records_keeps_the_whole_ones_that_a_reader_may_have_seen() -> None:
    files = MemoryFiles(capacity_bytes=8)
    fd = files.open_append("/data/a", "a")
    with pytest.raises(AppendFailed) as raised:
        files.append(fd, b"aaabbbccc", "a", [3, 6, 9])
    assert (raised.value.kept, raised.value.is_torn) == (6, False)
    assert files.read("/data/a") == b"aaabbb"


def test_an_append_that_can_not_be_cut_back_says_that_the_file_is_torn() -> None:
    files = MemoryFiles(failing_at("a.cut"), capacity_bytes=2)
    fd = files.open_append("/data/a", "a")
    with pytest.raises(AppendFailed) as raised:
        files.append(fd, b"abc", "a")
    assert raised.value.is_torn


def test_a_short_write_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MemoryDisk.write
    monkeypatch.setattr(MemoryDisk, "write", lambda disk, fd, data: whole(disk, fd, data[:2]))
    files = MemoryFiles()
    fd = files.open_append("/data/a", "a")
    files.append(fd, b"abcde", "a")
    assert files.read("/data/a") == b"abcde"


REPLACE_STEPS = ("r.open", "r.write", "r.sync", "r.rename", "r.sync_dir")


@pytest.mark.parametrize("step", REPLACE_STEPS)
def test_replace_leaves_old_or_new_content_whatever_fails_even_through_a_power_cut(step: str) -> None:
    files = MemoryFiles()
    files.replace("/data/a", b"old", "setup")
    files._on_step = failing_at(step)
    with pytest.raises(StorageUnavailable, match="/data"):
        files.replace("/data/a", b"new", "r")
    assert files.list("/data") == files.disk.list_dir("/data") == ["a"]
    files.disk.power_cut()
    assert files.read("/data/a") == b"old"


def test_replace_survives_a_power_cut_and_names_its_steps_in_order() -> None:
    seen: list[tuple[str, Moment]] = []
    files = MemoryFiles(lambda step, moment: seen.append((step, moment)))
    files.replace("/data/a", b"new", "r")
    files.disk.power_cut()
    assert files.read("/data/a") == b"new"
    assert seen == [(step, moment) for step in REPLACE_STEPS for moment in ("before", "after")]


def test_a_created_file_is_locked_whenever_its_name_can_be_seen() -> None:
    seen: list[bool] = []

    def look(step: str, moment: Moment) -> None:
        seen.extend(files.is_locked(f"/data/{name}") for name in files.list("/data"))

    files = MemoryFiles(look)
    fd = files.open_append("/data/a", "a", b"head")
    assert seen == [True]
    files.close(fd)
    assert not files.is_locked("/data/a")


def test_a_file_that_can_not_be_created_leaves_nothing_behind() -> None:
    files = MemoryFiles(failing_at("a.rename"))
    with pytest.raises(StorageUnavailable, match="/data/a: could not rename"):
        files.open_append("/data/a", "a", b"head")
    assert files.disk.list_dir("/data") == []


def test_hold_is_for_one_at_a_time() -> None:
    files = MemoryFiles()
    fd = files.hold("/data/lock", b"7\n", "lock")
    assert fd is not None
    assert files.hold("/data/lock", b"8\n", "lock") is None
    assert files.read("/data/lock") == b"7\n"
    files.close(fd)
    assert files.hold("/data/lock", b"9\n", "lock") is not None
    assert files.read("/data/lock") == b"9\n"


def test_what_is_missing_is_not_found_and_may_be_removed() -> None:
    files = MemoryFiles()
    for ask in (files.read, files.size):
        with pytest.raises(NotFound, match="/data/a: does not exist"):
            ask("/data/a")
    with pytest.raises(NotFound):
        files.list("/nowhere")
    assert not files.exists("/data/a")
    files.remove("/data/a", "remove")


def test_what_a_dead_life_with_the_same_pid_left_unfinished_is_in_nobodys_way() -> None:
    """As in a container, where every life has one pid: else a kill during the first start was the last."""
    disk = MemoryDisk()
    disk.make_dir("/data", 0o700)
    stopped = Files(failing_at("a.write"), disk)
    with pytest.raises(StorageUnavailable):
        stopped.replace("/data/a", b"never", "a")
    for name in disk.list_dir("/data"):
        disk.unlink(f"/data/{name}")
    left = disk.open(f"/data/.a.{os.getpid()}-0.aside", 0o600, must_be_new=True)
    assert disk.lock(left)
    with pytest.raises(StorageUnavailable, match="exists"):
        Files(disk=disk).replace("/data/a", b"new", "a")
    disk.kill()
    Files(disk=disk).replace("/data/a", b"new", "a")
    assert disk.list_dir("/data") == ["a"]


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay() -> None:
    files = MemoryFiles()
    for name in (".a.1-0.aside", ".b.1-0.aside", "c"):
        files.disk.open(f"/data/{name}", 0o600, must_be_new=True)
    alive = files.disk.open("/data/.b.1-0.aside", 0o600, must_be_new=False)
    assert files.disk.lock(alive)
    assert files.list("/data") == ["c"]
    files.remove_leftovers("/data", "leftovers")
    assert files.disk.list_dir("/data") == [".b.1-0.aside", "c"]
