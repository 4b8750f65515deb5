"""Another catalog at one placement, its model trained first: deciders switch between trained models.

Knows not what is changed: the caller edits the document that is in force.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from offer_optimizer.cli.operator_call import call, local_user, stubs
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import insight_service_pb2 as insight_pb

POLL_S: Final = 0.2
"""How often a promotion asks whether its model is there."""
Edit = Callable[[str], str]
"""Returns the document that is to be in force, of the one that is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Why, of whom and how: `is_trained` is False where the model that was there before is to serve again."""

    reason: str
    target: str
    timeout_s: float
    uses_final: bool = False
    is_trained: bool = True


def put_in_force(placement_id: str, edit: Edit, asked: Asked) -> int | None:
    """Have the model trained, wait for it, and apply the document; return its revision.

    None where the document is the one in force already. Says what is wrong and exits with 1 where a call
    fails.
    """
    with stubs(asked.target) as (catalog, insight):
        current = catalog_pb.GetCatalogRequest()
        in_force = call(
            lambda: catalog.GetCatalog(current, timeout=asked.timeout_s), asked.target, asked.timeout_s
        )
        document = edit(in_force.document)
        if asked.is_trained:
            _train(placement_id, document, asked, catalog, insight)
        if document == in_force.document:
            return None
        apply = catalog_pb.ApplyCatalogRequest(document=document, expected_revision=in_force.revision)
        done = call(
            lambda: catalog.ApplyCatalog(apply, timeout=asked.timeout_s), asked.target, asked.timeout_s
        )
    return int(done.revision)


def _train(
    placement_id: str,
    document: str,
    asked: Asked,
    catalog: Any,  # noqa: ANN401  (stubs have no types)
    insight: Any,  # noqa: ANN401
) -> None:
    """Have the model of a document trained, and wait until it is published."""
    target, timeout_s = asked.target, asked.timeout_s
    start = catalog_pb.StartEpochRequest(
        placement=placement_id,
        document=document,
        uses_final=asked.uses_final,
        reason=asked.reason,
        actor=local_user(),
    )
    started = call(lambda: catalog.StartEpoch(start, timeout=timeout_s), target, timeout_s)
    listing = insight_pb.ListModelsRequest(placement=placement_id, policy_epoch=started.policy_epoch)

    def is_there() -> bool:
        kept = call(lambda: insight.ListModels(listing, timeout=timeout_s), target, timeout_s).models
        promoted = {model.model_version for model in kept if model.is_promoted}
        return not promoted <= set(started.promoted_versions)

    _wait_until(is_there)


def _wait_until(holds: Callable[[], bool]) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task("the service trains the new model; the present one serves", total=None)
        while not holds():
            time.sleep(POLL_S)
