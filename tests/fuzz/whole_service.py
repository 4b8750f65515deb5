"""The service in one process: every handler of the API from bytes to bytes, runtime, counters and learner.

All that production has, but for sockets, child processes and syncs: files are real ones whose syncs return
at once, models are verified and reports are made in this process, and the clock stands until told to go.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from offer_optimizer.api.server import Ports, ServerOptions, api_handlers
from offer_optimizer.app.in_force import InForce, VisitorErasures, VisitorMerges
from offer_optimizer.app.policies import check_policy
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.decide.batch import Decisions
from offer_optimizer.decide.draft import Drafter
from offer_optimizer.decide.intake import Intake
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.prepared import prepare_catalog
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.evaluate import health_child, report_child, shadow_child
from offer_optimizer.evaluate.desks import LedgerStories
from offer_optimizer.evaluate.errors import HistoryUnreadable
from offer_optimizer.evaluate.visitor_history import LedgerVisitors
from offer_optimizer.learn.cache_keeper import CacheKeeper
from offer_optimizer.learn.clock_watch import ClockWatch
from offer_optimizer.learn.desk import ControlDesk
from offer_optimizer.learn.drain import Drainer
from offer_optimizer.learn.erase import VisitorEraser
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.loop import Learner
from offer_optimizer.learn.publish import Publisher
from offer_optimizer.learn.reach import LedgerReach
from offer_optimizer.learn.retire import LedgerRetirer
from offer_optimizer.store.catalog import CatalogStore
from offer_optimizer.store.clock_file import ClockFile
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.disk import OsDisk
from offer_optimizer.store.erasure_requests import ErasureRequests
from offer_optimizer.store.files import Files
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.recorders import ControlSegment, Inbox, Journal
from offer_optimizer.store.salts import load_or_create_salts, newest_salt
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.snapshots import SnapshotStore
from offer_optimizer.store.visitor_index import VisitorIndex
from offer_optimizer.store.writer_cells import WriterCells, oldest_unwritten, read_cells
from tests.unit.api.fakes import Aborted, FakeContext, FakeLog
from tests.unit.learn.service_in_memory import LocalVerifier

BOOT: Final = "01234567-89ab-cdef-0123-456789abcdef"
START_US: Final = 1_790_000_000_000_000
WRITER: Final = "00112233aabbccdd"
PUBLISH_INTERVAL_US: Final = 3_000_000


class UnsyncedDisk(OsDisk):
    """Real files, whose syncs return at once."""

    def fdatasync(self, fd: int, /) -> None:  # type: ignore[override]
        """See Disk."""

    def sync_dir(self, path: str) -> None:
        """See Disk."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call got: OK with bytes, or a code, a reason and a text."""

    code: grpc.StatusCode
    data: bytes = b""
    reason: str = ""
    message: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether it was served."""
        return self.code is grpc.StatusCode.OK


@dataclass(frozen=True, slots=True)
class _Details:
    method: str
    invocation_metadata: tuple[tuple[str, str], ...] = ()


class _Unpublished:
    """Reports and health without a child process: the same question, the same answer."""

    def __init__(self, directory: DataDirectory, clock: Any) -> None:  # noqa: ANN401
        self._directory = directory
        self._clock = clock

    def report(
        self, placement_id: str, start_us: int | None, end_us: int | None, _timeout_s: float
    ) -> Mapping[str, Any]:
        """See ReportDesk."""
        question = {
            "ledger": str(self._directory.ledger_path),
            "placement": placement_id,
            "start_us": start_us or 0,
            "end_us": self._clock() if end_us is None else end_us,
        }
        return _asked(lambda: report_child.find(question))

    def health(self, placement_id: str, _timeout_s: float) -> Mapping[str, Any]:
        """See HealthDesk."""
        directory = str(self._directory.path)
        question = {"directory": directory, "placement": placement_id, "now_us": self._clock()}
        return _asked(lambda: health_child.find(question))

    def shadows(self, placement_id: str, _timeout_s: float) -> Mapping[str, Any]:
        """See ShadowDesk."""
        question = {"directory": str(self._directory.path), "placement": placement_id}
        return _asked(lambda: shadow_child.find(question))


class _NoArchive:
    """Nothing is ever moved to an archive here, so none has to be written again."""

    def start(self, redaction: Redaction) -> None:
        """See Archivist."""
        raise AssertionError(f"there is an archive: {len(redaction.keys)} keys")

    def poll(self) -> int | None:
        """See Archivist."""
        return None

    def decisions(self) -> dict[bytes, int]:
        """See Archivist."""
        return {}


def _asked(ask: Any) -> Mapping[str, Any]:  # noqa: ANN401
    try:
        found: Mapping[str, Any] = ask()
    except UnknownPlacement:
        raise
    except Exception as error:  # as answer_one tells its parent
        raise HistoryUnreadable(str(error)) from error
    return found


class WholeService:
    """One data directory in `folder` with a catalog in force, and everything that works on it.

    A later life on the same folder takes another `writer_id`, sixteen hexadecimal digits, and starts later.
    """

    def __init__(
        self, folder: Path, catalog: str, seed: int, writer_id: str = WRITER, start_us: int = START_US
    ) -> None:
        self._chance = random.Random(seed)
        self.clock_us = start_us
        self.log = FakeLog()
        files = self.files = Files(disk=UnsyncedDisk())
        self.directory = DataDirectory(folder / "data")
        self.directory.prepare(files)
        self._lay_out(catalog, writer_id)
        self._put_together()

    def clock(self) -> int:
        """Return the time, in microseconds."""
        return self.clock_us

    def _lay_out(self, catalog: str, writer_id: str) -> None:
        files, directory = self.files, self.directory
        self.cells = WriterCells.create(files, directory.run, writer_id, os.getpid(), time.monotonic_ns())
        self.segments = {
            kind: SegmentWriter(files, directory.segments, kind, BOOT, writer_id)
            for kind in ("journal", "inbox", "control")
        }
        self.control = ControlSegment(self.segments["control"])
        self.store = CatalogStore(
            files, directory.catalog, directory.catalog_lock_path, self.control, self.clock, check_policy
        )
        if self.store.newest_number() == 0:
            self.store.apply(catalog, 0)
        self.identity = Identity.load_or_create(files, directory.secret_path, self._chance.randbytes)
        self.salts = load_or_create_salts(files, directory.salts_path, self._chance.randbytes)
        self.snapshots = SnapshotStore(files, directory.snapshots)
        lock = HotLock(directory.hot_lock_path, BOOT, os.getpid(), time.monotonic_ns, time.sleep)
        self.cache = LmdbCache(directory.hot, lock, BOOT, map_bytes=1 << 26, trial=lambda _path: True)

    def _put_together(self) -> None:
        self.ledger = Ledger.open_for_writing(self.directory.ledger_path, self._chance.randbytes)
        self.ledger.connection.execute("PRAGMA synchronous=OFF")
        self.learner = self._learner()
        shelf = ModelShelf(self.snapshots)
        self.in_force = InForce(self.store, shelf, self.cache, prepare_catalog(self.store.refresh()))
        self.journal = Journal(self.segments["journal"], self.cells, self.clock)
        self.runtime = Runtime(
            catalog=lambda: self.in_force.prepared,
            drafter=Drafter(shelf, newest_salt(self.salts, "holdout")),
            journal=self.journal,
            cache=self.cache,
            clock=self.clock,
            digest=self.identity.digest,
            entropy=self._chance.randbytes,
            salt=newest_salt(self.salts, "draw"),
        )
        self._handlers = api_handlers(self._ports(), ServerOptions())
        self._calls: dict[str, Any] = {}
        for _ in range(4):  # the counters become ready
            self.run_for(0.1)

    def _learner(self) -> Learner:
        watch = ClockWatch(self.clock, self.clock, ClockFile(self.files, self.directory.clock_path, BOOT))
        segments, run = self.directory.segments, self.directory.run

        def make_drainer(ledger: Ledger, fold: Fold) -> Drainer:
            return Drainer(self.files, segments, run, ledger, fold, self.store, self.clock, watch)

        def oldest() -> int | None:
            return oldest_unwritten(read_cells(self.files, self.directory.run))

        keeper = CacheKeeper(self.cache, self.ledger, oldest, self.clock)
        publisher = Publisher(self.snapshots, LocalVerifier(), self.clock, PUBLISH_INTERVAL_US)
        eraser = VisitorEraser(
            self.files, self.directory, self.ledger, self.clock, oldest, _NoArchive(), self.cache
        )
        # Nothing is moved to an archive; but models go on from the base that an erasure leaves.
        retirer = LedgerRetirer(self.files, self.directory, self.ledger, self.clock)
        index = VisitorIndex(self.ledger.connection)
        return Learner(
            self.ledger,
            make_drainer,
            self.snapshots,
            publisher,
            self.salts,
            keeper,
            retirer,
            eraser,
            index,
        )

    def _ports(self) -> Ports:
        reports = _Unpublished(self.directory, self.clock)
        limits_of, has_limits = self.in_force.limits_of, self.in_force.has_limits
        inbox = Inbox(GroupSync(self.segments["inbox"]), self.cells, self.clock)
        reach = LedgerReach(self.files, self.directory)
        return Ports(
            decisions=Decisions(self.runtime, self.journal),
            intake=Intake(inbox, self.cache, self.identity.digest, limits_of, has_limits),
            desk=self.store,
            models=self.in_force,
            visitors=VisitorMerges(self.control, self.cache, self.identity.digest),
            erasures=VisitorErasures(self.control, self.identity.digest, self.clock),
            histories=LedgerVisitors(
                self.directory.ledger_path, self.directory.archive, self.identity.digest, self.clock
            ),
            stories=LedgerStories(self.directory.ledger_path, self.in_force.current_model),
            reports=reports,
            learning=ControlDesk(
                self.control, self.snapshots, lambda: self.in_force.prepared.catalog, self.clock, reach
            ),
            health=reports,
            shadows=reports,
            log=self.log,
            make_error_id=lambda: "fuzz",
            clock=self.clock,
        )

    def call(self, method: str, data: bytes) -> Answer:
        """Make a call, `Service/Method`, as gRPC would."""
        handle = self._calls.get(method) or self._find(method)
        try:
            return Answer(grpc.StatusCode.OK, handle(data, FakeContext()))
        except Aborted as aborted:
            status = aborted.status
        details = dict(status.trailing_metadata)["grpc-status-details-bin"]
        info = error_details_pb2.ErrorInfo()
        status_pb2.Status.FromString(details).details[0].Unpack(info)
        return Answer(status.code, b"", info.reason, status.details)

    def _find(self, method: str) -> Any:  # noqa: ANN401
        path = f"/offer_optimizer.v1.{method}"
        found: Any = [handler.service(_Details(path)) for handler in self._handlers]  # type: ignore[arg-type]
        (handler,) = [handler for handler in found if handler is not None]
        self._calls[method] = handler.unary_unary
        return handler.unary_unary

    def run_for(self, seconds: float) -> None:
        """Let the clock go on, the learner do all it can, and the decider take what is new."""
        self.clock_us += round(seconds * 1e6)
        while self.learner.step():
            pass
        self.in_force.refresh()

    def erase_all(self) -> int:
        """Let every erasure that was asked for be carried out and cleaned up; return how many there were."""
        requests = ErasureRequests(self.ledger.connection)
        for _ in range(10_000):
            if not requests.waiting() and not requests.is_unclean():
                break
            self.run_for(0.1)
        else:
            raise AssertionError(f"{len(requests.waiting())} erasures are not carried out")
        kinds = (record.kind for record in self.ledger.rare_records(self.ledger.last_position()))
        return sum(kind is RecordKind.ERASURE for kind in kinds)

    def model_digests(self) -> dict[str, str]:
        """Return the SHA-256 of every model's saved state, by placement."""
        pairs = self.learner._models.pairs.values()
        return {
            pair.epoch.placement_id: hashlib.sha256(pair.serving.policy.save()).hexdigest() for pair in pairs
        }

    def close(self) -> None:
        """Let go of everything."""
        self.learner.close()
        self.cache.close()
        self.ledger.connection.close()
        for segment in self.segments.values():
            segment.close()
        self.cells.close()
