"""`offer-optimizer ledger`: look inside the ledger, beside a running server. It holds no visitor id."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offer_optimizer.cli.ledger_text import describe_record
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.core.ids import parse_decision_id
from offer_optimizer.evaluate.story import tell
from offer_optimizer.evaluate.story_text import describe_story
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

ledger_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look inside the ledger.")

DataOption = Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")]


@ledger_app.command()
def tail(
    data: DataOption,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many records.")] = 20,
    ticks: Annotated[bool, typer.Option(help="Show TICK records too.")] = True,
) -> None:
    """Print the newest records, oldest first, and where the fold stands."""
    ledger, tables = _open(data)
    last = ledger.last_position()
    console = Console(highlight=False, soft_wrap=True)
    for record in ledger.records(max(last - count, 0), last):
        line = describe_record(record, ledger, tables)
        if ticks or "TICK" not in line:
            console.print(line, markup=False)
    time_us = tables.state("time_us")
    now = (
        datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds")
        if time_us
        else "not begun"
    )
    console.print(f"{last} records; ledger time {now}", markup=False)


@ledger_app.command()
def show(
    decision_id: Annotated[str, typer.Argument(help="As Decide returned it.")],
    data: DataOption,
) -> None:
    """Print one decision: its funnel, its pmf, its draw, the fate of its feedback and its reward."""
    ledger, tables = _open(data)
    try:
        story = tell(ledger, tables, parse_decision_id(decision_id, "DECISION_ID"))
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    Console(highlight=False, soft_wrap=True).print(describe_story(story), markup=False)


def _open(data: Path) -> tuple[Ledger, FoldTables]:
    try:
        ledger = Ledger.open_for_reading(DataDirectory(data).ledger_path)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    return ledger, FoldTables(ledger.connection)
