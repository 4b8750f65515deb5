"""A running service whose disk is full, read-only, broken, stalled or wrong: decisions go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from offer_optimizer.client import Client
from offer_optimizer.core.errors import CannotStart
from offer_optimizer.core.ids import parse_decision_id
from offer_optimizer.store.codec import encode_feedback, encode_inbox_entry
from offer_optimizer.store.files import Files
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.v1 import insight_service_pb2, insight_service_pb2_grpc
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc
from tests.conftest import Size
from tests.crash.faulty_disk import PERIOD_S, STALL_S, FaultyDisk, limit_files
from tests.running_service import RunningService, serving
from tests.unit.learn.service_in_memory import BOOT
from tests.unit.learn.worlds import feedback_of

CATALOG = """
version: 1
offers:
  - {id: welcome, type: MESSAGE, payload: hello}
  - {id: coupon, type: COUPON, attributes: {cost: 2.0}}
  - {id: nothing, type: NOTHING}
placements:
  - {id: home, offers: [welcome, coupon, nothing], baseline: [nothing], policy: vw, window: 1s}
"""
SOON_S = 30.0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDisk]:
    made = FaultyDisk(tmp_path_factory.mktemp("disk") / "shim")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in made.environment.items():
            patched.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, disk: FaultyDisk) -> Iterator[RunningService]:
    with serving(tmp_path_factory.mktemp("service"), CATALOG) as running:
        yield running


class Caller:
    """Decides and sends feedback; remembers what was answered."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = rpc.OfferServiceStub(channel)
        self._insight = insight_service_pb2_grpc.InsightServiceStub(channel)
        self.decided: set[str] = set()
        self._number = 0

    def decide(self, timeout_s: float = 5.0) -> pb.DecideResponse:
        reply: pb.DecideResponse = self._stub.Decide(
            pb.DecideRequest(placement="home", visitor=pb.Visitor(visitor_id="v")), timeout=timeout_s
        )
        if reply.decision_id:
            self.decided.add(reply.decision_id)
        return reply

    def send(self, timeout_s: float = 8.0) -> grpc.StatusCode:
        self._number += 1
        item = pb.Feedback(feedback_id=f"f{self._number}", kind="click", decision_id=next(iter(self.decided)))
        try:
            self._stub.RecordFeedback(pb.RecordFeedbackRequest(items=[item]), timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def alarms(self) -> set[str]:
        reply = self._insight.GetLoopHealth(insight_service_pb2.GetLoopHealthRequest(), timeout=30.0)
        return {alarm.name for alarm in reply.alarms}


def until(condition: Callable[[], bool], what: str) -> float:
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < SOON_S, f"waited {SOON_S} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began_s


def are_in_ledger(service: RunningService, decided: set[str]) -> bool:
    try:
        ledger = Ledger.open_for_reading(service.directory / "ledger.sqlite")
    except CannotStart:
        return False  # the learner is making it
    try:
        wanted = [parse_decision_id(text, "decision_id") for text in decided]
        return all(ledger.find_decision(decision) is not None for decision in wanted)
    finally:
        ledger.connection.close()


def test_a_disk_that_refuses_leaves_pages_whole_and_recovery_needs_no_restart(
    service: RunningService, disk: FaultyDisk, figure: Callable[[str], None]
) -> None:
    """Full for every file of every process, SQLite's too; then read-only; then broken."""
    before = service.children()
    slowest_s = behind_s = 0.0
    with grpc.insecure_channel(service.target) as channel:
        caller = Caller(channel)
        assert caller.decide().decision_id
        # A learner that is still opening its ledger ends, and is started again.
        until(lambda: are_in_ledger(service, caller.decided), "the learner has begun")
        for fault in ("full", "EROFS", "EIO"):
            assert caller.decide().decision_id
            assert caller.send() is grpc.StatusCode.OK
            if fault == "full":
                limit_files(before, full=True)
            else:
                disk.fail("/data/", fault)
            until(lambda: caller.send() is grpc.StatusCode.UNAVAILABLE, f"feedback refused: {fault}")
            for _ in range(20):
                reply = caller.decide()
                assert (reply.decision_id, reply.reason) == ("", pb.DECISION_REASON_UNRECORDED), fault
                assert [slot.offer_id for slot in reply.slots] == ["nothing"]
            assert "storage_refused" in caller.alarms(), fault
            limit_files(before, full=False)
            disk.heal()
            slowest_s = max(
                slowest_s,
                until(lambda: bool(caller.decide().decision_id), f"decisions again: {fault}"),
                until(lambda: caller.send() is grpc.StatusCode.OK, f"feedback again: {fault}"),
            )
            behind_s = max(
                behind_s, until(lambda: are_in_ledger(service, caller.decided), f"drained again: {fault}")
            )
            assert "storage_refused" not in caller.alarms(), fault
    assert service.children() == before, service.log_tail()
    service.check_rebuild()
    figure(
        f"disk full, read-only, broken: decisions and feedback again {slowest_s:.2f} s after the disk, all in"
        f" the ledger {behind_s:.1f} s later, no process ended"
    )


def failures_beside_feedback(target: str, seconds: float) -> dict[bool, tuple[int, int]]:
    """Decide with 100 ms of patience, beside feedback; return (failed, all) by whether the disk stalled."""
    stop = threading.Event()

    def send() -> None:
        with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            caller = Caller(channel)
            caller.decided = {"0192f0a1-b2c3-7def-8123-456789abcdef"}
            while not stop.is_set():
                caller.send(2.0)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    counts = {True: [0, 0], False: [0, 0]}
    with grpc.insecure_channel(target) as channel:
        caller = Caller(channel)
        caller.decide()
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            # The end of a stall counts as none: a call that began in it may have waited for all of it.
            count = counts[time.monotonic() % PERIOD_S < STALL_S - 0.1]
            count[1] += 1
            try:
                caller.decide(0.1)
            except grpc.RpcError:
                count[0] += 1
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    return {stalled: (failed, total) for stalled, (failed, total) in counts.items()}


def test_a_stalled_sync_of_inbox_or_journal_fails_no_decision(
    service: RunningService, disk: FaultyDisk, size: Size, figure: Callable[[str], None]
) -> None:
    """300 ms in each second, for every sync. The same stall of writes is felt: the test can fail."""
    seconds = size.pick(test=4.0, ci=6.0, proof=60.0)
    disk.fail("/segments/", "stall", ["fdatasync"])
    found = failures_beside_feedback(service.target, seconds)
    shares = {stalled: failed / max(total, 1) for stalled, (failed, total) in found.items()}
    disk.fail("/journal-", "stall", ["write"])
    felt = failures_beside_feedback(service.target, 3.0)[True]
    disk.heal()
    figure(
        f"syncs stalled 300 ms a second: {found[True][0]} of {found[True][1]} decisions failed in stalls,"
        f" {found[False][0]} of {found[False][1]} outside; with writes stalled {felt[0]} of {felt[1]}"
    )
    # A busy machine fails some calls at any time; a stall that was felt would fail nearly all of its own.
    assert shares[True] <= shares[False] + 0.05
    assert felt[0] >= 0.5 * felt[1]


def put_damaged_segment(service: RunningService, aside: Path) -> Path:
    """Put the segment of a dead writer, with a changed bit in its second record, where the learner drains."""
    aside.mkdir()
    writer = SegmentWriter(Files(), aside, "inbox", BOOT, "e" * 16)
    now_us = time.time_ns() // 1000
    items = [feedback_of(f"f{number}", now_us, decision=number) for number in range(4)]
    ends = [writer.append(encode_inbox_entry(b"", encode_feedback(item))) for item in items]
    writer.close()
    (path,) = aside.glob("*.seg")
    content = bytearray(path.read_bytes())
    content[ends[1] - 2] ^= 1
    path.write_bytes(content)
    return path.rename(service.directory / "segments" / path.name)


def test_a_damaged_segment_is_an_alarm_while_deciders_go_on_and_ends_with_salvage(
    service: RunningService, tmp_path: Path
) -> None:
    before = service.children()
    with Client(service.target, timeout_s=5.0) as client:
        path = put_damaged_segment(service, tmp_path / "aside")

        def alarms() -> dict[str, str]:
            found = client.loop_health("", timeout_s=30.0)["alarms"]
            return {alarm["name"]: alarm["message"] for alarm in found}

        def until(wanted: bool) -> dict[str, str]:
            deadline_s = time.monotonic() + SOON_S
            while ("file_damaged" in (found := alarms())) is not wanted:
                assert time.monotonic() < deadline_s, service.log_tail()
                time.sleep(0.1)
            return found

        assert str(path) in until(wanted=True)["file_damaged"]
        for _ in range(20):
            assert client.decide("home", visitor_id="v").decision_id is not None
        done = service.run_command("salvage", "--data", str(service.directory), path.name, "--yes")
        assert done.returncode == 0, done.stderr
        until(wanted=False)
        deadline_s = time.monotonic() + SOON_S
        while path.exists():
            assert time.monotonic() < deadline_s, service.log_tail()
            time.sleep(0.05)
    assert service.children() == before, service.log_tail()
    service.check_rebuild()
