"""`offer-optimizer erase`: forget a visitor in every file of a service's data directory."""

from __future__ import annotations

from typing import Annotated

import typer

from offer_optimizer.cli.operator_call import LOCAL, TIMEOUT_S, Reason, Target, Timeout, call, local_user, say
from offer_optimizer.cli.target import channel_to
from offer_optimizer.v1 import offer_service_pb2 as pb
from offer_optimizer.v1 import offer_service_pb2_grpc


def erase(
    visitor_id: Annotated[str, typer.Argument(metavar="VISITOR_ID", help="The id that Decide was given.")],
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Redact key and context of a visitor everywhere, and of all ids that were merged with this one.

    Their decisions stay as those of nobody, so that reports and estimates stay right; models keep what they
    learned. It can't be taken back.
    """
    request = pb.EraseVisitorRequest(visitor_id=visitor_id, reason=reason, actor=local_user())
    with channel_to(target) as channel:
        service = offer_service_pb2_grpc.OfferServiceStub(channel)
        reply = call(lambda: service.EraseVisitor(request, timeout=timeout_s), target, timeout_s)
    say(
        f"The visitor is erased within seconds: {reply.redacted_decision_count:,} decisions in the ledger, "
        "and what is on its way to it or in the archive. `offer-optimizer ledger tail` shows when it is.",
        "green",
    )
