"""`offer-optimizer learning`: stop and resume learning. Serving goes on, and so does the ledger."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from offer_optimizer.cli.operator_call import (
    LOCAL,
    TIMEOUT_S,
    Reason,
    Target,
    Timeout,
    call,
    local_user,
    say,
    stubs,
)
from offer_optimizer.v1 import catalog_service_pb2 as pb

learning_app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Stop and resume learning.",
)

Placement = Annotated[str, typer.Argument(metavar="[PLACEMENT]", help="One placement; left out, all.")]


@learning_app.command()
def freeze(
    placement: Placement = "",
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Stop learning: what closes from now on is never learned. Models serve on as they are."""
    _set(placement, frozen=True, reason=reason, target=target, timeout_s=timeout_s)
    say(f"Learning is frozen at {placement or 'all placements'}: models serve on as they are.", "green")
    say("What closes until `offer-optimizer learning resume` is never learned; reports count it.", "dim")


@learning_app.command()
def resume(
    placement: Placement = "",
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Go on learning from what closes from now on."""
    _set(placement, frozen=False, reason=reason, target=target, timeout_s=timeout_s)
    say(f"Learning goes on at {placement or 'all placements'}, from what closes from now on.", "green")


def _set(placement: str, *, frozen: bool, reason: str, target: str, timeout_s: float) -> None:
    request = pb.SetLearningRequest(placement=placement, frozen=frozen, reason=reason, actor=local_user())
    with stubs(target) as (catalog, _):
        call(lambda: catalog.SetLearning(request, timeout=timeout_s), target, timeout_s)
