"""The primitive operations that `Files` is made of, and the real ones.

What always holds: each is one system call, or one call and its open and close, and fails with `OSError`.
It may not know what a segment, a record or a retry is. `memory_files.MemoryDisk` is the other adapter;
tests wrap either to drop, shorten or fail single calls.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from pathlib import Path
from typing import Final, Protocol


class Disk(Protocol):
    """What a file system has to offer. Paths are text, `fd` is a handle that `open` returned."""

    def open(self, path: str, mode: int, *, must_be_new: bool) -> int:
        """Create (or open, unless `must_be_new`) for reading and appending. Raises FileExistsError."""
        ...

    def write(self, fd: int, data: bytes, /) -> int:
        """Write at the end; return how many bytes were taken, which may be fewer than given."""
        ...

    def truncate(self, fd: int, size: int, /) -> None:
        """Cut the file to `size` bytes; what was reserved behind them is free again."""
        ...

    def reserve(self, fd: int, size: int) -> None:
        """Give a file room for `size` bytes from its beginning, ahead of use; its size stays what it is."""
        ...

    def fdatasync(self, fd: int, /) -> None:
        """Make the content and size of the file survive a power cut."""
        ...

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory survive a power cut."""
        ...

    def close(self, fd: int, /) -> None:
        """Give the handle back; its lock goes with it."""
        ...

    def size(self, fd: int) -> int:
        """Return the size of an open file in bytes."""
        ...

    def size_of(self, path: str) -> int:
        """Return the size of a named file in bytes. Raises FileNotFoundError."""
        ...

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from `offset`; fewer only at the end of the file."""
        ...

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Put `data` in the place of as many bytes of a file, and return once that survives a power cut."""
        ...

    def rename(self, source: str, target: str, /) -> None:
        """Put `source` in the place of `target` in one step; handles and locks stay with the file."""
        ...

    def unlink(self, path: str, /) -> None:
        """Remove a name. Raises FileNotFoundError."""
        ...

    def make_dir(self, path: str, mode: int) -> None:
        """Create a directory and its parents; an existing one stays as it is."""
        ...

    def list_dir(self, path: str, /) -> list[str]:
        """Return the names in a directory, in any order. Raises FileNotFoundError."""
        ...

    def lock(self, fd: int) -> bool:
        """Try to take the exclusive lock of an open file; return whether it was free."""
        ...

    def is_locked(self, path: str) -> bool:
        """Return whether a living handle holds the exclusive lock of a named file."""
        ...

    def map(self, fd: int, size: int) -> memoryview:
        """Return the first `size` bytes as writable shared memory that outlives the handle's owner."""
        ...


_AMPLE: Final = 16
"""So many times as much has to be free: what is reserved is missing elsewhere."""
_KEEP_SIZE: Final = 1  # FALLOC_FL_KEEP_SIZE
# Python has posix_fallocate alone, which changes the size of the file.
_fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
if _fallocate is not None:
    _fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class OsDisk:
    """The operating system. Locks are `flock`: they belong to the open file and die with the process."""

    # The bound functions themselves, without a Python frame around them: `write` is in every decision.
    write = staticmethod(os.write)
    truncate = staticmethod(os.ftruncate)
    fdatasync = staticmethod(os.fdatasync)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    list_dir = staticmethod(os.listdir)

    def open(self, path: str, mode: int, *, must_be_new: bool) -> int:
        """See Disk. A child that is spawned does not inherit the handle, so it can't keep a lock alive."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(path, flags | (os.O_EXCL if must_be_new else 0), mode)

    def reserve(self, fd: int, size: int) -> None:
        """See Disk. Does nothing where the system has no such call, or the disk is about to be full."""
        room = os.fstatvfs(fd)
        if room.f_bavail * room.f_frsize < _AMPLE * size:
            return
        if _fallocate is not None and _fallocate(fd, _KEEP_SIZE, 0, size) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def close(self, fd: int, /) -> None:
        """See Disk. Unlocks first: mapped memory keeps a duplicate of the handle, and so the lock."""
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)

    def sync_dir(self, path: str) -> None:
        """See Disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def size(self, fd: int) -> int:
        """See Disk."""
        return os.fstat(fd).st_size

    def size_of(self, path: str) -> int:
        """See Disk."""
        return Path(path).stat().st_size

    def read(self, path: str, offset: int, limit: int) -> bytes:
        """See Disk. One `pread` may return less than there is (above 2 GiB, or beside a writer)."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while limit > 0 and (part := os.pread(fd, limit, offset)):
                parts.append(part)
                offset += len(part)
                limit -= len(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """See Disk."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(fd, data[written:], offset + written)
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def make_dir(self, path: str, mode: int) -> None:
        """See Disk. Parents get the mode of the process's umask, the last one gets `mode`."""
        Path(path).mkdir(mode, parents=True, exist_ok=True)

    def lock(self, fd: int) -> bool:
        """See Disk."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_locked(self, path: str) -> bool:
        """See Disk. Asks with a shared lock, so that several askers don't see each other."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def map(self, fd: int, size: int) -> memoryview:
        """See Disk."""
        return memoryview(mmap.mmap(fd, size))
