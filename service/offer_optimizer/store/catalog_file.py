"""The file of one catalog revision: CRC32, then the revision as the ledger keeps it.

Apart from the store, because whoever only asks which revision is in force and what its document says needs
neither the catalog's schema nor a policy: those take longer to load than all else that `serve` does.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.files import Files, StrPath

_SUFFIX: Final = ".catalog"
_RESTORE: Final = "a process that starts restores it from the ledger; where that lacks it, use a backup"


@dataclass(frozen=True, slots=True)
class StoredCatalog:
    """A catalog revision as the ledger keeps it; `canonical` is the validated catalog as JSON."""

    revision: int
    apply_time_us: int
    document: str
    canonical: str


def encode_revision_file(stored: StoredCatalog) -> bytes:
    """Return the content of a revision's file: CRC32, then the revision."""
    data = encode_catalog(stored)
    return struct.pack("<I", zlib.crc32(data)) + data


def read_revision_file(files: Files, path: StrPath) -> StoredCatalog:
    """Return the revision in a file. Raises NotFound, DamagedFile."""
    data = files.read(path)
    if len(data) < 4 or struct.unpack_from("<I", data)[0] != zlib.crc32(data[4:]):
        raise DamagedFile(str(path), f"its checksum does not match: {_RESTORE}")
    try:
        return decode_catalog(data[4:])
    except DecodeError:
        raise DamagedFile(str(path), f"can't be read: {_RESTORE}") from None


def revision_name(revision: int) -> str:
    """Return the file name of a revision."""
    return f"{revision:08d}{_SUFFIX}"


def newest_revision(files: Files, directory: Path) -> int:
    """Return the newest revision in the directory of catalogs, 0 when there is none."""
    names = [name for name in files.list(directory) if name.endswith(_SUFFIX)]
    return int(names[-1].removesuffix(_SUFFIX)) if names else 0


def encode_catalog(catalog: StoredCatalog) -> bytes:
    """Serialise a catalog revision."""
    return catalog_record(catalog).SerializeToString(deterministic=True)


def decode_catalog(data: bytes) -> StoredCatalog:
    """Parse what encode_catalog wrote."""
    return load_catalog(pb.CatalogRecord.FromString(data))


def catalog_record(catalog: StoredCatalog) -> pb.CatalogRecord:
    """Return the message of a revision."""
    return pb.CatalogRecord(
        revision=catalog.revision,
        apply_time_us=catalog.apply_time_us,
        document=catalog.document,
        canonical=catalog.canonical,
    )


def load_catalog(record: pb.CatalogRecord) -> StoredCatalog:
    """Return the revision in a message."""
    return StoredCatalog(record.revision, record.apply_time_us, record.document, record.canonical)
