"""The lock of the hot cache: one mapped file for all processes, so that all see who holds it since when.

Taken by `flock`, which the kernel gives back when a process dies, however it dies. A process that was stopped
while it holds the lock does not die: whoever waits sees how long it has been held and gives up at once, and
the supervisor, who asks `stuck_holder`, kills it. The file also says which generation of the cache is in
force, which is changed under the lock only, and whether somebody doubts it, which anybody may say.

    "OOHL" | u32 version | i64 generation | i64 doubted generation | i64 pid | i64 held since, ns | 8 boot

In the machine's byte order, every number aligned and so read in one piece. Nothing here survives a boot: what
another boot left is reset by the first who comes. Not written through `Files`, because it is never synced.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from offer_optimizer.core.errors import CacheBusy, StorageUnavailable
from offer_optimizer.store.files import StrPath

MAGIC: Final = b"OOHL"
FORMAT_VERSION: Final = 1
GIVE_UP_NS: Final = 100_000_000
"""A lock held for longer is not waited for: a transaction takes microseconds."""
_FILE: Final = struct.Struct("=4sIqqqq8s")
_GENERATION, _DOUBT, _PID, _SINCE = 1, 2, 3, 4
_TAKE: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
_POLL_FIRST_S: Final = 0.000_1
_POLL_MOST_S: Final = 0.002
_FILE_MODE: Final = 0o600


class Look(NamedTuple):
    """What the file says: the generation in force, and whether somebody doubts it."""

    generation: int
    is_doubted: bool


def look_at_lock(path: StrPath, boot_id: str) -> Look | None:
    """Return what the file of a boot says, changing nothing; None where there is none of that boot."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return None
    if len(content) < _FILE.size:
        return None
    magic, version, generation, doubted, _, _, boot = _FILE.unpack_from(content)
    if (magic, version, boot) != (MAGIC, FORMAT_VERSION, _digest(boot_id)):
        return None
    return Look(generation, doubted == generation)


def _digest(boot_id: str) -> bytes:
    return hashlib.blake2b(boot_id.encode(), digest_size=8).digest()


class HotLock:
    """The lock as one process has it; safe for threads, which wait in a queue of their own first."""

    def __init__(
        self,
        path: StrPath,
        boot_id: str,
        pid: int,
        monotonic_ns: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        """Open or create the file. Raises StorageUnavailable."""
        self._path = os.fspath(path)
        self._pid = pid
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._thread_lock = threading.Lock()
        boot = _digest(boot_id)
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            # Without the lock where the file is sound: its holder may be one that does not move.
            if not self._is_of(boot):
                fcntl.flock(self._fd, fcntl.LOCK_EX)
                if not self._is_of(boot):
                    os.pwrite(self._fd, _FILE.pack(MAGIC, FORMAT_VERSION, 0, 0, 0, 0, boot), 0)
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            self._words = memoryview(mmap.mmap(self._fd, _FILE.size)).cast("q")
        except OSError as error:
            raise StorageUnavailable(f"{self._path}: could not open: {error.strerror or error}") from error

    @property
    def generation(self) -> int:
        """The generation of the cache that is in force; 0 when there is none."""
        return self._words[_GENERATION]

    @property
    def is_doubted(self) -> bool:
        """Whether somebody found the generation in force not to be what we wrote."""
        return self._words[_DOUBT] == self._words[_GENERATION]

    @property
    def usable(self) -> int:
        """The generation in force; 0 when there is none or somebody doubts it."""
        words = self._words
        generation = words[_GENERATION]
        return 0 if words[_DOUBT] == generation else generation

    def doubt(self, generation: int) -> None:
        """Let nobody use a generation any more."""
        self._words[_DOUBT] = max(generation, self._words[_DOUBT])

    def put_in_force(self, generation: int) -> None:
        """Change the generation; hold the lock."""
        self._words[_GENERATION] = generation

    def acquire(self, timeout_s: float) -> None:
        """Take the lock. Raises CacheBusy when it isn't free in time, or its holder doesn't move."""
        # Without a time limit first: mostly it is free, and the limit costs more than the lock.
        if not (self._thread_lock.acquire(blocking=False) or self._thread_lock.acquire(timeout=timeout_s)):
            raise CacheBusy(f"the counters' lock was not free within {timeout_s:g} s in this process")
        try:
            fcntl.flock(self._fd, _TAKE)
        except BlockingIOError:
            self._wait_or_give_up(timeout_s)
        except BaseException:
            self._thread_lock.release()
            raise
        words = self._words
        words[_PID] = self._pid
        words[_SINCE] = self._monotonic_ns()

    def release(self) -> None:
        """Give the lock back."""
        self._words[_SINCE] = 0
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._thread_lock.release()

    def close(self) -> None:
        """Let go of the file; nobody may use this object any more."""
        self._words.release()
        os.close(self._fd)

    def _is_of(self, boot: bytes) -> bool:
        content = os.pread(self._fd, _FILE.size, 0)
        if len(content) < _FILE.size:
            return False
        magic, version, *_, found = _FILE.unpack(content)
        return (magic, version, found) == (MAGIC, FORMAT_VERSION, boot)

    def _try(self) -> bool:
        try:
            fcntl.flock(self._fd, _TAKE)
        except BlockingIOError:
            return False
        return True

    def _wait_or_give_up(self, timeout_s: float) -> None:
        try:
            self._wait(timeout_s)
        except BaseException:
            self._thread_lock.release()
            raise

    def _wait(self, timeout_s: float) -> None:
        now_ns = self._monotonic_ns()
        deadline_ns = now_ns + round(timeout_s * 1e9)
        pause_s = _POLL_FIRST_S
        while True:
            since_ns = self._words[_SINCE]
            if since_ns and now_ns - since_ns > GIVE_UP_NS:
                raise CacheBusy(f"process {self._words[_PID]} holds the counters' lock and does not move")
            if now_ns >= deadline_ns:
                raise CacheBusy(f"the counters' lock was not free within {timeout_s:g} s")
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, _POLL_MOST_S)
            if self._try():
                return
            now_ns = self._monotonic_ns()


def stuck_holder(path: StrPath, now_ns: int, limit_ns: int) -> int | None:
    """Return the process that has held the lock for longer than a limit, on the clock that holders use.

    None where nobody does, also when a holder died in between: the kernel gave the lock back by then.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        before = os.pread(fd, _FILE.size, 0)
        if len(before) < _FILE.size:
            return None
        magic, version, _, _, pid, since_ns, _ = _FILE.unpack(before)
        if (magic, version) != (MAGIC, FORMAT_VERSION) or not since_ns or now_ns - since_ns <= limit_ns:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # The same holding as before: nobody took the lock anew between the two looks.
            return int(pid) if os.pread(fd, _FILE.size, 0) == before else None
        return None
    finally:
        os.close(fd)
