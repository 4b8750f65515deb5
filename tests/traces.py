"""Where a text or some bytes can be found in a data directory: every file, raw and as it is read."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq

from offer_optimizer.store.base_file import BaseFile
from offer_optimizer.store.files import Files


def traces(directory: Path, wanted: Mapping[str, bytes], logs: Iterable[Path] = ()) -> list[str]:
    """Return `name in file` for each of the wanted bytes that a file or a log holds, compressed ones too."""
    found = []
    for path in (*sorted(directory.rglob("*")), *logs):
        if not path.is_file():
            continue
        content = b"".join(contents(path))
        found += [f"{name} in {path.name}" for name, text in wanted.items() if text in content]
    return found


def contents(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, and what is inside of them; sparse maps as far as they go."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        yield from _written(file.fileno())
    if path.suffix == ".base":
        for name, columns, rows in BaseFile(Files(), path).tables():
            yield f"{name}{columns}{[[_shown(item) for item in row] for row in rows]}".encode()
    elif path.suffix == ".parquet":
        yield str(pq.read_table(path).to_pylist()).encode()
    elif path.suffix == ".gz":
        yield zlib.decompress(path.read_bytes(), wbits=31)


def _written(fd: int) -> Iterator[bytes]:
    """Yield what was ever written to a file: maps are sparse and look 8 GiB long."""
    end, at = os.fstat(fd).st_size, 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # a hole to the end
            return
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        yield os.pread(fd, hole - at, at)
        at = hole


def _shown(item: object) -> object:
    return item.decode("latin-1") if isinstance(item, bytes) else item
