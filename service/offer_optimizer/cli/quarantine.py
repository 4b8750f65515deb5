"""`offer-optimizer quarantine`: leave an interval out of all learning, for good."""

from __future__ import annotations

from typing import Annotated

import typer

from offer_optimizer.cli.operator_call import (
    LOCAL,
    TIMEOUT_S,
    Reason,
    Target,
    Timeout,
    call,
    fail,
    local_user,
    parse_time,
    say,
    stubs,
)
from offer_optimizer.v1 import catalog_service_pb2 as pb


def quarantine(
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="From this time on, as ISO 8601.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Up to this time, exclusive.")],
    *,
    placement: Annotated[str, typer.Option(help="One placement; left out, all.")] = "",
    offer: Annotated[str, typer.Option(help="Only decisions that chose this offer.")] = "",
    source: Annotated[
        str, typer.Option(help="Instead decisions with feedback from this source, received then.")
    ] = "",
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Leave decisions made in an interval out of all learning. This can't be taken back."""
    start_time, end_time = parse_time(start, "--from"), parse_time(end, "--to")
    if end_time <= start_time:
        fail("--to: is not after --from")
    what = _describe(placement, offer, source, start_time.isoformat(), end_time.isoformat())
    if not yes:
        typer.confirm(f"Leave out {what}? This can't be taken back.", abort=True, err=True)
    request = pb.QuarantineRequest(
        placement=placement, offer_id=offer, source=source, reason=reason, actor=local_user()
    )
    request.start_time.FromDatetime(start_time)
    request.end_time.FromDatetime(end_time)
    with stubs(target) as (catalog, _):
        done = call(lambda: catalog.Quarantine(request, timeout=timeout_s), target, timeout_s)
    say(f"Never learned again: {what}.", "green")
    say(
        "Models that learned some of it are trained again without it beside their work, and take over once "
        "they have caught up; the log says model_trained_anew.",
        "dim",
    )
    if done.note:
        say(f"But {done.note}.", "yellow")


def _describe(placement: str, offer: str, source: str, start: str, end: str) -> str:
    what = f"decisions at {placement}" if placement else "decisions at all placements"
    if source:
        return f"{what} with feedback from {source} received from {start} to {end}"
    chosen = f" that chose {offer}" if offer else ""
    return f"{what}{chosen} made from {start} to {end}"
