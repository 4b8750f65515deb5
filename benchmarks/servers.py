"""The servers under test that are ours alone: `python -m benchmarks.servers floor|edge [REPLY [PORT]]`.

`floor` answers Decide with the bytes of REPLY (hexadecimal) from an empty handler behind the same server
options; `edge` is the whole gRPC edge with a fixed decision behind it. They share a PORT as deciders do (by
default any free one). Prints the port and serves until its standard input ends.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from benchmarks.setting import PLACEMENT
from offer_optimizer.api.server import SERVICE_NAMES, Ports, ServerOptions, bind, build_server
from offer_optimizer.core.catalog import Catalog, Offer, OfferType, Placement
from offer_optimizer.core.catalog_revision import CatalogChange, CatalogRevision
from offer_optimizer.core.decision import ModelVersion, Reason
from offer_optimizer.core.errors import NotFound
from offer_optimizer.decide.requests import DecideInput, FeedbackInput, ModelStatus, Outcome, ShownSlot
from offer_optimizer.evaluate.story import Story
from offer_optimizer.evaluate.visitor_history import VisitorPage
from offer_optimizer.learn.ports import Asker, KeptModel, Started
from offer_optimizer.v1 import offer_service_pb2 as pb

_TAKEN = pb.RecordFeedbackResponse(
    results=[pb.FeedbackResult(status=pb.FEEDBACK_STATUS_ACCEPTED)]
).SerializeToString()


def floor_server(reply: bytes) -> grpc.Server:
    """Build a server whose Decide and RecordFeedback do nothing."""
    options = ServerOptions(reuse_port=True)

    def decide(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        return reply

    def record(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        return _TAKEN

    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Decide": grpc.unary_unary_rpc_method_handler(decide, None, None),
        "RecordFeedback": grpc.unary_unary_rpc_method_handler(record, None, None),
    }
    server = grpc.server(
        ThreadPoolExecutor(options.threads),
        options=options.channel_args(),
        maximum_concurrent_rpcs=options.concurrent_rpcs,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAMES[0], handlers),))
    return server


class FixedDecision:
    """Ports that answer at once: what remains is the edge itself."""

    _OUTCOME = Outcome(
        bytes(range(16)),
        (ShownSlot("offer-07", 0.05, "Payload of offer 07, about as long as a short message usually is."),),
        Reason.MODEL,
        ModelVersion(bytes(16), 123_456),
    )
    _REVISION = CatalogRevision(
        1,
        "",
        0,
        Catalog(
            offers=(Offer(id="offer-07", type=OfferType.COUPON),),
            placements=(Placement(id=PLACEMENT, offers=("offer-07",)),),
        ),
    )

    def decide(self, _request: DecideInput) -> Outcome:
        """Return always the same."""
        return self._OUTCOME

    def begin_batch(self) -> FixedDecision:
        """Return itself: nothing is recorded."""
        return self

    def end(self) -> Mapping[bytes, Outcome]:
        """Record nothing, so that nothing fails."""
        return {}

    def record(self, _items: Sequence[FeedbackInput]) -> None:
        """Take anything."""

    def current(self) -> CatalogRevision:
        """Return the only revision."""
        return self._REVISION

    def read(self, _revision: int) -> CatalogRevision:
        """Return the only revision."""
        return self._REVISION

    def apply(self, _document: str, _expected_revision: int, *, validate_only: bool) -> CatalogChange:
        """Change nothing."""
        del validate_only
        return CatalogChange(1, ())

    def describe(self, _placement_id: str) -> ModelStatus:
        """Serve no model."""
        return ModelStatus("uniform", None, 0)

    def merge(self, _from_visitor_id: str, _into_visitor_id: str) -> None:
        """Merge nobody."""

    def explain(self, _decision_id: bytes) -> Story:
        """Know no story."""
        raise NotFound("this server remembers nothing")

    def report(
        self, _placement_id: str, _start_us: int | None, _end_us: int | None, _timeout_s: float
    ) -> Mapping[str, Any]:
        """Know nothing to report."""
        raise NotFound("this server remembers nothing")

    def set_learning(self, _placement_id: str, _asker: Asker, *, frozen: bool) -> None:
        """Learn nothing anyhow."""

    def roll_back(self, _placement_id: str, _version: str, _asker: Asker) -> None:
        """Have nothing to go back to."""

    def quarantine(
        self, _placement_id: str, _start_us: int, _end_us: int, _offer_id: str, _source: str, _asker: Asker
    ) -> str:
        """Learn nothing anyhow."""
        return ""

    def start_epoch(self, _placement_id: str, _document: str, _asker: Asker, *, uses_final: bool) -> Started:
        """Start nothing."""
        del uses_final
        return Started(bytes(16), ())

    def accept_clock(self, _asker: Asker) -> None:
        """Have no clock."""

    def kept(self, _placement_id: str, _policy_epoch: bytes | None) -> tuple[KeptModel, ...]:
        """Keep no model."""
        return ()

    def erase(self, _visitor_id: str, _actor: str, _reason: str) -> None:
        """Know nobody."""

    def page(self, _visitor_id: str, _token: str, _limit: int, _timeout_s: float) -> VisitorPage:
        """Know nobody."""
        return VisitorPage()

    def decision_count(self, _visitor_id: str) -> int:
        """Know nobody."""
        return 0

    def health(self, _placement_id: str, _timeout_s: float) -> Mapping[str, Any]:
        """Know nothing to report."""
        raise NotFound("this server remembers nothing")

    def shadows(self, _placement_id: str, _timeout_s: float) -> Mapping[str, Any]:
        """Have none."""
        return {"shadows": []}

    def error(self, event: str, **fields: object) -> None:
        """Print a fault: there should be none."""
        print(event, fields, file=sys.stderr, flush=True)

    warning = error


def fixed_ports() -> Ports:
    """Return ports that all answer at once."""
    fixed = FixedDecision()
    return Ports(
        decisions=fixed,
        intake=fixed,
        desk=fixed,
        models=fixed,
        visitors=fixed,
        erasures=fixed,
        histories=fixed,
        stories=fixed,
        reports=fixed,
        learning=fixed,
        health=fixed,
        shadows=fixed,
        log=fixed,
        make_error_id=lambda: "bench",
        clock=lambda: 0,
    )


def edge_server() -> grpc.Server:
    """Build the whole edge around a fixed decision."""
    return build_server(fixed_ports(), ServerOptions(reuse_port=True)).server


def serve() -> None:
    """Serve what the command line names."""
    kind = sys.argv[1]
    server = floor_server(bytes.fromhex(sys.argv[2])) if kind == "floor" else edge_server()
    print(bind(server, f"127.0.0.1:{sys.argv[3] if len(sys.argv) > 3 else 0}"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    serve()
