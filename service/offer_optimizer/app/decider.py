"""One decider: the gRPC server around the decision path, with its segments, its models and its catalog."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from offer_optimizer.api.access import Gate
from offer_optimizer.api.credentials import TlsFiles, server_credentials
from offer_optimizer.api.graceful import drain
from offer_optimizer.api.server import Ports, ServerOptions, bind, build_server
from offer_optimizer.app.clocks import EntropyStock, boot_id, entropy, wall_clock_us
from offer_optimizer.app.early_cache import EarlyCache
from offer_optimizer.app.garbage import calm_collector
from offer_optimizer.app.in_force import InForce, VisitorErasures, VisitorMerges
from offer_optimizer.app.keys import KeysFile
from offer_optimizer.app.life import Life, every
from offer_optimizer.app.policies import check_policy
from offer_optimizer.core import ids
from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.decide.batch import Decisions
from offer_optimizer.decide.draft import Drafter
from offer_optimizer.decide.intake import Intake
from offer_optimizer.decide.models import REFRESH_S, ModelShelf, SnapshotReader
from offer_optimizer.decide.prepared import prepare_catalog
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.evaluate.desks import ChildHealth, ChildReports, ChildShadows, LedgerStories
from offer_optimizer.evaluate.visitor_history import LedgerVisitors
from offer_optimizer.learn.desk import ControlDesk
from offer_optimizer.learn.reach import LedgerReach
from offer_optimizer.store.audit import AuditTrail
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.recorders import ControlSegment, Inbox, Journal
from offer_optimizer.store.restore import restore_catalog
from offer_optimizer.store.salts import load_or_create_salts, newest_salt
from offer_optimizer.store.segment_writer import JournalSyncer, SegmentWriter
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.writer_cells import Refused, WriterCells

log = structlog.get_logger(__name__)

KEYS_REFRESH_S: Final = 1.0
REST_S: Final = 0.01
"""Between two models that are loaded at once: requests take their turn."""
FIRST_MODELS: Final = 40
"""Loaded before a decider serves, 3 to 4 ms of CPU each; where there are more, the rest follow at once."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a decider listens (HOST:PORT), how often it syncs its journal in seconds, and whom it serves."""

    listen: str
    journal_sync_s: float
    tls: TlsFiles | None = None
    keys: Path | None = None
    reflection: bool = True


def run_decider(
    files: Files,
    directory: DataDirectory,
    writer_id: str,
    cells: WriterCells,
    how: Serving,
    life: Life,
    early: EarlyCache,
) -> None:
    """Serve until told to stop, then drain. Raises CannotStart, DamagedFile, NotFound."""
    boot = boot_id()

    def segment(kind: str) -> SegmentWriter:
        return SegmentWriter(files, directory.segments, kind, boot, writer_id)

    journal, inbox, control = segment("journal"), segment("inbox"), segment("control")
    store = CatalogStore(
        files,
        directory.catalog,
        directory.catalog_lock_path,
        ControlSegment(control),
        wall_clock_us,
        check_policy,
    )
    restore_catalog(directory, store)
    snapshots = SnapshotStore(files, directory.snapshots)
    shelf = resting_shelf(snapshots)
    cache = early.cache()
    in_force = InForce(store, shelf, cache, prepare_catalog(store.refresh()))
    shelf.refresh(in_force.prepared, FIRST_MODELS)
    identity = Identity.load(files, directory.secret_path)
    salts = load_or_create_salts(files, directory.salts_path, entropy)
    recorded = Journal(journal, cells, wall_clock_us)
    runtime = Runtime(
        catalog=lambda: in_force.prepared,
        drafter=Drafter(shelf, newest_salt(salts, "holdout")),
        journal=recorded,
        cache=cache,
        clock=wall_clock_us,
        digest=identity.digest,
        entropy=EntropyStock(entropy, ids.ENTROPY_BYTES).take,
        salt=newest_salt(salts, "draw"),
    )
    intake = Intake(
        Inbox(GroupSync(inbox), cells, wall_clock_us),
        cache,
        identity.digest,
        in_force.limits_of,
        in_force.has_limits,
    )
    ports = Ports(
        decisions=Decisions(runtime, recorded),
        intake=intake,
        desk=store,
        models=in_force,
        visitors=VisitorMerges(ControlSegment(control), cache, identity.digest),
        erasures=VisitorErasures(ControlSegment(control), identity.digest, wall_clock_us),
        histories=LedgerVisitors(directory.ledger_path, directory.archive, identity.digest, wall_clock_us),
        stories=LedgerStories(directory.ledger_path, in_force.current_model),
        reports=ChildReports(directory.ledger_path, wall_clock_us),
        learning=ControlDesk(
            ControlSegment(control),
            snapshots,
            lambda: in_force.prepared.catalog,
            wall_clock_us,
            LedgerReach(files, directory),
        ),
        health=ChildHealth(directory.path, wall_clock_us),
        shadows=ChildShadows(directory.path),
        log=log,
        make_error_id=lambda: entropy(6).hex(),
        clock=wall_clock_us,
        guard=_gate(files, directory, writer_id, how, life).guard,
    )
    edge = build_server(ports, ServerOptions(reuse_port=True, reflection=how.reflection))
    bind(edge.server, how.listen, server_credentials(how.tls, _complain) if how.tls else None)

    def tell(failure: StorageUnavailable | None) -> None:
        cells.note_refused(Refused.SYNC, wall_clock_us() if failure else 0)

    syncer = JournalSyncer(journal, how.journal_sync_s, tell=tell)
    syncer.start()
    early.wait()
    cache.refresh()
    every(REFRESH_S, life.stop, in_force.refresh, "refresh")
    calm_collector()
    edge.server.start()
    edge.readiness.set(True)
    life.say_ready()
    life.stop.wait()
    drain(edge, life.grace_s, life.lead_s)
    syncer.stop()
    for writer in (journal, inbox, control):
        writer.close()


def resting_shelf(snapshots: SnapshotReader) -> ModelShelf:
    """Return a shelf for a thread that loads models beside those that serve."""
    return ModelShelf(snapshots, lambda: time.sleep(REST_S), time.thread_time)


def _gate(files: Files, directory: DataDirectory, writer_id: str, how: Serving, life: Life) -> Gate:
    """Return the gate in front of the API, its keys followed while we serve."""
    audit = AuditTrail(files, directory.audit, writer_id, wall_clock_us)
    if how.keys is None:
        return Gate(None, audit, time.monotonic)
    keys = KeysFile(how.keys, _complain)
    every(KEYS_REFRESH_S, life.stop, keys.refresh, "keys")
    return Gate(keys.ring, audit, time.monotonic)


def _complain(problem: str) -> None:
    log.error("access_file_unusable", problem=problem, effect="what was read before stays in force")
