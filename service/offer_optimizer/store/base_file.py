"""Base snapshots: all that the fold and the models were at a position of the ledger, in one file.

Envelope: magic `OOBS`, u32 header length, BaseHeader, frames (u32 length, deflated text), an empty frame,
SHA-256 of all before it. The text is JSON, one value a line: first the positions that stay in the ledger,
ascending, in lists; then an object for each table and a list for each of its rows. Equal content gives equal
bytes, so whoever derives a base again can compare. Read and written piece by piece: memory is bounded.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.files import Files

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"OOBS"
_SUFFIX: Final = ".base"
_FRAME_BYTES: Final = 256 * 1024
"""Text of one frame, before it is deflated."""
_READ_BYTES: Final = 1024 * 1024
_LEVEL: Final = 6
KEPT_AT_ONCE: Final = 1000
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class BaseHeader:
    """Where a base snapshot stands, and what was archived with it.

    `from_position` is that of the base it was derived from, 0 without one; `dropped_position` says up to
    where the fold knew no closed decision any more.
    """

    ledger_position: int
    ledger_time_us: int
    from_position: int
    dropped_position: int
    archived_count: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name, its columns, its rows in order."""

    name: str
    columns: tuple[str, ...]
    rows: Iterable[Row]


class BaseFile:
    """One base snapshot on disk."""

    def __init__(self, files: Files, path: Path) -> None:
        """Open it. Raises NotFound, DamagedFile, StorageUnavailable."""
        self._files = files
        self.path = path
        self.header, self._start = self._read_header()

    def sha256(self) -> bytes:
        """Return the file's own checksum. Raises DamagedFile unless every byte is as written."""
        digest = hashlib.sha256()
        left = self._files.size(self.path) - 32
        offset = 0
        while left > offset:
            piece = self._files.read(self.path, offset, min(_READ_BYTES, left - offset))
            digest.update(piece)
            offset += len(piece)
        if digest.digest() != self._files.read(self.path, max(left, 0), 32):
            raise DamagedFile(str(self.path), "its checksum does not match: the file is cut or changed")
        return digest.digest()

    @property
    def is_rewritten(self) -> bool:
        """Whether an erasure made it of another, and its models are those of that moment."""
        return "-" in self.path.stem

    def kept(self) -> Iterator[int]:
        """Yield the positions at or before the base that stay in the ledger, ascending."""
        for value in self._values():
            if isinstance(value, dict):
                return
            yield from value

    def tables(self) -> Iterator[tuple[str, tuple[str, ...], Iterator[Row]]]:
        """Yield name, columns and rows of each table; take the rows before the next table."""
        values = self._values()
        head = next((value for value in values if isinstance(value, dict)), None)
        while head is not None:
            rows = _Rows(values)
            yield head["table"], tuple(head["columns"]), iter(rows)
            head = rows.finish()

    def _read_header(self) -> tuple[BaseHeader, int]:
        first = self._files.read(self.path, 0, 8)
        if len(first) < 8 or not first.startswith(_MAGIC):
            raise DamagedFile(str(self.path), "is not a base snapshot")
        (length,) = struct.unpack_from("<I", first, 4)
        try:
            header = pb.BaseHeader.FromString(self._files.read(self.path, 8, min(length, _READ_BYTES)))
        except DecodeError:
            raise DamagedFile(str(self.path), "its header can't be read") from None
        if header.format_version != FORMAT_VERSION:
            raise DamagedFile(
                str(self.path),
                f"format {header.format_version}, this release reads format {FORMAT_VERSION}",
            )
        found = BaseHeader(
            header.ledger_position,
            header.ledger_time_us,
            header.from_position,
            header.dropped_position,
            header.archived_count,
        )
        return found, 8 + length

    def _values(self) -> Iterator[Any]:
        offset, text = self._start, b""
        while True:
            (length,) = struct.unpack("<I", self._files.read(self.path, offset, 4))
            if length == 0:
                return
            text += zlib.decompress(self._files.read(self.path, offset + 4, length))
            offset += 4 + length
            *lines, text = text.split(b"\n")
            for line in lines:
                yield json.loads(line)


class _Rows:
    """The rows of one table, up to the next table's head."""

    def __init__(self, values: Iterator[Any]) -> None:
        self._values = values
        self._next: dict[str, Any] | None = None
        self._is_done = False

    def __iter__(self) -> Iterator[Row]:
        for value in self._values:
            if isinstance(value, dict):
                self._next = value
                break
            yield tuple(bytes.fromhex(item["x"]) if isinstance(item, dict) else item for item in value)
        self._is_done = True

    def finish(self) -> dict[str, Any] | None:
        """Skip what is left; return the next table's head."""
        if not self._is_done:
            for _ in self:
                pass
        return self._next


def write_base(
    files: Files, path: Path, header: BaseHeader, kept: Iterable[int], tables: Iterable[Table]
) -> bytes:
    """Write a base snapshot, durably and in one step; return its checksum. Raises StorageUnavailable."""
    head = pb.BaseHeader(
        format_version=FORMAT_VERSION,
        ledger_position=header.ledger_position,
        ledger_time_us=header.ledger_time_us,
        from_position=header.from_position,
        dropped_position=header.dropped_position,
        archived_count=header.archived_count,
    ).SerializeToString(deterministic=True)
    digest = hashlib.sha256()
    with files.replacing(path, "base.write") as sink:

        def put(data: bytes) -> None:
            digest.update(data)
            sink.write(data)

        put(_MAGIC + struct.pack("<I", len(head)) + head)
        for frame in _frames(_lines(kept, tables)):
            put(struct.pack("<I", len(frame)) + frame)
        put(struct.pack("<I", 0))
        sink.write(digest.digest())
    return digest.digest()


def _lines(kept: Iterable[int], tables: Iterable[Table]) -> Iterator[str]:
    positions = []
    for position in kept:
        positions.append(position)
        if len(positions) == KEPT_AT_ONCE:
            yield json.dumps(positions)
            positions = []
    yield json.dumps(positions)
    for table in tables:
        yield json.dumps({"table": table.name, "columns": table.columns})
        for row in table.rows:
            yield json.dumps([{"x": item.hex()} if isinstance(item, bytes) else item for item in row])


def _frames(lines: Iterable[str]) -> Iterator[bytes]:
    text = bytearray()
    for line in lines:
        text += line.encode() + b"\n"
        if len(text) >= _FRAME_BYTES:
            yield zlib.compress(bytes(text), _LEVEL)
            text.clear()
    if text:
        yield zlib.compress(bytes(text), _LEVEL)


class BaseStore:
    """The base snapshots of a data directory, by position."""

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._directory = directory

    def path_of(self, position: int, rewritten_at: int = 0) -> Path:
        """Return where the base snapshot of a position is; each erasure, by its position, makes another."""
        name = f"{position:016d}-{rewritten_at:016d}" if rewritten_at else f"{position:016d}"
        return self._directory / f"{name}{_SUFFIX}"

    def positions(self) -> list[int]:
        """Return the positions of which retention made a base snapshot, ascending; not those of erasures."""
        try:
            names = self._files.list(self._directory)
        except NotFound:
            return []
        stems = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def open(self, position: int, rewritten_at: int = 0) -> BaseFile:
        """Open one. Raises NotFound, DamagedFile, StorageUnavailable."""
        return BaseFile(self._files, self.path_of(position, rewritten_at))

    def write(
        self, header: BaseHeader, kept: Iterable[int], tables: Iterable[Table], rewritten_at: int = 0
    ) -> bytes:
        """Write one; return its checksum. Raises StorageUnavailable."""
        self._files.make_dir(self._directory, "base.folder")
        path = self.path_of(header.ledger_position, rewritten_at)
        return write_base(self._files, path, header, kept, tables)

    def keep_only(self, kept: Path | None, up_to: int) -> None:
        """Delete all others of positions up to one, and what writers that died left unfinished."""
        try:
            self._files.remove_leftovers(self._directory, "base.leftovers")
            names = self._files.list(self._directory)
        except NotFound:
            return
        for name in names:
            position = name.removesuffix(_SUFFIX).partition("-")[0]
            is_base = name.endswith(_SUFFIX) and position.isdecimal()
            if is_base and int(position) <= up_to and self._directory / name != kept:
                self._files.remove(self._directory / name, "base.remove")
        self._files.sync_dir(self._directory, "base.sync_dir")

    def remove(self, position: int) -> None:
        """Delete one. Raises StorageUnavailable."""
        self._files.remove(self.path_of(position), "base.remove")
