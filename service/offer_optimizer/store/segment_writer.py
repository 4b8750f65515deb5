"""Writes segments: one SegmentWriter per process and kind, and the thread that syncs the journal.

What always holds: a frame whose `append` returned survives the death of every process; a segment is written
by the one life that created it, which holds its lock until the last byte is synced or given up; behind a
torn frame nothing is ever appended. It may not know what a payload means.

After a failed sync nobody knows what the disk holds (the page cache calls lost pages clean), so the segment
is abandoned and the next append begins a new one: recovery needs no restart.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.store.files import AppendFailed, Files, StrPath
from offer_optimizer.store.segment_format import (
    SegmentName,
    encode_frame,
    encode_header,
    normalise_boot_id,
)

ROLL_BYTES: Final = 64 * 1024 * 1024
ROLL_RETRIES: Final = 16
"""A roll that failed is tried again after a sixteenth of the segment's size; until then the old one grows."""
ROOM_BYTES: Final = 16 * 1024 * 1024
"""How far ahead a segment has room: without, a sync allocates, and appends wait for that (35 ms at worst)."""
SYNC_INTERVAL_S: Final = 0.05
"""What a power cut can take of the journal."""


@dataclass(slots=True)
class _Segment:
    path: str
    fd: int
    seed: int
    end: int
    roll_at: int
    room: int = 0


class SegmentWriter:
    """Appends frames to segments of its own. Safe for threads; segments are created when needed."""

    def __init__(
        self,
        files: Files,
        directory: StrPath,
        kind: str,
        boot_id: str,
        writer_id: str,
        *,
        roll_bytes: int = ROLL_BYTES,
    ) -> None:
        """Take `writer_id` (16 random hex digits, new in each life). Raises InvalidInput for a bad name."""
        self._files = files
        self._directory = str(directory)
        self._boot_id = normalise_boot_id(boot_id)
        self._name = SegmentName(kind, self._boot_id[:8], writer_id, 0)
        encode_header(self._name, self._boot_id)
        self._roll_bytes = roll_bytes
        self._append_step = f"{kind}.append"
        self._sync_step = f"{kind}.sync"
        self._lock = threading.Lock()
        # Held through a sync, so that no handle is closed (and its number reused) under one.
        self._sync_lock = threading.Lock()
        self._sequence = 0
        self._segment: _Segment | None = None
        self._retired: list[_Segment] = []
        self._is_dirty = False
        self._has_new_name = False
        self._is_closed = False

    @property
    def path(self) -> str | None:
        """The segment that takes appends now; None before the first and after one was abandoned."""
        segment = self._segment
        return segment.path if segment else None

    def append(self, payload: bytes) -> int:
        """Append one record with one write, not synced; return the offset behind it in its segment.

        Raises InvalidInput for a payload of no or too many bytes, StorageUnavailable when the disk did not
        take it: then the record is not there and never will be.
        """
        with self._lock:
            segment = self._segment
            if segment is None or segment.end >= segment.roll_at:
                segment = self._roll(segment)
            frame = encode_frame(payload, segment.seed)
            try:
                self._files.append(segment.fd, frame, self._append_step)
            except AppendFailed as failure:
                self._settle(segment, failure)
                raise
            segment.end += len(frame)
            self._is_dirty = True
            return segment.end

    def append_all(self, payloads: Sequence[bytes]) -> None:
        """Append records with one write, not synced. Raises as `append` does.

        When it raises, the first of them may be there nevertheless, each whole: a reader may have seen
        them already, so they are not taken back; an AppendFailed counts them.
        """
        if not payloads:
            return
        with self._lock:
            segment = self._segment
            if segment is None or segment.end >= segment.roll_at:
                segment = self._roll(segment)
            frames = [encode_frame(payload, segment.seed) for payload in payloads]
            ends = []
            total = 0
            for frame in frames:
                total += len(frame)
                ends.append(total)
            try:
                self._files.append(segment.fd, b"".join(frames), self._append_step, ends)
            except AppendFailed as failure:
                failure.kept_count = bisect_right(ends, failure.kept)
                self._settle(segment, failure)
                raise
            segment.end += total
            self._is_dirty = True

    def _settle(self, segment: _Segment, failure: AppendFailed) -> None:
        """Account for what a failed append left behind; a torn segment takes no more, but is still synced."""
        segment.end += failure.kept
        # The file may have been cut, and its room with it.
        segment.room = min(segment.room, segment.end)
        self._is_dirty = self._is_dirty or failure.kept > 0
        if failure.is_torn:
            self._retired.append(segment)
            self._segment = None

    def _roll(self, old: _Segment | None) -> _Segment:
        """Begin the next segment; the old one keeps its lock until it is synced."""
        try:
            new = self._create()
        except StorageUnavailable:
            if old is None:
                raise
            old.roll_at = old.end + self._roll_bytes // ROLL_RETRIES
            return old
        if old is not None:
            self._retired.append(old)
        self._segment = new
        self._is_dirty = self._has_new_name = True
        return new

    def _create(self) -> _Segment:
        name = SegmentName(self._name.kind, self._name.boot, self._name.writer_id, self._sequence)
        path = f"{self._directory}/{name}"
        if self._is_closed:
            raise StorageUnavailable(f"{path}: the writer is closed")
        header, seed = encode_header(name, self._boot_id)
        fd = self._files.open_append(path, f"{name.kind}.create", header)
        self._sequence += 1
        return _Segment(path, fd, seed, len(header), max(self._roll_bytes, len(header) + 1))

    def sync(self) -> bool:
        """Return once all that was appended before the call survives a power cut; False: nothing to do.

        Appends go on meanwhile. On failure the segments in hand are abandoned. Raises StorageUnavailable.
        """
        with self._sync_lock:
            with self._lock:
                if not self._is_dirty:
                    return False
                retired = list(self._retired)
                synced = [*retired, self._segment] if self._segment else retired
                has_new_name = self._has_new_name
                self._is_dirty = self._has_new_name = False
            is_done = False
            try:
                for segment in synced:
                    self._files.sync(segment.fd, self._sync_step)
                if has_new_name:
                    self._files.sync_dir(self._directory, f"{self._sync_step}_dir")
                is_done = True
            finally:
                if not is_done:
                    self._abandon()
            with self._lock:
                self._retired = [segment for segment in self._retired if segment not in retired]
            for segment in retired:
                self._let_go(segment)
            return True

    def make_room(self) -> None:
        """Let the segment that takes appends have room ahead, where it is half used up: between syncs."""
        with self._sync_lock:
            segment = self._segment
            if segment is None or self._is_closed or segment.end + ROOM_BYTES // 2 <= segment.room:
                return
            wanted = min(segment.end + ROOM_BYTES, segment.roll_at)
            if wanted > segment.room:
                segment.room = wanted
                self._files.reserve(segment.fd, wanted)

    def _let_go(self, segment: _Segment) -> None:
        """Close a segment that no append reaches any more, without the room that it did not use."""
        if segment.room:
            self._files.give_back(segment.fd)
        self._files.close(segment.fd)

    def _abandon(self) -> None:
        """Give up every segment in hand; whoever drains them sees a dead writer. Holds the sync lock."""
        with self._lock:
            given_up = [*self._retired, self._segment] if self._segment else self._retired
            self._segment = None
            self._retired = []
            self._is_dirty = self._has_new_name = False
        for segment in given_up:
            self._let_go(segment)

    def close(self) -> None:
        """Sync what is left, release the locks, take no more.

        It is closed even when it raises StorageUnavailable.
        """
        self._is_closed = True
        try:
            self.sync()
        finally:
            with self._sync_lock:
                self._abandon()


class JournalSyncer:
    """A thread that syncs a writer every `interval_s` seconds, for as long as it lives.

    `wait(seconds)` returns True when it is time to stop. Failures are counted, and the last one is kept;
    the writer has gone on to a new segment by then.
    """

    def __init__(
        self,
        writer: SegmentWriter,
        interval_s: float = SYNC_INTERVAL_S,
        wait: Callable[[float], bool] | None = None,
        tell: Callable[[StorageUnavailable | None], None] | None = None,
    ) -> None:
        """Take `tell`, which hears of every sync that the disk refused, and None for the first good one."""
        self._tell = tell
        self._writer = writer
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._thread = threading.Thread(target=self.run, name="journal-sync", daemon=True)
        self.failure_count = 0
        self.last_failure: StorageUnavailable | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs: without it a power cut can take everything."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self) -> None:
        """Sync until told to stop; a disk that fails does not end it."""
        while not self._wait(self._interval_s):
            self.sync_once()

    def sync_once(self) -> bool:
        """Sync now; return whether the disk did as asked."""
        try:
            self._writer.sync()
        except StorageUnavailable as failure:
            self.failure_count += 1
            self.last_failure = failure
            if self._tell is not None:
                self._tell(failure)
            return False
        if not self._stopping.is_set():
            self._writer.make_room()
        if self._tell is not None and self.last_failure is not None:
            self._tell(None)
        self.last_failure = None
        return True

    def stop(self) -> None:
        """End the thread, then sync once more. A failure of that is recorded like any other."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.sync_once()
