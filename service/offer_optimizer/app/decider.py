"""One decider: the gRPC server around the decision path, with its segments, its models and its catalog."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from offer_optimizer.api.graceful import drain
from offer_optimizer.api.server import Ports, ServerOptions, bind, build_server
from offer_optimizer.app.clocks import boot_id, entropy, wall_clock_us
from offer_optimizer.app.life import Life, every
from offer_optimizer.app.policies import check_policy
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.decide.intake import Intake
from offer_optimizer.decide.models import REFRESH_S, ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, prepare_catalog
from offer_optimizer.decide.requests import ModelStatus
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.recorders import ControlSegment, Inbox, Journal
from offer_optimizer.store.salts import load_or_create_salts, newest_salt
from offer_optimizer.store.segment_writer import JournalSyncer, SegmentWriter
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.writer_cells import WriterCells

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a decider listens (HOST:PORT), and how often it syncs its journal in seconds."""

    listen: str
    journal_sync_s: float


@dataclass
class InForce:
    """The catalog revision and the models that this process serves; swapped whole."""

    store: CatalogStore
    shelf: ModelShelf
    prepared: PreparedCatalog

    def refresh(self) -> None:
        """Switch to a newer revision and newer models, where there are any."""
        revision = self.store.refresh()
        if revision.revision != self.prepared.revision:
            prepared = prepare_catalog(revision)
            self.shelf.refresh(prepared)
            self.prepared = prepared
        self.shelf.refresh(self.prepared)

    def describe(self, placement_id: str) -> ModelStatus:
        """Return what a placement serves. Raises UnknownPlacement."""
        placement = self.prepared.placements.get(placement_id)
        if placement is None:
            raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
        model = self.shelf.get(placement_id, placement.epoch.id)
        name = placement.placement.policy.name
        return ModelStatus(name, model.version, model.learned_count) if model else ModelStatus(name, None, 0)


def run_decider(
    files: Files, directory: DataDirectory, writer_id: str, cells: WriterCells, how: Serving, life: Life
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
    shelf = ModelShelf(SnapshotStore(files, directory.snapshots))
    in_force = InForce(store, shelf, prepare_catalog(store.refresh()))
    shelf.refresh(in_force.prepared)
    identity = Identity.load(files, directory.secret_path)
    salts = load_or_create_salts(files, directory.salts_path, entropy)
    runtime = Runtime(
        catalog=lambda: in_force.prepared,
        models=shelf,
        journal=Journal(journal, cells, wall_clock_us),
        digest=identity.digest,
        entropy=entropy,
        salt=newest_salt(salts, "draw"),
    )
    intake = Intake(Inbox(GroupSync(inbox), cells, wall_clock_us), identity.digest)
    ports = Ports(runtime, intake, store, in_force, log, lambda: entropy(6).hex())
    edge = build_server(ports, ServerOptions(reuse_port=True))
    bind(edge.server, how.listen)
    syncer = JournalSyncer(journal, how.journal_sync_s)
    syncer.start()
    every(REFRESH_S, life.stop, in_force.refresh, "refresh")
    edge.server.start()
    edge.readiness.set(True)
    life.say_ready()
    life.stop.wait()
    drain(edge, life.grace_s)
    syncer.stop()
    for writer in (journal, inbox, control):
        writer.close()
