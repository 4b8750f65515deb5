"""Base snapshots: derived from the one before and the ledger behind it, never copied from live state.

So making one proves that it can be made. (An erasure rewrites the one in force: `erase_base`.) It holds every
table of the fold, counters included, without what retention drops, and the models of this release at their
close cursors. Who starts from a base goes on as whoever started from the ledger's beginning.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.learn.lineage import Cursor
from offer_optimizer.learn.trainer import Model, restore_model
from offer_optimizer.store.base_file import BaseFile, BaseStore, Row, Table
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.dropping import table_rows
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import base_named

MODEL_TABLE: Final = "base_model"
_MODEL_COLUMNS: Final = (
    "placement_id",
    "policy_epoch",
    "policy",
    "close_time_us",
    "close_position",
    "learned_count",
    "state",
)


def base_in_force(ledger: Ledger, bases: BaseStore) -> BaseFile | None:
    """Return the base snapshot that stands for what a ledger lacks; None where it lacks nothing.

    Raises DamagedFile where it is not the one that was noted, or not there: nothing else can be rebuilt from.
    """
    named = base_named(ledger)
    if named is None:
        return None
    path = bases.path_of(named.position, named.rewritten_at)
    try:
        base = bases.open(named.position, named.rewritten_at)
    except NotFound:
        raise DamagedFile(str(path), "is missing: the ledger goes on behind it; restore it") from None
    if base.sha256() != named.sha256:
        raise DamagedFile(str(path), "is not the base snapshot that the ledger names; restore it")
    return base


def model_row(model: Model) -> Row:
    """Return a model as a row."""
    return (
        model.placement_id,
        model.policy_epoch,
        model.policy_name,
        *model.cursor,
        model.learned_count,
        model.policy.save(),
    )


def model_rows(models: Iterator[Model]) -> Iterator[Row]:
    """Yield a row for each model; closes them."""
    for model in models:
        try:
            yield model_row(model)
        finally:
            model.policy.close()


def model_table(models: Iterator[Row]) -> Table:
    """Return the models of a base snapshot as its first table."""
    return Table(MODEL_TABLE, _MODEL_COLUMNS, models)


def all_tables(connection: sqlite3.Connection, models: Iterator[Model], archived: Table) -> Iterator[Table]:
    """Yield what a base snapshot holds: the models first, what was archived, the tables of the fold."""
    yield model_table(model_rows(models))
    yield archived
    yield from table_rows(connection)


def base_model(base: BaseFile, epoch: Epoch) -> Model | None:
    """Return the model of an epoch as a base snapshot has it; None where it has none."""
    entry = _entry(base, epoch.policy_epoch)
    if entry is None:
        return None
    return restore_model(epoch, entry["state"], _cursor(entry), entry["learned_count"])


def base_cursor(base: BaseFile, policy_epoch: bytes) -> Cursor | None:
    """Return up to where a base's model of an epoch has learned: nothing derives what had learned less."""
    entry = _entry(base, policy_epoch)
    return None if entry is None else _cursor(entry)


def _entry(base: BaseFile, policy_epoch: bytes) -> dict[str, Any] | None:
    name, columns, rows = next(base.tables())
    for row in rows if name == MODEL_TABLE else ():
        entry = dict(zip(columns, row, strict=True))
        if entry["policy_epoch"] == policy_epoch:
            return entry
    return None


def _cursor(entry: dict[str, Any]) -> Cursor:
    return entry["close_time_us"], entry["close_position"]
