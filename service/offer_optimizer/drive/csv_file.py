"""Opens the file of a randomised test, compressed or not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Final

from offer_optimizer.drive.errors import DriveRefused
from offer_optimizer.drive.table import Columns, Table, read_table

GZIP_MAGIC: Final = b"\x1f\x8b"


def read_csv(path: Path, columns: Columns) -> Table:
    """Read a UTF-8 file, gzip by content rather than by name. Raises DriveRefused naming the file."""
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == GZIP_MAGIC
        # utf-8-sig: spreadsheets begin their files with a mark that would become part of the first name.
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if compressed
            else path.open(encoding="utf-8-sig", newline="") as lines
        ):
            return read_table(lines, columns)
    except DriveRefused as refused:
        raise DriveRefused(f"{path}: {refused}") from None
    except UnicodeDecodeError as error:
        raise DriveRefused(f"{path}: not UTF-8 ({error.reason})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DriveRefused(f"{path}: {getattr(error, 'strerror', None) or error}") from None
