"""`offer-optimizer explain`: the story of one past decision, from a service or straight from a ledger."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offer_optimizer.core.ids import parse_decision_id


def explain(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION_ID", help="As Decide returned it.")],
    target: Annotated[str, typer.Option(help="HOST:PORT of the service.")] = "127.0.0.1:50051",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Read the ledger of this data directory instead; a running server is not disturbed."
        ),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")] = 10.0,
) -> None:
    """Tell what was shown and why: the funnel, the counters, the draw, the feedback, and what it came to.

    Features are weighed by the model in service now: each is left out in turn.
    """
    parse_decision_id(decision_id, "DECISION_ID")
    text = ask(decision_id, target, timeout_s) if data is None else read(decision_id, data)
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def ask(decision_id: str, target: str, timeout_s: float) -> str:
    """Return the story that a service tells. Raises RequestRejected, ServiceUnavailable."""
    from offer_optimizer.cli.target import access
    from offer_optimizer.client import Client

    with Client(target, connections=1, access=access()) as client:
        return client.explain(decision_id, timeout_s=timeout_s).text


def read(decision_id: str, data: Path) -> str:
    """Return the story that a ledger tells. Raises NotFound, CannotStart."""
    from offer_optimizer.evaluate.contributions import current_model
    from offer_optimizer.evaluate.desks import with_contributions
    from offer_optimizer.evaluate.story import catalog_of, newest_revision, tell
    from offer_optimizer.evaluate.story_text import describe_story
    from offer_optimizer.store.files import Files
    from offer_optimizer.store.fold_tables import FoldTables
    from offer_optimizer.store.layout import DataDirectory
    from offer_optimizer.store.ledger import Ledger
    from offer_optimizer.store.snapshots import SnapshotStore

    directory = DataDirectory(data)
    ledger = Ledger.open_for_reading(directory.ledger_path)
    with closing(ledger.connection):
        story = tell(ledger, FoldTables(ledger.connection), parse_decision_id(decision_id, "DECISION_ID"))
        newest = catalog_of(ledger, newest_revision(ledger))
    placement = newest.placement_by_id.get(story.placement_id)
    if placement is not None:
        model = current_model(SnapshotStore(Files(), directory.snapshots), placement)
        story = with_contributions(story, model)
    return describe_story(story)
