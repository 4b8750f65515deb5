"""A running service that keeps a day: what is older moves to the archive while it serves and learns on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.learn.fold import Fold
from offer_optimizer.store.codec import Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc
from tests.running_service import RunningService

CATALOG = """\
version: 1
offers:
  - {id: a, type: MESSAGE}
  - {id: b, type: MESSAGE}
placements:
  - {id: home, offers: [a, b], baseline: [a], window: 1s, policy: {name: vw, options: {bits: 10}}}
"""
DECISIONS = 40
THREE_DAYS_US = 3 * 86_400_000_000


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    running = RunningService(tmp_path / "data", catalog, 1, ("--keep-days", "1"))
    running.start()
    yield running
    running.end()


def decide(service: RunningService) -> list[str]:
    """Decide for some visitors, click on every second one, and return the decisions."""
    found = []
    with grpc.insecure_channel(service.target) as channel:
        stub = rpc.OfferServiceStub(channel)
        for number in range(DECISIONS):
            request = pb.DecideRequest(placement="home", visitor=pb.Visitor(visitor_id=f"v{number}"))
            decision_id = stub.Decide(request, timeout=5).decision_id
            found.append(decision_id)
            if number % 2:
                item = pb.Feedback(feedback_id="f", decision_id=decision_id, kind="click", value=1.0)
                stub.RecordFeedback(pb.RecordFeedbackRequest(items=[item]), timeout=5)
    return found


def wait_until(service: RunningService, query: str, done: Callable[[int], bool]) -> None:
    """Ask the ledger until its answer will do; the learner makes its tables meanwhile."""
    deadline_s = time.monotonic() + 40
    while not done(answer(service, query)):
        assert time.monotonic() < deadline_s, service.log_tail()
        time.sleep(0.05)


def answer(service: RunningService, query: str) -> int:
    """Return the number that a query gives; 0 while there is none."""
    path = DataDirectory(service.directory).ledger_path
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute(query).fetchone()[0] or 0)
    except sqlite3.OperationalError:
        return 0


def jump(service: RunningService) -> None:
    """Let ledger time be three days on, as if the service had slept."""
    ledger = Ledger.open_for_writing(DataDirectory(service.directory).ledger_path, bytes)
    with closing(ledger.connection):
        fold = Fold(ledger, FoldTables.create(ledger.connection))
        with transaction(ledger.connection):
            fold.apply(ledger.append_body(Tick(fold.time_us + THREE_DAYS_US)))
            fold.save_state()


def test_old_days_move_while_the_service_serves_and_learns_on(service: RunningService) -> None:
    before = decide(service)
    closed = "SELECT COUNT(*) FROM closed"
    wait_until(service, closed, lambda count: count == DECISIONS)
    assert service.stop() == 0
    jump(service)
    service.start()
    wait_until(service, "SELECT MAX(value) FROM meta WHERE name = 'dropped_position'", lambda at: at > 0)
    archive = DataDirectory(service.directory).archive
    assert len(list(ParquetLog.open(archive).rows())) == DECISIONS
    (batch,) = ParquetLog.open(archive).batches()
    assert batch.reward.sum() == DECISIONS / 2
    assert len(decide(service)) == DECISIONS
    report = service.check_rebuild()
    assert report["from"].startswith("the base snapshot of position ")
    assert [model["learned_count"] for model in report["models"]] == [DECISIONS]
    told = service.run_command("explain", before[0], "--target", service.target)
    assert told.returncode == 1
    assert "was moved to archive/" in told.stderr
