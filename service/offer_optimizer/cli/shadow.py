"""`offer-optimizer shadow`: policies that are judged beside the one that serves, and promoting one.

Figures go to standard output, all else to standard error.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from offer_optimizer.cli.operator_call import (
    LOCAL,
    TIMEOUT_S,
    Reason,
    Target,
    Timeout,
    call,
    fail,
    say,
    stubs,
)
from offer_optimizer.cli.promotion import Asked, put_in_force
from offer_optimizer.cli.shadow_text import gate_sentence, report_sentences, status_sentence
from offer_optimizer.core.catalog import Placement
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.core.shadow_edit import PREVIOUS, promote_in_document
from offer_optimizer.policy import registry
from offer_optimizer.v1 import insight_service_pb2 as insight_pb

shadow_app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Judge policies beside the one that serves, and promote them.",
)

OnePlacement = Annotated[str, typer.Argument(metavar="[PLACEMENT]", help="One placement; left out, all.")]
ThePlacement = Annotated[str, typer.Argument(metavar="PLACEMENT", help="The placement.")]


@shadow_app.command("list")
def list_shadows(
    placement: OnePlacement = "", target: Target = LOCAL, timeout_s: Timeout = TIMEOUT_S
) -> None:
    """List shadows, one a line: what each gains, and when it is promoted."""
    for shadow in _shadows(placement, target, timeout_s):
        print(f"{shadow.placement}  {shadow.name}  {shadow.policy}  {gate_sentence(shadow)}")


@shadow_app.command()
def status(placement: OnePlacement = "", target: Target = LOCAL, timeout_s: Timeout = TIMEOUT_S) -> None:
    """Say how far shadows have come, how far they lag, and what they cost."""
    for shadow in _shadows(placement, target, timeout_s):
        print(f"{shadow.placement}  {shadow.name}  {status_sentence(shadow)}")


@shadow_app.command()
def report(placement: ThePlacement, target: Target = LOCAL, timeout_s: Timeout = TIMEOUT_S) -> None:
    """Say what each shadow would have earned, with intervals that hold at every look."""
    found = _shadows(placement, target, timeout_s)
    for shadow in found:
        for sentence in report_sentences(shadow, len(found)):
            print(sentence)


@shadow_app.command()
def promote(
    placement: ThePlacement,
    name: Annotated[str, typer.Argument(help="The shadow, as the catalog calls it.")],
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Let a shadow serve, with all that it has learned; what served before becomes a shadow."""
    _exchange(placement, name, reason, target, timeout_s, is_trained=True)


@shadow_app.command()
def revert(
    placement: ThePlacement,
    name: Annotated[str, typer.Argument(help="What the shadow that served before is called.")] = PREVIOUS,
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Take a promotion back: the policy that served before serves again at once, with the model it had."""
    _exchange(placement, name, reason, target, timeout_s, is_trained=False)


def _exchange(
    placement_id: str, name: str, reason: str, target: str, timeout_s: float, *, is_trained: bool
) -> None:
    def edit(document: str) -> str:
        return promote_in_document(document, _placement(document, placement_id), name)

    learned = is_trained and registry.learns(_policy_name(placement_id, name, target, timeout_s))
    revision = put_in_force(placement_id, edit, Asked(reason, target, timeout_s, is_trained=learned))
    say(f"Revision {revision} is in force: {placement_id} serves what was the shadow {name}.", "green")
    say(f"What served is the shadow {PREVIOUS} now: `offer-optimizer shadow revert` takes it back.", "dim")
    say("Write the exchange into the catalog file too, or the next apply takes it back.", "dim")


def _policy_name(placement_id: str, name: str, target: str, timeout_s: float) -> str:
    found = [shadow for shadow in _shadows(placement_id, target, timeout_s) if shadow.name == name]
    if not found:
        fail(f"{placement_id} has no shadow {show(name)}; `offer-optimizer shadow list` shows those it has")
    return str(found[0].policy)


def _placement(document: str, placement_id: str) -> Placement:
    placement = parse_catalog(document, registry.describe).placement_by_id.get(placement_id)
    if placement is None:
        raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
    return placement


def _shadows(placement: str, target: str, timeout_s: float) -> list[Any]:
    request = insight_pb.ListShadowsRequest(placement=placement)
    with stubs(target) as (_, insight):
        found = call(lambda: insight.ListShadows(request, timeout=timeout_s), target, timeout_s).shadows
    if not found:
        where = f"placement {placement}" if placement else "the catalog"
        say(f"No shadow in {where}: declare one under `shadows` of a placement.", "dim")
    return list(found)
