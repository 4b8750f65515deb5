"""The learner: the one writer of the ledger and of snapshots."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog

from offer_optimizer.app.archivist import ChildArchivist
from offer_optimizer.app.catalog_check import check_in_force
from offer_optimizer.app.clocks import boot_clock_us, boot_id, entropy, wall_clock_us
from offer_optimizer.app.garbage import calm_collector
from offer_optimizer.app.life import Life
from offer_optimizer.app.policies import check_policy
from offer_optimizer.app.preparer import ChildPreparer
from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.shadow_edit import promote_in_document
from offer_optimizer.learn.cache_keeper import CacheKeeper
from offer_optimizer.learn.clock_watch import ClockWatch
from offer_optimizer.learn.drain import Drainer
from offer_optimizer.learn.erase import VisitorEraser
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.loop import Learner
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.retire import LedgerRetirer
from offer_optimizer.learn.shadow_training import Judge
from offer_optimizer.learn.shadows import GATE, Shadows
from offer_optimizer.learn.verifier import ChildVerifier
from offer_optimizer.store.audit import AuditTrail
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.clock_file import ClockFile
from offer_optimizer.store.files import Files
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.lost_ledger import require_ledger
from offer_optimizer.store.salts import load_or_create_salts
from offer_optimizer.store.shadow_file import ShadowStore
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.visitor_index import VisitorIndex
from offer_optimizer.store.writer_cells import oldest_unwritten, read_cells, remove_dead

log = structlog.get_logger(__name__)

ROUND_S: Final = 0.1
"""Segments are drained so often, unless a round takes longer."""
PUBLISH_INTERVAL_US: Final = 500_000
PUBLISH_PACE_US: Final = 50_000
"""Ten placements that learn all the time are published every half second; 8 to 15 ms of CPU each."""


class _FromFile:
    """The learner takes the one revision that it adds, a gate's promotion, right from its file."""

    def append_durable(self, _payload: bytes) -> None:
        """Need nothing: the file is durable, and `Drainer.bring` reads it."""


def run_learner(files: Files, directory: DataDirectory, life: Life, keep_days: int | None = None) -> None:
    """Learn until told to stop. `keep_days` None keeps everything. Raises CannotStart, DamagedFile."""
    fd = _take_over(files, directory, life)
    if fd is None:
        return
    require_ledger(files, directory)
    ledger = Ledger.open_for_writing(directory.ledger_path, entropy)
    catalog = CatalogStore(
        files, directory.catalog, directory.catalog_lock_path, _FromFile(), wall_clock_us, check_policy
    )
    boot = boot_id()
    watch = ClockWatch(wall_clock_us, boot_clock_us, ClockFile(files, directory.clock_path, boot))

    def make_drainer(ledger: Ledger, fold: Fold) -> Drainer:
        return Drainer(files, directory.segments, directory.run, ledger, fold, catalog, wall_clock_us, watch)

    snapshots = SnapshotStore(files, directory.snapshots)
    verifier = ChildVerifier()
    delivering = ThreadPoolExecutor(1, "publish")
    publisher = Publisher(
        snapshots, verifier, wall_clock_us, PUBLISH_INTERVAL_US, PUBLISH_PACE_US, delivering
    )
    salts = load_or_create_salts(files, directory.salts_path, entropy)
    lock = HotLock(directory.hot_lock_path, boot, os.getpid(), time.monotonic_ns, time.sleep)
    cache = LmdbCache(directory.hot, lock, boot)

    def oldest_stamp() -> int | None:
        return oldest_unwritten(read_cells(files, directory.run))

    keeper = CacheKeeper(cache, ledger, oldest_stamp, wall_clock_us)
    preparer = ChildPreparer(directory)
    retirer = LedgerRetirer(files, directory, ledger, wall_clock_us, preparer, keep_days)
    archivist = ChildArchivist(directory)
    eraser = VisitorEraser(files, directory, ledger, wall_clock_us, oldest_stamp, archivist, cache)
    learner = Learner(
        ledger,
        make_drainer,
        snapshots,
        publisher,
        salts,
        keeper,
        retirer,
        eraser,
        VisitorIndex(ledger.connection),
        time.monotonic,
        _shadows(files, directory, catalog),
    )
    calm_collector()
    life.say_ready()
    tidy = partial(remove_dead, files, directory.run)
    _learn(learner, life, tidy, partial(check_in_force, catalog, check_policy))
    if not life.is_orphan:
        learner.close()
    delivering.shutdown(cancel_futures=True)
    verifier.close()
    preparer.close()
    archivist.close()
    eraser.close()
    cache.close()
    ledger.connection.close()
    files.close(fd)


def _learn(learner: Learner, life: Life, tidy: Callable[[], object], look_once: Callable[[], object]) -> None:
    """Do rounds until told to stop; `tidy` behind each that left nothing, `look_once` behind the first."""
    has_looked = False
    while not life.stop.is_set():
        started_s = time.monotonic()
        # A round takes all that was there: what came meanwhile waits for the next, so that records share
        # transactions. Without a pause, traffic made 175 rounds a second of three decisions each.
        is_behind = _round(learner)
        if not has_looked:
            has_looked = True
            look_once()
        if is_behind:
            continue
        tidy()
        life.stop.wait(max(ROUND_S - (time.monotonic() - started_s), learner.retry_s, 0.0))


def _shadows(files: Files, directory: DataDirectory, catalog: CatalogStore) -> Shadows:
    audit = AuditTrail(files, directory.audit, "learner", wall_clock_us)

    def exchange(placement_id: str, name: str) -> int:
        return _exchange(catalog, audit, placement_id, name)

    store = ShadowStore(files, directory.shadows)
    return Shadows(store, _judge, time.monotonic, time.process_time, exchange)


def _judge(state: bytes) -> Judge:
    """Return the judge of a shadow. What it needs takes a second to load: not where there is no shadow."""
    from offer_optimizer.evaluate.shadow_judge import ShadowJudge  # noqa: PLC0415

    return ShadowJudge(state)


def _exchange(catalog: CatalogStore, audit: AuditTrail, placement_id: str, name: str) -> int:
    """Make a shadow the policy of its placement; return the revision. Raises OfferOptimizerError."""
    revision = catalog.refresh()
    placement = revision.catalog.placement_by_id.get(placement_id)
    if placement is None:
        raise NotFound(f"placement {placement_id} is not in the catalog any more")
    document = promote_in_document(revision.document, placement, name)
    call = f"Promote {name} at {placement_id}"
    audit.note(GATE, "the learner", call, "asked")
    applied = catalog.apply(document, revision.revision).revision
    audit.note(GATE, "the learner", call, "done")
    return applied


def _round(learner: Learner) -> bool:
    """Do one round; return whether there is more to do at once. No failure of a round ends the process."""
    try:
        learner.step()
    except Exception as error:  # noqa: BLE001  (a process loop: damage in the ledger may raise anything)
        # Only where it was: what was wrong may be a visitor's value.
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_qualname}" if place is not None else "somewhere"
        learner.give_up_round(f"{type(error).__name__} in {where}: something stored is not what was written")
    return learner.is_behind


def _take_over(files: Files, directory: DataDirectory, life: Life) -> int | None:
    """Wait for an earlier learner to end, and return the lock; None when told to stop first."""
    while (fd := files.hold(directory.learner_lock_path, b"", "learner.lock")) is None:
        log.info("waiting_for_earlier_learner")
        if life.stop.wait(0.1):
            return None
    return fd
