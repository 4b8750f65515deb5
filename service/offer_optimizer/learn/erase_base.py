"""The base snapshot that an erasure leaves: the one in force without its visitors, and the models of today.

Examples of an erased visitor can't be learned again: so models go on from what they had learned, and whoever
rebuilds begins with them. This is the one place where a base takes models from live state: what made them is
about to go. Where no base is in force, one of position 0 has nothing but models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offer_optimizer.core.control import Audit
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.learn.archive import ARCHIVE_COLUMNS, ARCHIVE_TABLE
from offer_optimizer.learn.base_snapshot import MODEL_TABLE, model_table
from offer_optimizer.store import hot_records as records
from offer_optimizer.store.base_file import BaseFile, BaseHeader, BaseStore, Row, Table
from offer_optimizer.store.erasing import names_of, without_visitors

NOWHERE: Final = BaseHeader(0, 0, 0, 0, 0)
_EPOCH: Final = 1
"""Where a row of models has its policy epoch."""


@dataclass(frozen=True, slots=True)
class Gone:
    """One who is erased: how it is redacted, the positions of the decisions, who asked for it and why."""

    redaction: Redaction
    decisions: frozenset[int]
    audit: Audit


def write_without(
    bases: BaseStore,
    base: BaseFile | None,
    rewritten_at: int,
    gone: Sequence[Gone],
    models: Sequence[Row],
    size_of: Callable[[str], int],
) -> tuple[int, bytes]:
    """Write the base of an erasure at a ledger position; return the base's own position and checksum.

    `gone` are all who go with it; `models` are rows as `model_rows` makes them, which take
    the place of older ones; `size_of` returns the size of an archived file. Raises StorageUnavailable.
    """
    header = NOWHERE if base is None else base.header
    kept = iter(()) if base is None else base.kept()
    tables = _Tables(gone, models, size_of)
    found = tables.alone() if base is None else tables.of(base)
    return header.ledger_position, bases.write(header, kept, found, rewritten_at)


class _Tables:
    """The tables of a base, redacted as they are read."""

    def __init__(
        self,
        gone: Sequence[Gone],
        models: Sequence[Row],
        size_of: Callable[[str], int],
    ) -> None:
        self._gone = gone
        self._models = models
        self._size_of = size_of

    def alone(self) -> Iterator[Table]:
        """Yield what a base of position 0 has."""
        yield model_table(iter(self._models))
        yield Table(ARCHIVE_TABLE, ARCHIVE_COLUMNS, ())

    def of(self, base: BaseFile) -> Iterator[Table]:
        """Yield the tables of another base, redacted."""
        for name, columns, rows in base.tables():
            yield Table(name, columns, self._rows(name, columns, rows))

    def _rows(self, name: str, columns: tuple[str, ...], rows: Iterator[Row]) -> Iterator[Row]:
        if name == MODEL_TABLE:
            newer = {row[_EPOCH] for row in self._models}
            return iter([*self._models, *(row for row in rows if row[_EPOCH] not in newer)])
        if name == ARCHIVE_TABLE:
            return ((path, row_count, self._size_of(path)) for path, row_count, _ in rows)
        if name == "counter":
            return _counters(rows, names_of(key for one in self._gone for key in one.redaction.keys))
        if "visitor_key" in columns or "feedback_id" in columns:
            for one in self._gone:
                rows = _keyed(name, columns, rows, one)
        return rows


def _counters(rows: Iterator[Row], visitors: frozenset[bytes]) -> Iterator[Row]:
    gone: set[bytes] = set()
    for name, value in rows:  # ascending by name: decisions come before requests
        is_decision = name[:1] == records.DECISION
        changed = without_visitors(name, value, visitors) if is_decision else None
        if changed is not None:
            gone.add(records.REQUEST + changed[1])
        if name not in gone:
            yield (name, value if changed is None else changed[0])


def _keyed(name: str, columns: tuple[str, ...], rows: Iterator[Row], gone: Gone) -> Iterator[Row]:
    redaction = gone.redaction
    for row in rows:
        entry: dict[str, Any] = dict(zip(columns, row, strict=True))
        is_theirs = (
            entry.get("visitor_key") in redaction.keys or entry.get("decision_position") in gone.decisions
        )
        if not is_theirs:
            yield row
            continue
        if name == "visitor_counter":
            continue
        if entry["visitor_key"] is not None:
            entry["visitor_key"] = redaction.key(entry["visitor_key"])
        for column in ("feedback_id", "retracts"):
            if column in entry:
                entry[column] = redaction.feedback_id(entry[column])
        yield tuple(entry.values())
