"""Load that keeps the list of what was answered: the only witness that counts after a kill."""

from __future__ import annotations

import random
import threading
import time
import uuid

import grpc

from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc as rpc

DEADLINE_S = 1.0


class AnsweredLoad:
    """Several threads that decide and send feedback, each over a channel of its own.

    `decisions` and `feedback` hold the ids of what was answered; what failed is simply not in them.
    """

    def __init__(
        self, target: str, placement: str, seed: int, threads: int = 4, pause_s: float = 0.004
    ) -> None:
        self._target = target
        self._placement = placement
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.decisions: set[str] = set()
        self.feedback: dict[str, str] = {}
        self.failures = 0
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed}-{n}"),), daemon=True)
            for n in range(threads)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; every call under way has been answered or has failed by then."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def counts(self) -> tuple[int, int]:
        """Return how many decisions and items of feedback were answered."""
        with self._lock:
            return len(self.decisions), len(self.feedback)

    def _run(self, chance: random.Random) -> None:
        # Fresh connections: a process that died must not be waited for by an old channel's back-off.
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200),
                   ("grpc.use_local_subchannel_pool", 1)]  # fmt: skip
        with grpc.insecure_channel(self._target, options=options) as channel:
            stub = rpc.OfferServiceStub(channel)
            unsent: list[pb.Feedback] = []
            while not self._stop.is_set():
                try:
                    self._decide(stub, chance, unsent)
                    if len(unsent) >= 5:
                        self._send(stub, unsent)
                        unsent.clear()
                except grpc.RpcError:
                    with self._lock:
                        self.failures += 1
                    time.sleep(0.02)
                time.sleep(self._pause_s)

    def _decide(self, stub: rpc.OfferServiceStub, chance: random.Random, unsent: list[pb.Feedback]) -> None:
        segment = chance.choice(["new", "known"])
        visitor = f"visitor-{chance.randrange(200)}"
        request = pb.DecideRequest(
            placement=self._placement,
            visitor=pb.Visitor(visitor_id=visitor),
            context=pb.Features(categories={"segment": segment}, numbers={"hour": chance.randrange(24)}),
            deferred=chance.random() < 0.2,
        )
        reply = stub.Decide(request, timeout=DEADLINE_S)
        if not reply.decision_id:
            return
        with self._lock:
            self.decisions.add(reply.decision_id)
        if chance.random() < 0.5:
            kind = chance.choice(["shown", "click", "dismiss"])
            item = pb.Feedback(feedback_id=str(uuid.UUID(int=chance.getrandbits(128))), kind=kind)
            if chance.random() < 0.3:
                item.visitor_placement.visitor_id = visitor
                item.visitor_placement.placement = self._placement
            else:
                item.decision_id = reply.decision_id
            unsent.append(item)

    def _send(self, stub: rpc.OfferServiceStub, items: list[pb.Feedback]) -> None:
        reply = stub.RecordFeedback(pb.RecordFeedbackRequest(items=items), timeout=DEADLINE_S)
        with self._lock:
            for item, result in zip(items, reply.results, strict=True):
                if result.status == pb.FEEDBACK_STATUS_ACCEPTED:
                    self.feedback[item.feedback_id] = item.decision_id
