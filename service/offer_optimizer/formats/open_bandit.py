"""The Open Bandit Dataset as a log: a row is a position of an impression, its offers are all items.

The files are as published: a log with `item_id`, `position`, `click`, `propensity_score`, user features and
affinities, and beside it `item_context.csv` (or `item_context_<name of the log>.csv`) with the items'
features. `position` is a category of the context, because the propensity is that of an item at a position.
Nobody knows whose a row is. Source: Saito, Aihara, Matsutani, Narita 2020, arXiv:2008.07146.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from pathlib import Path
from typing import Final

from offer_optimizer.core import limits
from offer_optimizer.core.errors import DamagedFile, InvalidInput, NotFound
from offer_optimizer.core.features import Features
from offer_optimizer.formats.csv_file import CsvLog
from offer_optimizer.formats.csv_values import CsvColumns
from offer_optimizer.formats.lines import Progress, is_gzipped, open_raw
from offer_optimizer.formats.table import read_header

COLUMNS: Final = ("timestamp", "item_id", "position", "click", "propensity_score")
ITEMS: Final = "item_context"
_ITEMS_BYTES: Final = 16 * 1024 * 1024
_SUFFIXES: Final = (".csv", ".csv.gz")


def read_open_bandit(path: Path, *, progress: Progress | None = None) -> CsvLog:
    """Return the log of a file, or of the one log in a folder. Raises NotFound, InvalidInput, DamagedFile."""
    file = _only_log(path) if path.is_dir() else path
    header = read_header(file)
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InvalidInput(str(file), f"is not of the Open Bandit Dataset: no column {', '.join(missing)}")
    user = [name for name in header if name.startswith(("user_feature_", "user-item_affinity_"))]
    columns = CsvColumns(
        action="item_id",
        reward="click",
        propensity="propensity_score",
        context=("position", *user),
        time="timestamp",
        as_text=("position",),
    )
    return CsvLog(file, columns, offers=_read_items(_items_of(file)), progress=progress)


def is_open_bandit(path: Path) -> bool:
    """Return whether the header of a CSV file is that of the data set."""
    return set(COLUMNS) <= set(read_header(path))


def logs_in(folder: Path) -> list[Path]:
    """Return the files of a folder that may be logs, by name."""
    tables = [file for file in sorted(folder.iterdir()) if file.name.endswith(_SUFFIXES)]
    return [file for file in tables if not file.name.startswith(ITEMS) and is_open_bandit(file)]


def _only_log(folder: Path) -> Path:
    found = logs_in(folder)
    if len(found) != 1:
        names = ", ".join(file.name for file in found[:10]) or "none"
        raise InvalidInput(str(folder), f"holds {len(found)} logs ({names}): name the file that is meant")
    return found[0]


def _items_of(file: Path) -> Path:
    stem = file.name.removesuffix(".gz").removesuffix(".csv")
    names = [f"{ITEMS}{part}{suffix}" for part in (f"_{stem}", "") for suffix in _SUFFIXES]
    for name in names:
        if (beside := file.parent / name).exists():
            return beside
    raise NotFound(f"{file}: beside it there is no {names[0]} nor {names[2]} with the features of the items")


def _read_items(path: Path) -> dict[str, Features]:
    """Return the features of all items by their ids, in the order of the file."""
    rows = list(csv.DictReader(io.StringIO(_text(path))))
    if not rows or "item_id" not in rows[0]:
        raise InvalidInput(str(path), "has no column item_id, or no items")
    names = sorted(name for name in rows[0] if name and name != "item_id")
    numeric = [name for name in names if all(_is_number(row[name]) for row in rows)]
    found = {}
    for row in rows:
        found[row["item_id"].strip()] = Features(
            categories=tuple((name, row[name]) for name in names if name not in numeric and row[name]),
            numbers=tuple((name, float(row[name])) for name in numeric),
        )
    return found


def _text(path: Path) -> str:
    try:
        with open_raw(path) as raw:
            data = (gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw).read(_ITEMS_BYTES + 1)
    except (OSError, EOFError) as error:
        raise DamagedFile(str(path), str(error)) from error
    if len(data) > _ITEMS_BYTES:
        raise InvalidInput(str(path), f"is larger than {_ITEMS_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(str(path), f"is not UTF-8: {error}") from None


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(number := float(text or "")) and abs(number) <= limits.NUMBER_MAGNITUDE
    except ValueError:
        return False
