"""`offer-optimizer clock`: what to do when the server's clock has jumped and is right now."""

from __future__ import annotations

from typing import Final

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

clock_app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Accept a jump of the server's clock.",
)


@clock_app.callback()
def describe() -> None:
    """Accept a jump of the server's clock."""


@clock_app.command()
def accept(reason: Reason = "", target: Target = LOCAL, timeout_s: Timeout = TIMEOUT_S) -> None:
    """Take the server's clock as it is: a jump of more than 60 s had stopped windows and ledger time."""
    request = pb.AcceptClockRequest(reason=reason, actor=local_user())
    with stubs(target) as (catalog, _):
        call(lambda: catalog.AcceptClock(request, timeout=timeout_s), target, timeout_s)
    say(f"{target}: the clock is taken as it is.", "green")
    say(
        "After a jump ahead, windows that are over by now close; after one back, ledger time stands still "
        "until the clock is where it was.",
        "dim",
    )
