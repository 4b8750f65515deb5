"""`offer-optimizer export-visitor`: everything stored about a visitor, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from offer_optimizer.cli.operator_call import LOCAL, Target, Timeout, call
from offer_optimizer.cli.target import channel_to
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc

PAGE: Final = 100
WAIT_S: Final = 60.0


def export_visitor(
    visitor_id: Annotated[str, typer.Argument(metavar="VISITOR_ID", help="The id that Decide was given.")],
    target: Target = LOCAL,
    timeout_s: Timeout = WAIT_S,
) -> None:
    """Print one JSON object a line: what it is under `type`, then its fields as the API names them."""
    import json

    with channel_to(target) as channel:
        service = offer_service_pb2_grpc.OfferServiceStub(channel)
        token, is_first = "", True
        while token or is_first:
            request = pb.ExportVisitorRequest(visitor_id=visitor_id, page_size=PAGE, page_token=token)
            page = call(lambda it=request: service.ExportVisitor(it, timeout=timeout_s), target, timeout_s)  # type: ignore[misc]
            for line in lines(page):
                print(json.dumps(line, ensure_ascii=False))
            token, is_first = page.next_page_token, False


def lines(page: pb.ExportVisitorResponse) -> Iterator[dict[str, Any]]:
    """Yield what a page holds, oldest first within each type."""
    parts: tuple[tuple[str, Iterable[Message]], ...] = (
        ("archived_decision", page.archived_decisions),
        ("decision", page.decisions),
        ("feedback", page.other_feedback),
        ("cap", page.caps),
    )
    for kind, messages in parts:
        for message in messages:
            yield {"type": kind, **MessageToDict(message, preserving_proto_field_name=True)}
