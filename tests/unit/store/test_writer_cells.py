"""Writer cells: what they show, and the argument that ledger time rests on, over all interleavings."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from offer_optimizer.core.errors import DamagedFile, StorageUnavailable
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.writer_cells import (
    CELL_COUNT,
    CellReading,
    WriterCells,
    oldest_unwritten,
    read_cells,
    remove_dead,
)

WRITER = "00000000000000aa"
OTHER = "00000000000000bb"


def ticking(start: int = 100) -> Callable[[], int]:
    numbers = itertools.count(start)
    return lambda: next(numbers)


def make(files: MemoryFiles, writer_id: str = WRITER) -> WriterCells:
    return WriterCells.create(files, "/data", writer_id, pid=7, heartbeat_ns=5)


def read_one(files: MemoryFiles) -> CellReading:
    (reading,) = read_cells(files, "/data")
    return reading


def test_a_fresh_writer_shows_its_pid_its_heartbeat_and_nothing_under_way() -> None:
    files = MemoryFiles()
    cells = make(files)
    assert read_one(files) == CellReading(WRITER, 7, 5, None, alive=True)
    cells.beat(9_000_000_000_123)
    assert read_one(files).heartbeat_ns == 9_000_000_000_123


def test_a_record_under_way_is_shown_with_a_time_no_later_than_its_stamp() -> None:
    files = MemoryFiles()
    cells = make(files)
    assert cells.begin(ticking()) == 101
    assert read_one(files).oldest_us == 100
    cells.end()
    assert read_one(files).oldest_us is None


def test_a_clock_that_goes_back_between_its_two_readings_does_not_stamp_before_what_is_shown() -> None:
    files = MemoryFiles()
    backwards = iter([100, 40])
    assert make(files).begin(lambda: next(backwards)) == 100


def test_a_second_begin_in_one_thread_is_refused_and_leaves_the_first_shown() -> None:
    files = MemoryFiles()
    cells = make(files)
    clock = ticking()
    cells.begin(clock)
    with pytest.raises(RuntimeError, match="a batch begins once"):
        cells.begin(clock)
    assert read_one(files).oldest_us == 100
    cells.end()
    cells.begin(clock)


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_the_oldest_of_all_threads_counts_and_a_thread_that_ends_gives_its_cell_back() -> None:
    files = MemoryFiles()
    cells = make(files)
    clock = ticking()
    seen: list[int | None] = []

    def begin_and_end_without_a_word() -> None:
        cells.begin(clock)
        seen.append(read_one(files).oldest_us)

    for _ in range(2 * CELL_COUNT):
        in_thread(begin_and_end_without_a_word)
    assert len(seen) == 2 * CELL_COUNT
    assert None not in seen
    assert read_one(files).oldest_us is None


def test_more_threads_than_cells_are_refused_by_number() -> None:
    files = MemoryFiles()
    cells = make(files)
    everybody = threading.Barrier(CELL_COUNT + 1)
    over = threading.Event()

    def stay() -> None:
        cells.begin(ticking())
        everybody.wait(20)
        over.wait(20)

    threads = [threading.Thread(target=stay) for _ in range(CELL_COUNT)]
    for thread in threads:
        thread.start()
    everybody.wait(20)
    try:
        with pytest.raises(StorageUnavailable, match="more than 128 threads"):
            cells.begin(ticking())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert cells.begin(ticking()) == 101


def test_a_dead_writer_no_longer_counts_and_its_file_is_removed() -> None:
    files = MemoryFiles()
    dead, living = make(files), make(files, OTHER)
    dead.begin(ticking(10))
    in_thread(lambda: None)
    living.begin(ticking(500))
    assert oldest_unwritten(read_cells(files, "/data")) == 10
    dead.close()
    assert [reading.alive for reading in read_cells(files, "/data")] == [False, True]
    assert oldest_unwritten(read_cells(files, "/data")) == 500
    assert remove_dead(files, "/data") == 1
    assert [reading.writer_id for reading in read_cells(files, "/data")] == [OTHER]


def test_no_writer_means_nothing_under_way() -> None:
    assert oldest_unwritten([]) is None


def test_an_unreadable_file_of_the_dead_is_left_out_and_of_the_living_is_damage() -> None:
    files = MemoryFiles()
    fd = files.open_append(f"/data/{WRITER}.cells", "test", b"rubbish")
    with pytest.raises(DamagedFile, match=WRITER):
        read_cells(files, "/data")
    files.close(fd)
    assert read_cells(files, "/data") == []
    assert remove_dead(files, "/data") == 1


class Interleaving:
    """Runs two records of a writer; the reader's three steps happen at three of the points in between.

    The clock is a point on both sides of each reading, so the steps also fall between reading and publishing.
    """

    def __init__(self, reader_points: tuple[int, int, int], *, clock_stands_still: bool) -> None:
        self.files = MemoryFiles()
        self.cells = make(self.files)
        self.waiting = list(
            zip(reader_points, (self.read_clock, self.read_cells, self.read_ends), strict=True)
        )
        self.clock_stands_still = clock_stands_still
        self.points = 0
        self.now = 1000
        self.written: list[int] = []
        self.tick = 0
        self.ends: int | None = None

    def point(self) -> None:
        while self.waiting and self.waiting[0][0] == self.points:
            self.waiting.pop(0)[1]()
        self.points += 1

    def clock(self) -> int:
        self.point()
        reading = self.advance()
        self.point()
        return reading

    def advance(self) -> int:
        self.now += 0 if self.clock_stands_still else 1
        return self.now

    def read_clock(self) -> None:
        self.tick = self.advance()

    def read_cells(self) -> None:
        oldest = oldest_unwritten(read_cells(self.files, "/data"))
        self.tick = self.tick if oldest is None else min(self.tick, oldest)

    def read_ends(self) -> None:
        self.ends = len(self.written)

    def run(self) -> None:
        for _ in range(2):
            self.point()
            stamp = self.cells.begin(self.clock)
            self.point()
            self.written.append(stamp)
            self.point()
            self.cells.end()
        self.point()


POINTS = 15


def all_interleavings() -> Iterator[Interleaving]:
    for points in itertools.combinations_with_replacement(range(POINTS), 3):
        for clock_stands_still in (False, True):
            yield Interleaving(points, clock_stands_still=clock_stands_still)


def test_no_record_behind_the_readers_ends_is_stamped_before_the_readers_time() -> None:
    behind_count = 0
    for interleaving in all_interleavings():
        interleaving.run()
        assert interleaving.points == POINTS
        assert interleaving.ends is not None
        behind = interleaving.written[interleaving.ends :]
        behind_count += len(behind)
        assert all(stamp >= interleaving.tick for stamp in behind)
    assert behind_count > 500


def test_the_check_over_interleavings_finds_a_stamp_that_was_read_before_publishing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true_begin = WriterCells.begin

    def begin(cells: WriterCells, clock: Callable[[], int]) -> int:
        stamp = clock()
        true_begin(cells, lambda: stamp)
        clock()
        return stamp

    monkeypatch.setattr(WriterCells, "begin", begin)
    with pytest.raises(AssertionError):
        test_no_record_behind_the_readers_ends_is_stamped_before_the_readers_time()
