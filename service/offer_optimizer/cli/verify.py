"""`offer-optimizer verify`: derive every logged decision again, with code of its own, and compare."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.evaluate.verify import Verification
from offer_optimizer.evaluate.verify import verify as verify_ledger
from offer_optimizer.evaluate.verify_findings import MEANING
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger


def verify(
    data: Annotated[
        Path,
        typer.Option(
            help="Data directory; a running server is not disturbed.", envvar="OFFER_OPTIMIZER_DATA"
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Derive every decision of a ledger again, from docs/design.md, section 12, alone, and compare.

    Exits with 0 when all agree, with 1 when anything is found or the ledger can't be read. Reads the ledger
    of a data directory; this release does not read exported logs.
    """
    try:
        ledger = Ledger.open_for_reading(DataDirectory(data).ledger_path)
        with Progress(disable=as_json, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("verifying decisions", total=None)
            found = verify_ledger(
                ledger, progress=lambda done, total: progress.update(task, completed=done, total=total)
            )
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps(as_object(found)))
    else:
        show(found, Console(highlight=False, soft_wrap=True))
    raise typer.Exit(0 if found.is_clean() else 1)


def as_object(found: Verification) -> dict[str, Any]:
    """Return a verification as JSON takes it."""
    return {
        "ledger_position": found.ledger_position,
        "decisions": found.decision_count,
        "imported": found.imported_count,
        "moved_up_to": found.moved.position if found.moved else 0,
        "clean": found.is_clean(),
        "alpha": found.alpha,
        "judged": {check.value: count for check, count in found.judged.items()},
        "findings": [
            {
                "check": finding.check.value,
                "problem": finding.what,
                "detail": finding.detail,
                "decisions": finding.count,
                "decision_ids": list(finding.decision_ids),
            }
            for finding in found.findings
        ],
    }


def show(found: Verification, console: Console) -> None:
    """Print a table of the checks, then each finding with its first decisions."""
    table = Table("check", "what agrees", "judged", "found")
    for column in table.columns[2:]:
        column.justify = "right"
    for check, count in found.judged.items():
        problems = sum(finding.count for finding in found.findings if finding.check is check)
        table.add_row(check.value, MEANING[check], f"{count:,}", f"{problems:,}" if problems else "-")
    console.print(table)
    for finding in found.findings:
        detail = f" ({finding.detail})" if finding.detail else ""
        console.print(f"{finding.check}: {finding.what}{detail}, {finding.count:,} decision(s)", markup=False)
        for decision_id in finding.decision_ids:
            console.print(f"  {decision_id}", markup=False)
    if found.moved is not None:
        console.print(
            f"{found.moved.sentence()}; caps and budgets reach back there, so they are not counted again.",
            markup=False,
        )
    if found.imported_count:
        console.print(
            f"{found.imported_count:,} of the decisions were imported: another system drew them, and "
            "only what was learned of them is judged.",
            markup=False,
        )
    verdict = "clean" if found.is_clean() else f"{len(found.findings)} problem(s) found"
    console.print(
        f"{found.decision_count:,} decisions up to ledger position {found.ledger_position:,}: {verdict}. "
        f"A statistical check is wrong with probability {found.alpha:g}.",
        markup=False,
    )
