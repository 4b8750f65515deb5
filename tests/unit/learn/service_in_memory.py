"""Deciders' segments and a learner in one process, on a disk in memory, with a clock that tests set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offer_optimizer.core.control import Control
from offer_optimizer.core.decision import Decision, Pmf64
from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn.clock_watch import ClockWatch
from offer_optimizer.learn.drain import Drainer
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.loop import Learner
from offer_optimizer.learn.publish import CANARY_CONTEXT, Publisher
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import parse_description
from offer_optimizer.store.clock_file import ClockFile
from offer_optimizer.store.codec import Epoch, Salt, StoredCatalog, encode_control
from offer_optimizer.store.files import OnStep, nothing
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.memory_files import MemoryFiles
from offer_optimizer.store.recorders import ControlSegment, Inbox, Journal
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.writer_cells import WriterCells
from tests.unit.learn.worlds import START_US, counted_entropy

SEGMENTS, RUN, SNAPSHOTS = Path("/data/segments"), Path("/data/run"), Path("/data/snapshots")
BOOT = "01234567-89ab-cdef-0123-456789abcdef"
SALTS = (Salt(1, "draw", bytes(32)), Salt(2, "holdout", bytes(range(32))))


class FailingConnection(sqlite3.Connection):
    """Fails the statement whose number, counted from now, is `fail_at`, with `failure`; -1: none."""

    fail_at = -1
    failure: BaseException = sqlite3.OperationalError("disk I/O error")

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401  (as sqlite3 has it)
        """Count down, then fail once."""
        if self.fail_at == 0:
            self.fail_at = -1
            raise self.failure
        self.fail_at = max(self.fail_at - 1, -1)
        return super().execute(sql, parameters)


def failing_connection() -> FailingConnection:
    """Open a scratch database whose statements can be made to fail."""
    connection = sqlite3.connect("", factory=FailingConnection, isolation_level=None)
    assert isinstance(connection, FailingConnection)
    return connection


class LocalVerifier:
    """Loads a state in this process and asks; `offset` makes its answer another one."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.asked_count = 0

    def canary_pmf(self, epoch: Epoch, state: bytes, actions: tuple[Action, ...]) -> Pmf64:
        """See Verifier."""
        self.asked_count += 1
        name, options, baseline = parse_description(epoch.description)
        policy = registry.load(name, options, baseline, state)
        answer = policy.pmf(CANARY_CONTEXT, actions)
        policy.close()
        return answer + self.offset


class RevisionsInMemory:
    """Catalog revisions by number."""

    def __init__(self) -> None:
        self.stored: dict[int, StoredCatalog] = {}

    def read_stored(self, revision: int) -> StoredCatalog:
        """See RevisionFiles."""
        if revision not in self.stored:
            raise NotFound(f"revision {revision}")
        return self.stored[revision]


@dataclass
class Writer:
    """What one decider process records through."""

    journal: Journal
    inbox: Inbox
    control: ControlSegment
    cells: WriterCells
    segments: tuple[SegmentWriter, ...]

    @classmethod
    def over(
        cls, segment: Callable[[str], SegmentWriter], cells: WriterCells, clock: Callable[[], int]
    ) -> Writer:
        """Make one that records in segments, which are made by their kind."""
        journal, inbox, control = segment("journal"), segment("inbox"), segment("control")
        return cls(
            Journal(journal, cells, clock),
            Inbox(GroupSync(inbox), cells, clock),
            ControlSegment(control),
            cells,
            (journal, inbox, control),
        )

    def decide(self, decision: Decision, visitor: str = "") -> None:
        """Record a decision."""
        self.journal.append(decision, visitor.encode())

    def hear(self, item: Feedback, visitor: str = "") -> None:
        """Record an item of feedback."""
        self.inbox.append_durable([(visitor.encode(), item)])

    def die(self) -> None:
        """Release all locks, as a killed process does."""
        for segment in self.segments:
            segment.close()
        self.cells.close()


class ServiceInMemory:
    """A data directory and its learner."""

    def __init__(self) -> None:
        self.on_step: OnStep = nothing
        self.files = MemoryFiles(
            lambda step, moment: self.on_step(step, moment),  # noqa: PLW0108  (tests change it)
            directories=("/data", *map(str, (SEGMENTS, RUN, SNAPSHOTS))),
        )
        self.clock_us = START_US
        self.boot_us = 0
        self.connection = failing_connection()
        self.entropy = counted_entropy()
        self.ledger = Ledger.create(self.connection, self.entropy)
        self.revisions = RevisionsInMemory()
        self.boot = BOOT
        self.watch = self.look_at_clock()
        self.verifier = LocalVerifier()
        self.snapshots = SnapshotStore(self.files, SNAPSHOTS)
        self.publish_interval_us = 0
        self.learner = self.start()

    def start(self) -> Learner:
        """Start a learner over what is on the disk, as a new process does."""
        self.watch = self.look_at_clock()
        publisher = Publisher(self.snapshots, self.verifier, lambda: self.clock_us, self.publish_interval_us)
        self.learner = Learner(self.ledger, self._drainer, self.snapshots, publisher, SALTS)
        return self.learner

    def look_at_clock(self) -> ClockWatch:
        """Start to watch the clock, as a new process does."""
        kept = ClockFile(self.files, Path("/data/clock"), self.boot)
        return ClockWatch(lambda: self.clock_us, lambda: self.boot_us, kept)

    def _drainer(self, ledger: Ledger, fold: Fold) -> Drainer:
        return Drainer(
            self.files, SEGMENTS, RUN, ledger, fold, self.revisions, lambda: self.clock_us, self.watch
        )

    def writer(self, number: int) -> Writer:
        """Start a process that records."""
        writer_id = f"{number:016x}"
        cells = WriterCells.create(self.files, RUN, writer_id, number, 0)

        def segment(kind: str) -> SegmentWriter:
            return SegmentWriter(self.files, SEGMENTS, kind, BOOT, writer_id)

        return Writer.over(segment, cells, lambda: self.clock_us)

    def apply(self, writer: Writer, change: StoredCatalog) -> None:
        """Put a catalog revision in force, as the catalog store does."""
        self.revisions.stored[change.revision] = change
        writer.control.append_durable(encode_control(change))

    def steer(self, writer: Writer, control: Control) -> None:
        """Ask for what steers learning."""
        writer.control.append_durable(encode_control(control))

    def run_for(self, seconds: float) -> None:
        """Let both clocks go on, and the learner do all it can."""
        self.clock_us += round(seconds * 1e6)
        self.boot_us += round(seconds * 1e6)
        while self.learner.step():
            pass
