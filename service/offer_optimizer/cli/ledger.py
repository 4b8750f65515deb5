"""`offer-optimizer ledger`: look inside the ledger, beside a running server. It holds no visitor id."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

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


@ledger_app.command()
def export(
    data: DataOption,
    to: Annotated[Path, typer.Option(help="Directory to write into; made when it is missing.")],
    placement: Annotated[str, typer.Option(help="One placement; without it, all of them.")] = "",
    since: Annotated[str, typer.Option("--from", help="First UTC day, YYYY-MM-DD.")] = "",
    until: Annotated[str, typer.Option("--until", help="Last UTC day, YYYY-MM-DD.")] = "",
) -> None:
    """Write decisions and what came of them as Parquet: a file for each placement and UTC day.

    Reads beside a running server. docs/evaluation.md says what the columns are; history.json has the
    catalogs.
    """
    from offer_optimizer.learn.export import Range, export_ledger
    from offer_optimizer.store.files import Files

    try:
        chosen = Range.of_days(since, until, placement)
        ledger, _ = _open(data)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("exporting", total=None)
            written = export_ledger(
                Files(), ledger, to, chosen, lambda done, of: progress.update(task, completed=done, total=of)
            )
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    count = sum(part.row_count for part in written.values())
    size = sum(path.stat().st_size for path in written)
    each = f", {size / count:.0f} bytes each" if count else ""
    print(f"{count:,} decisions in {len(written)} file(s) under {to}{each}")


def _open(data: Path) -> tuple[Ledger, FoldTables]:
    try:
        ledger = Ledger.open_for_reading(DataDirectory(data).ledger_path)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    return ledger, FoldTables(ledger.connection)
