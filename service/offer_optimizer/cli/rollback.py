"""`offer-optimizer rollback`: serve an earlier model again, and list those that are kept."""

from __future__ import annotations

from typing import Annotated, Any

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
    say,
    stubs,
)
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb


def rollback(
    placement: Annotated[str, typer.Argument(help="The placement.")],
    to: Annotated[str, typer.Option(metavar="VERSION", help="EPOCH:POSITION, or its POSITION alone.")] = "",
    show_list: Annotated[bool, typer.Option("--list", help="List the models that are kept.")] = False,
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
) -> None:
    """Go back to an earlier model within a second. What closed since then is not learned again."""
    if bool(to) == show_list:
        fail("one of --to VERSION and --list is needed; --list shows what can be gone back to")
    with stubs(target) as (catalog, insight):
        listing = insight_pb.ListModelsRequest(placement=placement)
        kept = call(lambda: insight.ListModels(listing, timeout=timeout_s), target, timeout_s).models
        if show_list:
            _print(kept)
            return
        version = _version(to, kept)
        request = catalog_pb.RollBackModelRequest(
            placement=placement, model_version=version, reason=reason, actor=local_user()
        )
        call(lambda: catalog.RollBackModel(request, timeout=timeout_s), target, timeout_s)
    say(f"{placement} goes back to {version}: served within a second, as a new version.", "green")
    say(
        "What closed since that version is not learned again; what closes from now on is. "
        "A rollback to a newer version takes this one back.",
        "dim",
    )


def _version(text: str, kept: Any) -> str:  # noqa: ANN401  (a repeated field)
    """Return the whole name of a version: people may give the position alone."""
    if ":" in text:
        return text
    found = [model.model_version for model in kept if model.model_version.rpartition(":")[2] == text]
    if not found:
        fail(f"--to: {text} is not kept; `--list` shows what is")
    return str(found[0])


def _print(kept: Any) -> None:  # noqa: ANN401  (a repeated field)
    for model in kept:
        published = (
            model.publish_time.ToDatetime().isoformat(" ", "seconds") + "Z"
            if model.HasField("publish_time")
            else "as the epoch began"
        )
        notes = " (current)" * model.is_current + " (promoted)" * model.is_promoted
        print(f"{model.model_version}  {published:20}  {model.learned_count:>9,} examples{notes}")
