"""`offer-optimizer import`: begin a data directory with the log of another system."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offer_optimizer.app.importing import Imported, import_history
from offer_optimizer.cli import log_options as given
from offer_optimizer.core.errors import CannotStart, OfferOptimizerError


def import_log(
    log: given.LogPath,
    *,
    data: Annotated[Path, typer.Option(help="The data directory to make: it must not exist, or be empty.")],
    placement: Annotated[str, typer.Option(help="The placement that the log's decisions become those of.")],
    catalog: Annotated[Path, typer.Option(help="The catalog to begin with, a YAML file; it has all offers.")],
    format_name: given.Format = "",
    kind: Annotated[
        str, typer.Option(help="The feedback that a reward other than the default becomes.")
    ] = "conversion",
    action: given.Action = "",
    reward: given.Reward = "",
    propensity: given.Propensity = "",
    context: given.Context = "",
    visitor: given.Visitor = "",
    time: given.Time = "",
    leave_out: given.LeaveOut = "",
    as_text: given.AsText = "",
    delimiter: given.Delimiter = "",
) -> None:
    """Make a foreign log the history of a new data directory, so that its first model starts warm."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    options = {
        "action": action,
        "reward": reward,
        "propensity": propensity,
        "context": context,
        "visitor": visitor,
        "time": time,
        "leave_out": leave_out,
        "as_text": as_text,
        "delimiter": delimiter,
    }
    try:
        document = _read(catalog)
        with given.opened_log(log, format_name, "importing", **options) as opened:
            imported = import_history(opened, data, placement, document, kind)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    given.print_reading(opened, console)
    _print(imported, data, console)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"catalog {path} can't be read: {error}") from None


def _print(imported: Imported, data: Path, console: Console) -> None:
    counts = imported.counts
    console.print(
        f"{counts.imported:,} decisions imported into {data}, {counts.with_reward:,} with feedback; "
        f"the model learned {imported.learned_count:,} of them",
        markup=False,
    )
    for count, what in (
        (imported.open_count, "have windows that are still open: the service closes them in time"),
        (counts.untimed, "have no time of their own, and got one a millisecond apart"),
        (counts.thinned, "stood for several (pdrop): each counts once in what was learned"),
        (counts.refused, "were refused:"),
    ):
        if count:
            console.print(f"{count:,} {what}", markup=False)
    for row in counts.kept:
        console.print(f"  row {row.number}: {row.problem}", markup=False)
