"""Files: the one place through which the service writes to disk.

What always holds: a call has done all it says when it returns, and raises StorageUnavailable otherwise;
`replace` leaves the old content or the new one, never a mixture; a file made by `create` is locked and
has its first bytes from the first moment that its name exists.

Every mutating call takes a step name, and `on_step` is called with it before and after each primitive
change: these are the points at which tests stall, fail (by raising OSError "before") or kill. Dropping or
shortening a write is done with another `Disk`. It may not know what is in the files.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TypeVar

from offer_optimizer.core.errors import NotFound, StorageUnavailable
from offer_optimizer.store.disk import Disk, OsDisk

StrPath = str | os.PathLike[str]
Moment = Literal["before", "after"]
OnStep = Callable[[str, Moment], None]
Result = TypeVar("Result")

FILE_MODE: Final = 0o644
"""Mode of files; the data directory above them is closed to others (layout.DIRECTORY_MODE)."""
ASIDE: Final = ".aside"
"""End of the names of files that are not finished; `list` leaves them out."""


class AppendFailed(StorageUnavailable):
    """An append was not taken whole. `kept` of its bytes stay in the file: whole records only, often 0.

    `is_torn` says that a part of a record could not be cut off again: nothing may be appended behind it.
    `kept_count` is how many records the kept bytes are, where whoever appended knows.
    """

    def __init__(self, text: str, kept: int, *, is_torn: bool) -> None:
        super().__init__(text)
        self.kept = kept
        self.kept_count = 0
        self.is_torn = is_torn


class Sink:
    """Where a file's content goes, piece by piece: as much of a binary stream as writers ask for."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        self._append = append
        self._size = 0
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take a piece whole. Raises StorageUnavailable."""
        piece = bytes(data)
        self._append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._size

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def close(self) -> None:
        """Take no more."""
        self.closed = True


def nothing(step: str, moment: Moment) -> None:
    """Do nothing: the `on_step` of production."""


class Files:
    """Writes and reads files. Safe for threads as long as each handle has one appender at a time."""

    def __init__(self, on_step: OnStep = nothing, disk: Disk | None = None) -> None:
        self._on_step = on_step
        self._disk: Disk = OsDisk() if disk is None else disk
        self._write = self._disk.write
        self._paths: dict[int, str] = {}
        # Names aside differ between processes by pid and within one by count.
        self._aside_numbers = itertools.count()

    def append(self, fd: int, data: bytes, step: str, ends: Sequence[int] = ()) -> None:
        """Write `data` at the end of the file; not synced.

        `ends` are the places in `data`, ascending, where a record ends. When the disk takes only a part,
        the file is cut back to the last of them that was written, or to where it ended before: a reader
        may already have seen whole records, so they stay; part of one never does. Raises AppendFailed.
        """
        written = 0
        try:
            self._on_step(step, "before")
            while written < len(data):
                count = self._write(fd, data[written:] if written else data)
                if count == 0:
                    raise OSError(errno.EIO, "the disk took no byte")
                written += count
        except OSError as error:
            raise self._cut_back(fd, written, ends, step, error) from error
        self._on_step(step, "after")

    def _cut_back(
        self, fd: int, written: int, ends: Sequence[int], step: str, cause: OSError
    ) -> AppendFailed:
        kept = max((end for end in ends if end <= written), default=0)
        is_torn = False
        if written > kept:
            try:
                self._on_step(f"{step}.cut", "before")
                self._disk.truncate(fd, self._disk.size(fd) - written + kept)
                self._on_step(f"{step}.cut", "after")
            except OSError:
                is_torn = True
        return AppendFailed(self._failure("append", self._name(fd), cause), kept, is_torn=is_torn)

    def reserve(self, fd: int, size: int) -> None:
        """Let a file have room for `size` bytes ahead of use, where the disk can; it never fails."""
        with suppress(OSError):
            self._disk.reserve(fd, size)

    def give_back(self, fd: int) -> None:
        """Give back what was reserved behind the end of a file that nobody appends to; it never fails."""
        with suppress(OSError):
            self._disk.truncate(fd, self._disk.size(fd))

    def sync(self, fd: int, step: str) -> None:
        """Return once what was appended so far survives a power cut (fdatasync).

        After a failure nobody knows what the disk holds, and a second call would wrongly succeed:
        abandon the file. Raises StorageUnavailable.
        """
        self._run(step, "sync", self._name(fd), lambda: self._disk.fdatasync(fd))

    def sync_dir(self, path: StrPath, step: str) -> None:
        """Return once the names in a directory survive a power cut. Raises StorageUnavailable."""
        directory = os.fspath(path)
        self._run(step, "sync the directory", directory, lambda: self._disk.sync_dir(directory))

    def open_append(self, path: StrPath, step: str, head: bytes = b"", mode: int = FILE_MODE) -> int:
        """Create a file that begins with `head`, and return a handle that holds its exclusive lock.

        The file is made aside, locked, then renamed into place: whoever finds the name and can take the
        lock knows that the creator is gone. Neither `head` nor the name is synced. The name must be new:
        callers put a random id into it. Raises StorageUnavailable.
        """
        target = os.fspath(path)
        aside = self._aside(target)
        fd = self._run(f"{step}.open", "create", target, lambda: self._open_new(aside, mode))
        self._paths[fd] = target
        try:
            self.append(fd, head, f"{step}.write")
            self._run(f"{step}.rename", "rename", target, lambda: self._disk.rename(aside, target))
        except StorageUnavailable:
            self.close(fd)
            self._drop(aside)
            raise
        return fd

    def _open_new(self, path: str, mode: int) -> int:
        try:
            fd = self._disk.open(path, mode, must_be_new=True)
        except FileExistsError:
            # In a container every life has the same pid: what a dead one left unfinished has our name.
            if self._disk.is_locked(path):
                raise
            self._disk.unlink(path)
            fd = self._disk.open(path, mode, must_be_new=True)
        if not self._disk.lock(fd):
            self._disk.close(fd)
            raise OSError(errno.EWOULDBLOCK, "somebody else locked it")
        return fd

    def hold(self, path: StrPath, content: bytes, step: str) -> int | None:
        """Open or create a file, take its exclusive lock, write `content`; return the handle.

        Returns None when somebody else holds it. Raises StorageUnavailable.
        """
        target = os.fspath(path)
        disk = self._disk
        fd = self._run(
            f"{step}.open", "open", target, lambda: disk.open(target, FILE_MODE, must_be_new=False)
        )
        if not disk.lock(fd):
            disk.close(fd)
            return None
        self._paths[fd] = target
        try:
            self._run(f"{step}.cut", "write", target, lambda: disk.truncate(fd, 0))
            self.append(fd, content, f"{step}.write")
        except StorageUnavailable:
            self.close(fd)
            raise
        return fd

    def close(self, fd: int) -> None:
        """Give a handle back; its lock goes with it. Unsynced content stays with the operating system."""
        self._paths.pop(fd, None)
        self._disk.close(fd)

    def replace(self, path: StrPath, data: bytes, step: str, mode: int = FILE_MODE) -> None:
        """Put `data` in the place of the file's content, durably and in one step.

        After a crash the file has the old content or the new. Raises StorageUnavailable; then too.
        """
        with self.replacing(path, step, mode) as sink:
            sink.write(data)

    @contextmanager
    def replacing(self, path: StrPath, step: str, mode: int = FILE_MODE) -> Iterator[Sink]:
        """Do as `replace` does with what is written to the sink, piece by piece, within the context.

        The file has its old content until the context ends without an exception.
        """
        target = os.fspath(path)
        aside = self._aside(target)
        fd = self._run(f"{step}.open", "create", target, lambda: self._open_new(aside, mode))
        self._paths[fd] = target
        try:
            try:
                yield Sink(lambda data: self.append(fd, data, f"{step}.write"))
                self.sync(fd, f"{step}.sync")
            finally:
                self.close(fd)
            self._run(f"{step}.rename", "rename", target, lambda: self._disk.rename(aside, target))
        except BaseException:
            self._drop(aside)
            raise
        self.sync_dir(Path(target).parent, f"{step}.sync_dir")

    def overwrite(self, path: StrPath, offset: int, data: bytes, step: str) -> None:
        """Put `data` in the place of as many bytes that nobody reads any more, durably.

        A crash may leave a part of it. Raises StorageUnavailable.
        """
        target = os.fspath(path)
        self._run(step, "overwrite", target, lambda: self._disk.overwrite(target, offset, data))

    def remove(self, path: StrPath, step: str) -> None:
        """Remove a file; one that does not exist is fine. After a power cut it may be back."""
        target = os.fspath(path)
        try:
            self._run(step, "remove", target, lambda: self._disk.unlink(target))
        except StorageUnavailable as failure:
            if not isinstance(failure.__cause__, FileNotFoundError):
                raise

    def make_dir(self, path: StrPath, step: str, mode: int = 0o755) -> None:
        """Create a directory unless it exists. Raises StorageUnavailable."""
        target = os.fspath(path)
        self._run(step, "create the directory", target, lambda: self._disk.make_dir(target, mode))

    def remove_leftovers(self, path: StrPath, step: str) -> None:
        """Remove what writers that died left unfinished in a directory. The living keep theirs."""
        directory = os.fspath(path)
        for name in self._listed(directory):
            target = f"{directory}/{name}"
            if name.endswith(ASIDE) and not self.is_locked(target):
                self.remove(target, step)

    def map(self, fd: int, size: int) -> memoryview:
        """Return the first `size` bytes as memory that other processes see. Raises StorageUnavailable."""
        return self._read("map", self._name(fd), lambda: self._disk.map(fd, size))

    def read(self, path: StrPath, offset: int = 0, limit_bytes: int | None = None) -> bytes:
        """Return the bytes from `offset`, at most `limit_bytes`; empty past the end.

        Raises NotFound, StorageUnavailable.
        """
        target = os.fspath(path)
        limit = max(self.size(path) - offset, 0) if limit_bytes is None else limit_bytes
        return self._read("read", target, lambda: self._disk.read(target, offset, limit))

    def size(self, path: StrPath) -> int:
        """Return the size of a file in bytes. Raises NotFound, StorageUnavailable."""
        target = os.fspath(path)
        return self._read("read", target, lambda: self._disk.size_of(target))

    def exists(self, path: StrPath) -> bool:
        """Return whether a name exists. Raises StorageUnavailable."""
        try:
            self.size(path)
        except NotFound:
            return False
        return True

    def list(self, path: StrPath) -> list[str]:
        """Return the names in a directory, ascending, without unfinished files. Raises NotFound."""
        return sorted(name for name in self._listed(os.fspath(path)) if not name.endswith(ASIDE))

    def is_locked(self, path: StrPath) -> bool:
        """Return whether somebody alive holds the exclusive lock; False for a missing file."""
        target = os.fspath(path)
        try:
            return self._read("open", target, lambda: self._disk.is_locked(target))
        except NotFound:
            return False

    def _listed(self, directory: str) -> Sequence[str]:
        return self._read("list", directory, lambda: self._disk.list_dir(directory))

    def _aside(self, target: str) -> str:
        path = Path(target)
        number = next(self._aside_numbers)
        return str(path.with_name(f".{path.name}.{os.getpid()}-{number}{ASIDE}"))

    def _drop(self, aside: str) -> None:
        """Remove an unfinished file; `remove_leftovers` finds it later if that fails too."""
        try:
            self._disk.unlink(aside)
        except OSError:
            return

    def _name(self, fd: int) -> str:
        return self._paths.get(fd, f"file {fd}")

    def _run(self, step: str, verb: str, path: str, call: Callable[[], Result]) -> Result:
        try:
            self._on_step(step, "before")
            result = call()
            self._on_step(step, "after")
        except OSError as error:
            raise StorageUnavailable(self._failure(verb, path, error)) from error
        return result

    def _read(self, verb: str, path: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except FileNotFoundError:
            raise NotFound(f"{path}: does not exist") from None
        except OSError as error:
            raise StorageUnavailable(self._failure(verb, path, error)) from error

    @staticmethod
    def _failure(verb: str, path: str, error: OSError) -> str:
        return f"{path}: could not {verb}: {error.strerror or error}"
