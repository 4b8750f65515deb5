"""The client of a page: it answers in time whatever happens, and gets feedback to the service eventually.

Always holds: `decide` returns within its deadline and raises only for a bug of the caller; `feedback` never
blocks. Safe for threads. A client is the composition root of its own side: clock, chance and ids have their
defaults here and nowhere below.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import random
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from google.protobuf.message import Message

from offer_optimizer.client import wire
from offer_optimizer.client.access import NO_ACCESS, Access, ChannelOption
from offer_optimizer.client.errors import (
    OUTAGES,
    REJECTIONS,
    CallFailed,
    ForkedClient,
    RequestRejected,
    RevisionConflict,
    ServiceUnavailable,
)
from offer_optimizer.client.outbox import DEFAULT_LIMITS, Outbox, OutboxLimits
from offer_optimizer.client.transport import Reply, Transport
from offer_optimizer.client.values import (
    AppliedCatalog,
    Candidate,
    CatalogDocument,
    ClientStats,
    Decision,
    Explanation,
    FeedbackItem,
    FeedbackResult,
    ModelInfo,
    Problem,
    Question,
)
from offer_optimizer.core.consent import Consent
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb
from offer_optimizer.v1 import offer_service_pb2 as pb

FEEDBACK_TIMEOUT_S: Final = 2.0
"""One attempt to deliver a batch: it waits for an fsync, and nobody waits for it."""
CATALOG_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 5.0


class Client:
    """Asks for decisions and reports what visitors did with them.

    `timeout_s` is the deadline of a decision; `baselines` maps a placement to the offers to show, best first,
    when the service doesn't answer. `on_error` hears of everything that no exception tells; it runs on the
    thread that found out, must be quick, and what it raises is ignored. `connections` is how many connections
    are used in turn: one connection sticks to one of the service's processes. `access` is the key and TLS
    that a service beyond loopback asks for. `source` (at most 128 bytes) says who sends feedback, so that
    what one system sent can be quarantined.
    """

    def __init__(  # noqa: PLR0913  (all but the target have defaults)
        self,
        target: str,
        *,
        timeout_s: float = 0.1,
        baselines: Mapping[str, Sequence[str]] | None = None,
        connections: int = 2,
        access: Access = NO_ACCESS,
        source: str = "",
        channel_options: Sequence[ChannelOption] = (),
        outbox_limits: OutboxLimits = DEFAULT_LIMITS,
        on_error: Callable[[Problem], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        new_feedback_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._timeout_s = timeout_s
        self._baselines = {placement: tuple(offers) for placement, offers in (baselines or {}).items()}
        self._on_error = on_error
        self._source = source
        self._clock = clock
        self._new_feedback_id = new_feedback_id
        self._transport = Transport(target, connections, channel_options, access)
        self._outbox = Outbox(
            self._send_feedback, clock=clock, chance=chance, report=self._report, limits=outbox_limits
        )
        self._counts = threading.Lock()
        self._baseline_count = 0
        self._unaddressed_count = 0
        # A script that ends without close() should not lose its last clicks.
        self._at_exit = functools.partial(_close_at_exit, weakref.ref(self))
        atexit.register(self._at_exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Decisions

    def decide(  # noqa: PLR0913  (all but the placement have defaults)
        self,
        placement: str,
        *,
        visitor_id: str = "",
        categories: Mapping[str, str] | None = None,
        numbers: Mapping[str, float] | None = None,
        tags: Mapping[str, Iterable[str]] | None = None,
        consent: Consent = Consent.UNSPECIFIED,
        deferred: bool = False,
        candidates: Sequence[Candidate] = (),
        exclude_offer_ids: Sequence[str] = (),
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> Decision:
        """Return what to show; the first of the placement's `baselines`, or nothing, if the service fails.

        Raises RequestRejected where the request itself is wrong (unknown placement, a limit passed, a field
        that is not served yet): a bug to see in development, not an outage.
        """
        question = Question(
            placement,
            visitor_id,
            categories or {},
            numbers or {},
            tags or {},
            consent,
            deferred,
            candidates,
            exclude_offer_ids,
            request_id,
        )
        request = wire.decide_request(question)
        start = self._clock()
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            response = self._transport.call("offers", "Decide", request, pb.DecideResponse, limit_s)
        except CallFailed as failure:
            _raise_if_rejected(failure)
            return self._baseline(placement, failure, self._clock() - start)
        return wire.decision(response, self._clock() - start)

    def decide_batch(
        self, questions: Sequence[Question], *, timeout_s: float | None = None
    ) -> list[Decision | RequestRejected]:
        """Return an answer to each question (at most 500), in order; a wrong question gets its rejection.

        One question's failure leaves the others alone. Raises RequestRejected only where the call as a whole
        is wrong. `latency_s` is that of the call.
        """
        request = pb.BatchDecideRequest(requests=[wire.decide_request(question) for question in questions])
        start = self._clock()
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            response = self._transport.call("offers", "BatchDecide", request, pb.BatchDecideResponse, limit_s)
        except CallFailed as failure:
            _raise_if_rejected(failure)
            waited_s = self._clock() - start
            return [self._baseline(question.placement, failure, waited_s) for question in questions]
        waited_s = self._clock() - start
        if len(response.results) != len(questions):
            text = f"{len(response.results)} results for {len(questions)} questions"
            short = CallFailed("INTERNAL", "", text)
            return [self._baseline(question.placement, short, waited_s) for question in questions]
        pairs = zip(questions, response.results, strict=True)
        return [self._batch_answer(question, result, waited_s) for question, result in pairs]

    def _batch_answer(
        self, question: Question, result: pb.BatchDecideResult, waited_s: float
    ) -> Decision | RequestRejected:
        if result.HasField("response"):
            return wire.decision(result.response, waited_s)
        failure = wire.item_failure(result.error)
        if failure.code in REJECTIONS:
            return RequestRejected(failure.code, failure.reason, failure.message)
        return self._baseline(question.placement, failure, waited_s)

    def _baseline(self, placement: str, failure: CallFailed, waited_s: float) -> Decision:
        with self._counts:
            self._baseline_count += 1
        self._report(Problem("decide", failure.code, failure.message))
        offers = self._baselines.get(placement, ())
        return Decision(
            decision_id=None,
            offer_id=offers[0] if offers else None,
            propensity=None,
            payload="",
            reason=failure.code,
            model_version="",
            latency_s=waited_s,
            served_by="client_baseline",
        )

    # Feedback

    def feedback(
        self,
        kind: str,
        *,
        decision_id: str | None = None,
        visitor_id: str = "",
        placement: str = "",
        value: float | None = None,
        feedback_id: str | None = None,
        occur_time: datetime | None = None,
        retracts_feedback_id: str = "",
    ) -> bool:
        """Queue what happened and return at once whether it was taken.

        A batch goes out when 200 items wait or the oldest waited 50 ms, and again until the service has it.
        Address it by `decision_id`, or by `visitor_id` and `placement`. Without either (a client baseline has
        no id) it is counted as unaddressed and not sent, so that pages need not ask who decided. A full queue
        drops the new item. `retracts_feedback_id` takes back what was sent under that id: a refund. Raises
        RequestRejected for values that can't be encoded.
        """
        item = FeedbackItem(
            kind=kind,
            feedback_id=feedback_id or self._new_feedback_id(),
            decision_id=decision_id or "",
            visitor_id=visitor_id,
            placement=placement,
            value=value,
            occur_time=occur_time,
            retracts_feedback_id=retracts_feedback_id,
        )
        if not item.decision_id and not (visitor_id and placement):
            with self._counts:
                self._unaddressed_count += 1
            text = "neither a decision_id nor a visitor_id with a placement"
            self._report(Problem("feedback", "UNADDRESSED", text, item))
            return False
        wire.feedback_message(item)  # what can't be encoded is told to its author, not to the sending thread
        self._transport.check_process()
        return self._outbox.put(item)

    def feedback_now(
        self, items: Sequence[FeedbackItem], *, timeout_s: float = FEEDBACK_TIMEOUT_S
    ) -> list[FeedbackResult]:
        """Send items (at most 1,000) and wait until they are durable; once, past the queue.

        Raises ServiceUnavailable (repeat with the same ids) and RequestRejected.
        """
        request = wire.feedback_request(items, self._source)
        reply = self._ask("offers", "RecordFeedback", request, pb.RecordFeedbackResponse, timeout_s)
        return wire.feedback_results(reply)

    def _send_feedback(self, items: Sequence[FeedbackItem]) -> list[FeedbackResult]:
        request = wire.feedback_request(items, self._source)
        reply = self._transport.call(
            "offers", "RecordFeedback", request, pb.RecordFeedbackResponse, FEEDBACK_TIMEOUT_S
        )
        return wire.feedback_results(reply)

    # Visitors and stories

    def merge_visitor(
        self, from_visitor_id: str, into_visitor_id: str, *, timeout_s: float = FEEDBACK_TIMEOUT_S
    ) -> None:
        """Declare that both ids are the same person, known by the second from now on; durable on return.

        Raises ServiceUnavailable (repeat it: merging again changes nothing) and RequestRejected.
        """
        request = pb.MergeVisitorRequest(from_visitor_id=from_visitor_id, into_visitor_id=into_visitor_id)
        self._ask("offers", "MergeVisitor", request, pb.MergeVisitorResponse, timeout_s)

    def explain(self, decision_id: str, *, timeout_s: float = CATALOG_TIMEOUT_S) -> Explanation:
        """Return the story of a past decision; RequestRejected until the learner has it, 100 ms later.

        Raises ServiceUnavailable.
        """
        request = pb.ExplainRequest(decision_id=decision_id)
        return wire.explanation(self._ask("offers", "Explain", request, pb.ExplainResponse, timeout_s))

    # Catalog

    def get_catalog(self, *, timeout_s: float = CATALOG_TIMEOUT_S) -> CatalogDocument:
        """Return the catalog in force. Raises ServiceUnavailable and RequestRejected."""
        request = catalog_pb.GetCatalogRequest()
        reply = self._ask("catalog", "GetCatalog", request, catalog_pb.GetCatalogResponse, timeout_s)
        return CatalogDocument(reply.revision, reply.document)

    def apply_catalog(
        self, document: str, expected_revision: int, *, timeout_s: float = CATALOG_TIMEOUT_S
    ) -> AppliedCatalog:
        """Put a document in force that was made from `expected_revision`.

        Raises RevisionConflict when another one is in force by now, RequestRejected with a line for each
        defect, and ServiceUnavailable.
        """
        request = catalog_pb.ApplyCatalogRequest(document=document, expected_revision=expected_revision)
        reply = self._ask("catalog", "ApplyCatalog", request, catalog_pb.ApplyCatalogResponse, timeout_s)
        return AppliedCatalog(reply.revision, tuple(reply.changes))

    # Insight

    def get_model(self, placement: str, *, timeout_s: float = CATALOG_TIMEOUT_S) -> ModelInfo:
        """Return which model a placement serves, as one decider sees it.

        Raises ServiceUnavailable and RequestRejected.
        """
        request = insight_pb.GetModelRequest(placement=placement)
        reply = self._ask("insight", "GetModel", request, insight_pb.GetModelResponse, timeout_s)
        return ModelInfo(reply.policy, reply.model_version, reply.learned_count)

    def loop_health(self, placement: str = "", *, timeout_s: float = CATALOG_TIMEOUT_S) -> dict[str, Any]:
        """Return alarms and figures of the learning loop as plain values; without a placement, of all.

        Keys are the fields of GetLoopHealthResponse, with `ledger_time_us` in microseconds; what is absent is
        None. Raises ServiceUnavailable and RequestRejected.
        """
        request = insight_pb.GetLoopHealthRequest(placement=placement)
        reply = self._ask("insight", "GetLoopHealth", request, insight_pb.GetLoopHealthResponse, timeout_s)
        return wire.loop_health(reply)

    # The client itself

    def stats(self) -> ClientStats:
        """Return the counts of this moment."""
        with self._counts:
            baseline, unaddressed = self._baseline_count, self._unaddressed_count
        return replace(self._outbox.stats(), baseline=baseline, unaddressed=unaddressed)

    def flush(self, timeout_s: float) -> bool:
        """Send queued feedback now; return whether all of it was settled within `timeout_s` seconds."""
        return self._outbox.flush(timeout_s)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Flush for at most `timeout_s` seconds, then let go; what is unsent is counted as dropped."""
        atexit.unregister(self._at_exit)
        self._transport.check_process()
        self._outbox.close(timeout_s)
        self._transport.close()
        # The call under way was cancelled with the channel, so the thread ends at once.
        self._outbox.join(1.0)

    def _ask(
        self, service: str, method: str, request: Message, reply: type[Reply], timeout_s: float
    ) -> Reply:
        try:
            return self._transport.call(service, method, request, reply, timeout_s)
        except CallFailed as failure:
            if failure.code == "ABORTED":
                raise RevisionConflict(failure.code, failure.reason, failure.message) from None
            if failure.code in OUTAGES:
                raise ServiceUnavailable(self._transport.target, failure.code, failure.message) from None
            raise RequestRejected(failure.code, failure.reason, failure.message) from None

    def _report(self, problem: Problem) -> None:
        if self._on_error is None:
            return
        # Nobody could catch what the hook raises: a broken one must break neither page nor sending.
        with contextlib.suppress(Exception):
            self._on_error(problem)


def _raise_if_rejected(failure: CallFailed) -> None:
    if failure.code in REJECTIONS:
        raise RequestRejected(failure.code, failure.reason, failure.message) from None


def _close_at_exit(reference: weakref.ref[Client]) -> None:
    client = reference()
    if client is not None:
        # In a forked child the connections belong to the parent, which closes them.
        with contextlib.suppress(ForkedClient):
            client.close(timeout_s=1.0)
