"""`offer-optimizer report`: what a placement earned, what the service added, what each offer is worth.

Reads the ledger beside a running server. "Now" is ledger time: up to it, windows are closed.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offer_optimizer.cli.report_text import offer_cells, sentences, shadow_sentences
from offer_optimizer.core.errors import InvalidInput, NotFound, OfferOptimizerError
from offer_optimizer.evaluate.report import PlacementReport
from offer_optimizer.evaluate.report import report as report_on
from offer_optimizer.store.codec import RecordKind, StoredCatalog
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import what_was_moved

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def report(
    data: Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")],
    placement: Annotated[str, typer.Option(help="One placement; without it, all of the catalog.")] = "",
    since: Annotated[str, typer.Option(help="How far back, such as 12h or 7d; or `all`.")] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report on placements: reward, uplift over the holdout, offers, and what a model in shadow would do."""
    try:
        reports, missing = _reports(data, placement, since)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps({"placements": {item.placement_id: item.to_dict() for item in reports}}))
        return
    console = Console(highlight=False)
    for item in reports:
        _print(console, item)
        if missing:
            console.print(f"Not counted: {missing}.", markup=False)


def _reports(data: Path, placement: str, since: str) -> tuple[list[PlacementReport], str]:
    length_us = _length_us(since)
    ledger = Ledger.open_for_reading(DataDirectory(data).ledger_path)
    end_us = FoldTables(ledger.connection).state("time_us")
    start_us = 0 if length_us is None else max(end_us - length_us, 0)
    names = [placement] if placement else _placements(ledger)
    moved = what_was_moved(ledger)
    missing = moved.sentence() if moved is not None and start_us < moved.time_us else ""
    return [report_on(ledger, name, start_us, end_us) for name in names], missing


def _placements(ledger: Ledger) -> list[str]:
    """Return the placements of the newest catalog in the ledger."""
    newest: StoredCatalog | None = None
    for record in ledger.rare_records(ledger.last_position()):
        body = record.body() if record.kind is RecordKind.CATALOG else None
        if isinstance(body, StoredCatalog):
            newest = body
    if newest is None:
        raise NotFound("the ledger has no catalog yet: start the server with one")
    return [placement["id"] for placement in json.loads(newest.canonical)["placements"]]


def _length_us(text: str) -> int | None:
    """Return a duration in microseconds; None for all. Raises InvalidInput."""
    if text == "all":
        return None
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise InvalidInput("--since", f"must be a duration like 30m, 12h or 7d, or `all` (is {text[:40]!r})")
    return int(found[1]) * _SECONDS[found[2]] * 1_000_000


def _print(console: Console, item: PlacementReport) -> None:
    console.rule(escape(item.placement_id))
    for sentence in sentences(item):
        console.print(sentence, markup=False)
    table = Table("offer", "decisions", "observed mean\n(not causal)", "value if shown\n(DR, 95 %)", "by IPS")
    for offer in item.offers:
        table.add_row(*map(escape, offer_cells(offer)))
    console.print(table)
    console.print(
        "The value of an offer is of showing it wherever it is eligible, everything else as logged. "
        "Each interval holds for itself: with many offers, some miss.",
        markup=False,
    )
    for sentence in shadow_sentences(item.shadow):
        console.print(sentence, markup=False)
    console.print()
