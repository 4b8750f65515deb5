"""How long after its window closes has a click changed what deciders serve, with default settings?

A window of a second. At one placement: decide, click, and ask the decider which model it serves until that
has learned one more; the time from the end of the window is the answer. Then with traffic at ten placements:
each time a decider serves a newer model of one of them, the windows that closed since the model before have
waited until then; every millisecond between both cursors is one of these waits. Both with the default policy
and then with vw.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import grpc
import numpy as np

from benchmarks import question, setting, under_test, verdict
from benchmarks.open_loop import Load, connect, drive
from benchmarks.under_test import Service
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.snapshots import SnapshotStore, order_of
from offer_optimizer.v1 import insight_service_pb2 as insight
from offer_optimizer.v1 import offer_service_pb2 as pb

WINDOW_S: Final = 1.0
LIMIT_S: Final = 2.0
LOOK_S: Final = 0.01
LOADED_LOOK_S: Final = 0.02
WARM_S: Final = 4.0
PATIENCE_S: Final = 30.0
GET_MODEL: Final = "/offer_optimizer.v1.InsightService/GetModel"
RATE: Final = 100.0


@dataclass
class Caller:
    """Asks a service over one connection."""

    channel: grpc.Channel

    def model(self, placement: str) -> insight.GetModelResponse:
        """Return which model a placement serves."""
        call: Any = self.channel.unary_unary(GET_MODEL)
        request = insight.GetModelRequest(placement=placement)
        return insight.GetModelResponse.FromString(call(request.SerializeToString(), timeout=5.0))

    def click_once(self, request: bytes, number: int) -> float:
        """Decide and click; return when the window closes, in seconds on the monotonic clock."""
        decide: Any = self.channel.unary_unary(setting.DECIDE)
        record: Any = self.channel.unary_unary(setting.RECORD_FEEDBACK)
        reply = pb.DecideResponse.FromString(decide(request, timeout=5.0))
        ends_s = time.monotonic() + WINDOW_S
        item = pb.Feedback(feedback_id=f"c{number}", decision_id=reply.decision_id, kind="click")
        record(pb.RecordFeedbackRequest(items=[item]).SerializeToString(), timeout=5.0)
        return ends_s


def alone(service: Service, trials: int) -> list[float]:
    """Return how long each click took, one after the other, with no other traffic."""
    with grpc.insecure_channel(service.target) as channel:
        caller = Caller(channel)
        found = []
        for number in range(trials):
            before = caller.model(setting.PLACEMENT).learned_count
            ends_s = caller.click_once(setting.request_bytes(), number)
            give_up_s = ends_s + PATIENCE_S
            while caller.model(setting.PLACEMENT).learned_count <= before:
                if time.monotonic() > give_up_s:
                    raise SystemExit(f"no newer model {PATIENCE_S:g} s after the window closed")
                time.sleep(LOOK_S)
            found.append(time.monotonic() - ends_s)
    return found


def beside_traffic(service: Service, seconds: float) -> list[float]:
    """Return how long windows waited at one placement of ten, with traffic at all."""
    snapshots = SnapshotStore(Files(), DataDirectory(service.data).snapshots)
    channels = connect(service.target, 4)
    load = Load(RATE, WARM_S + seconds, 0.1, 5.0)
    traffic = threading.Thread(target=drive, args=(channels, load, setting.many_requests(1000, 6)))
    traffic.start()
    time.sleep(WARM_S)
    waits: list[float] = []
    with grpc.insecure_channel(service.target) as channel:
        caller = Caller(channel)
        seen: tuple[str, int] | None = None
        while traffic.is_alive():
            time.sleep(LOADED_LOOK_S)
            version, now_us = caller.model(setting.PLACEMENT).model_version, time.time_ns() // 1000
            if version and (seen is None or version != seen[0]):
                cursor_us = _close_cursor(snapshots, version)
                if cursor_us is not None:
                    if seen is not None:
                        waits += [(now_us - at) / 1e6 for at in range(seen[1], cursor_us, 1000)]
                    seen = (version, cursor_us)
    traffic.join()
    return waits


def _close_cursor(snapshots: SnapshotStore, version: str) -> int | None:
    """Return the close time up to which a served version has learned, while its file is still there."""
    epoch, _, position = version.partition(":")
    for name in snapshots.names(setting.PLACEMENT, bytes.fromhex(epoch)):
        if order_of(name)[0] == int(position):
            return snapshots.load(setting.PLACEMENT, name).close_time_us
    return None


def figures_of(policy: str, trials: int, seconds: float) -> list[question.Figure]:
    """Measure both with one policy."""
    with under_test.service(setting.catalog_text(policy, placements=1)) as service:
        quiet = alone(service, trials)
    with under_test.service(setting.catalog_text(policy)) as service:
        busy = beside_traffic(service, seconds)
    found = []
    for where, waits in (("one placement", quiet), ("ten placements with traffic", busy)):
        p99, median = float(np.percentile(waits, 99)), float(np.median(waits))
        text = f"{policy}, {where}: window closed to newer model served, p99 s"
        found.append(question.Figure(text, p99, LIMIT_S, at_least=False))
        found.append(question.Figure(f"{policy}, {where}: the same, median s", median, at_least=False))
    return found


def main() -> None:
    """Measure both, answer."""
    parser = question.parser("changed_decisions", __doc__)
    verdict.add_policies(parser)
    asked = question.ask(parser)
    trials, seconds = (5, 10.0) if asked.is_short else (100, 120.0)
    figures = [one for policy in asked.options.policies for one in figures_of(policy, trials, seconds)]
    text = (__doc__ or "").splitlines()[0]
    details = {"trials": trials, "seconds": seconds}
    verdict.conclude(asked, question.Answer("changed_decisions", text, figures, details))


if __name__ == "__main__":
    main()
