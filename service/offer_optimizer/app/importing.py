"""Beginning a data directory with the log of another system: history, models and snapshots, all or nothing.

Everything is made in a directory beside, and renamed when it is whole. The learner does not run then: nothing
else knows the directory.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from offer_optimizer.app.clocks import entropy, wall_clock_us
from offer_optimizer.app.policies import check_policy
from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.errors import CannotStart, InvalidInput
from offer_optimizer.core.log import Log
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.history import HistoryImport, ImportCounts
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.trainer import BATCH, Model, Trainer, initial_model
from offer_optimizer.learn.verifier import ChildVerifier
from offer_optimizer.policy import registry
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.salts import load_or_create_salts
from offer_optimizer.store.snapshots import SnapshotStore


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made: the fate of rows, windows still open, and examples the model learned."""

    counts: ImportCounts
    open_count: int
    learned_count: int


class _NoControl:
    """The import writes the catalog into the ledger itself."""

    def append_durable(self, _payload: bytes) -> None:
        pass


def import_history(log: Log, data: Path, placement_id: str, document: str, kind: str) -> Imported:
    """Make a data directory out of a log and a catalog.

    Raises CannotStart for a directory that is not free, InvalidCatalog, and InvalidInput where log, catalog
    and kind don't fit together.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise CannotStart(f"{data} is not empty: history can only begin a data directory, not join one")
    aside = data.with_name(f"{data.name}.importing-{entropy(4).hex()}")
    files = Files()
    try:
        imported = _fill(files, DataDirectory(aside), log, placement_id, document, kind)
        os.rename(aside, data)  # noqa: PTH104  (an empty directory may be in its place)
        files.sync_dir(data.parent, "import.sync_dir")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return imported


def _fill(
    files: Files, directory: DataDirectory, log: Log, placement_id: str, document: str, kind: str
) -> Imported:
    directory.prepare(files)
    identity = Identity.load_or_create(files, directory.secret_path, entropy)
    salts = load_or_create_salts(files, directory.salts_path, entropy)
    catalogs = CatalogStore(
        files, directory.catalog, directory.catalog_lock_path, _NoControl(), wall_clock_us, check_policy
    )
    stored = catalogs.read_stored(catalogs.apply(document, 0).revision)
    catalog = Catalog.model_validate_json(stored.canonical)
    ledger = Ledger.open_for_writing(directory.ledger_path, entropy)
    try:
        tables = FoldTables.create(ledger.connection)
        fold = Fold(ledger, tables)
        history = HistoryImport(ledger, fold, identity.digest, entropy, wall_clock_us(), kind)
        history.begin(stored, catalog, placement_id, salts)
        history.add(log)
        history.finish()
        if not history.counts.imported:
            raise InvalidInput(log.name, "has no row that can be imported")
        learned_count = _learn(files, directory, ledger, tables, fold, placement_id)
    finally:
        ledger.connection.close()
    return Imported(history.counts, history.open_count, learned_count)


def _learn(
    files: Files, directory: DataDirectory, ledger: Ledger, tables: FoldTables, fold: Fold, placement_id: str
) -> int:
    """Train the placement's model on what has closed, and publish it; return the number of examples."""
    catalog = fold.revisions.catalog(fold.revisions.newest)
    placement = catalog.placement_by_id[placement_id]
    epoch = fold.revisions.epoch(epoch_of(placement).id)
    if epoch is None or not registry.learns(placement.policy.name):
        return 0
    model: Model = initial_model(epoch)
    trainer = Trainer(ledger, tables, fold.revisions)
    while trainer.teach(model) == BATCH:
        pass
    actions = fold.revisions.actions(fold.revisions.newest, placement_id)
    candidates = tuple(actions[catalog.offer_index[offer]] for offer in placement.offers)
    verifier = ChildVerifier()
    try:
        publisher = Publisher(SnapshotStore(files, directory.snapshots), verifier, wall_clock_us, 0)
        publisher.publish(model, epoch, fold.position, candidates)
    finally:
        verifier.close()
        model.policy.close()
    return model.learned_count
