"""A whole data directory with its learner in one process, on real files, with a clock that tests set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from offer_optimizer.learn.clock_watch import ClockWatch
from offer_optimizer.learn.drain import Drainer
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.loop import Learner
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.clock_file import ClockFile
from offer_optimizer.store.codec import RecordKind, StoredCatalog, encode_control
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.recorders import ControlSegment
from offer_optimizer.store.salts import load_or_create_salts
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.writer_cells import WriterCells
from tests.unit.learn.service_in_memory import BOOT, LocalVerifier, Writer
from tests.unit.learn.worlds import (
    PLACEMENT,
    START_US,
    catalog,
    counted_entropy,
    decision_of,
    feedback_of,
    placement,
    stored,
)

EPOCH = epoch_of(placement()).id
OpenLedger = Callable[[Path, Callable[[int], bytes]], Ledger]


class SmallService:
    """Writers and a learner on one data directory; `open_ledger` may put another SQLite under the ledger."""

    def __init__(
        self,
        path: Path,
        files: Files | None = None,
        open_ledger: OpenLedger = Ledger.open_for_writing,
        entropy: Callable[[int], bytes] | None = None,
    ) -> None:
        self.files = files or Files()
        self.data = DataDirectory(path)
        self.clock_us = START_US
        self._open_ledger = open_ledger
        self._entropy = entropy or counted_entropy()
        self.data.prepare(self.files)
        Identity.load_or_create(self.files, self.data.secret_path, self._entropy)
        load_or_create_salts(self.files, self.data.salts_path, self._entropy)
        self.snapshots = SnapshotStore(self.files, self.data.snapshots)

    def store(self, control: ControlSegment) -> CatalogStore:
        """Return the catalog's store as one process has it."""
        return CatalogStore(
            self.files,
            self.data.catalog,
            self.data.catalog_lock_path,
            control,
            lambda: self.clock_us,
            lambda _name, _options: None,
        )

    def writer(self, number: int) -> Writer:
        """Start a process that records."""
        writer_id = f"{number:016x}"
        cells = WriterCells.create(self.files, self.data.run, writer_id, number, 0)

        def segment(kind: str) -> SegmentWriter:
            return SegmentWriter(self.files, self.data.segments, kind, BOOT, writer_id)

        return Writer.over(segment, cells, lambda: self.clock_us)

    def apply(self, writer: Writer, change: StoredCatalog | None = None) -> None:
        """Put a catalog revision in force, as the catalog store does."""
        change = change or stored(1, catalog())
        self.store(writer.control).restore(change)
        writer.control.append_durable(encode_control(change))

    def start(self) -> Learner:
        """Start a learner over what is there, as a new process does."""
        self.ledger = self._open_ledger(self.data.ledger_path, self._entropy)
        watch = ClockWatch(
            lambda: self.clock_us, lambda: self.clock_us, ClockFile(self.files, self.data.clock_path, BOOT)
        )
        publisher = Publisher(self.snapshots, LocalVerifier(), lambda: self.clock_us, 0)
        salts = load_or_create_salts(self.files, self.data.salts_path, self._entropy)
        revisions = self.store(
            ControlSegment(SegmentWriter(self.files, "/nowhere", "control", BOOT, "f" * 16))
        )

        def make(ledger: Ledger, fold: Fold) -> Drainer:
            data, files = self.data, self.files
            return Drainer(
                files, data.segments, data.run, ledger, fold, revisions, lambda: self.clock_us, watch
            )

        self.learner = Learner(self.ledger, make, self.snapshots, publisher, salts)
        return self.learner

    def visit(self, writer: Writer, number: int) -> None:
        """Record a decision, synced, and for most a click."""
        writer.decide(decision_of(number, self.clock_us, epoch=EPOCH), f"v{number % 7}")
        writer.segments[0].sync()
        if number % 3:
            writer.hear(feedback_of(f"f{number}", self.clock_us, decision=number, value=(number % 5) / 4))

    def run_for(self, seconds: float) -> None:
        """Let the clock go on, and the learner do all it can."""
        self.clock_us += round(seconds * 1e6)
        while self.learner.step():
            pass

    def stop(self) -> None:
        """End the learner in good order."""
        self.learner.close()
        self.ledger.connection.close()

    def counts(self) -> tuple[int, int]:
        """Return how many decisions and items of feedback the ledger has."""
        kinds = [record.kind for record in self.ledger.records()]
        return kinds.count(RecordKind.DECISION), kinds.count(RecordKind.FEEDBACK)

    def differences(self) -> list[str]:
        """Return what differs from all that a rebuild derives: rows of the fold, and models."""
        tables = FoldTables(self.ledger.connection)
        rebuilt = Rebuilt(self.ledger, tables.state("position"), lambda _done, _all: None)
        found = rebuilt.differing_rows(tables)
        for epoch in self.snapshots.epochs(PLACEMENT):
            name = self.snapshots.current_name(PLACEMENT, epoch)
            if name is not None and not rebuilt.compare(self.snapshots.load(PLACEMENT, name)).is_equal:
                found.append(f"{name}: another model")
        rebuilt.close()
        return found


def with_history(path: Path, visits: int = 40, waiting: int = 6) -> SmallService:
    """Make a data directory that has learned, and has `waiting` visits in segments of dead writers."""
    service = SmallService(path)
    writer = service.writer(1)
    service.apply(writer)
    service.start()
    for number in range(visits):
        service.visit(writer, number)
        service.run_for(1.0)
    service.run_for(20.0)
    service.stop()
    writer.die()
    other = service.writer(2)
    for number in range(visits, visits + waiting):
        service.visit(other, number)
    other.die()
    return service
