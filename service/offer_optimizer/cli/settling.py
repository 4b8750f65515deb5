"""Which catalog is in force when the service starts: the one there is, restored where its file is damaged, or
the one given with `--catalog`. Loads the policies, which check it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from offer_optimizer.app.clocks import boot_id, entropy, wall_clock_us
from offer_optimizer.app.policies import check_policy
from offer_optimizer.core.errors import CannotStart
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.recorders import ControlSegment
from offer_optimizer.store.restore import restore_catalog
from offer_optimizer.store.segment_writer import SegmentWriter


def settle_catalog(
    files: Files, directory: DataDirectory, catalog: Path | None, *, apply_catalog: bool
) -> None:
    """Seed an empty data directory; show what differs in another; change it only when told to.

    Says on standard error what differs. Raises CannotStart, DamagedFile, InvalidCatalog, StorageUnavailable.
    """
    writer = SegmentWriter(files, directory.segments, "control", boot_id(), entropy(8).hex())
    store = CatalogStore(
        files,
        directory.catalog,
        directory.catalog_lock_path,
        ControlSegment(writer),
        wall_clock_us,
        check_policy,
    )
    try:
        restore_catalog(directory, store)
        newest = store.newest_number()
        if catalog is None:
            if newest == 0:
                raise CannotStart(f"{directory.path} has no catalog yet: add --catalog FILE")
            return
        try:
            document = catalog.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise CannotStart(f"catalog {catalog} can't be read: {error}") from None
        if newest == 0:
            store.apply(document, 0)
            return
        changes = store.diff(document)
        if not changes:
            return
        for line in changes:
            print(line, file=sys.stderr)
        if apply_catalog:
            change = store.apply(document, newest)
            print(f"catalog revision {change.revision} is in force", file=sys.stderr)
        else:
            print(
                f"{catalog} differs from revision {newest} as shown; revision {newest} stays in force"
                " (add --apply-catalog to change it)",
                file=sys.stderr,
            )
    finally:
        writer.close()
