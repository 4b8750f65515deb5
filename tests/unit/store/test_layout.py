"""The data directory: laid out once, refused when it isn't ours, one server at a time."""

from __future__ import annotations

import errno

import pytest

from offer_optimizer.core.errors import CannotStart
from offer_optimizer.store.files import Moment
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.memory_files import MemoryFiles


def test_a_missing_or_empty_directory_is_laid_out_and_found_again_after_a_power_cut() -> None:
    files = MemoryFiles()
    directory = DataDirectory("/data/shop")
    assert directory.prepare(files) is True
    files.disk.power_cut()
    assert files.read(directory.format_path) == b"offer-optimizer data directory, format 1\n"
    assert directory.prepare(files) is False
    assert files.list(directory.segments) == files.list(directory.run) == []
    assert files.list(directory.snapshots) == files.list(directory.catalog) == []
    assert directory.ledger_path.name == "ledger.sqlite"
    assert {directory.secret_path.parent, directory.lock_path.parent} == {directory.path}
    assert DataDirectory("/data").prepare(MemoryFiles()) is True


def test_a_directory_with_other_things_in_it_is_refused_untouched() -> None:
    files = MemoryFiles()
    files.replace("/data/thesis.tex", b"", "test")
    with pytest.raises(CannotStart, match="/data is not empty and is not a data directory"):
        DataDirectory("/data").prepare(files)
    assert files.disk.list_dir("/data") == ["thesis.tex"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"offer-optimizer data directory, format 2\n", "has format 2, this release reads 1"),
        (b"offer-optimizer data directory, format x\n", "is not what this service writes"),
        (b"\xff", "is not what this service writes"),
        (b"1", "is not what this service writes"),
    ],
)
def test_another_format_is_refused(content: bytes, message: str) -> None:
    files = MemoryFiles()
    files.replace("/data/FORMAT", content, "test")
    with pytest.raises(CannotStart, match=message):
        DataDirectory("/data").prepare(files)


def test_a_layout_that_was_interrupted_is_finished_the_next_time() -> None:
    def fail(step: str, moment: Moment) -> None:
        if step == "layout.part":
            raise OSError(errno.EIO, "made to fail")

    files = MemoryFiles(fail)
    directory = DataDirectory("/data")
    with pytest.raises(CannotStart, match="can't be used"):
        directory.prepare(files)
    files._on_step = lambda step, moment: None
    directory.prepare(files)
    assert files.list(directory.segments) == []


def test_a_second_server_is_refused_and_told_who_the_first_is() -> None:
    files = MemoryFiles()
    directory = DataDirectory("/data")
    directory.prepare(files)
    lock = directory.lock(files, 4711)
    with pytest.raises(CannotStart, match=r"directory /data is in use by another server \(process 4711\)"):
        directory.lock(files, 4712)
    lock.release()
    lock.release()
    directory.lock(files, 4712)


def test_a_holder_that_is_not_known_is_not_named() -> None:
    files = MemoryFiles()
    directory = DataDirectory("/data")
    directory.prepare(files)
    assert files.hold(directory.lock_path, b"", "test") is not None
    with pytest.raises(CannotStart, match="another server: stop it"):
        directory.lock(files, 4712)


def test_the_lock_clears_what_the_dead_left_unfinished() -> None:
    files = MemoryFiles()
    directory = DataDirectory("/data")
    directory.prepare(files)
    files.disk.open("/data/segments/.x.1-0.aside", 0o600, must_be_new=True)
    directory.lock(files, 1)
    assert files.disk.list_dir("/data/segments") == []
