"""`offer-optimizer doctor`: looks at every file of a data directory; one line each, with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    data: Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Look at every file, change none: exit 0 when all are sound, 1 with damage, 2 when it can't be told.

    A running server is not disturbed. Notes are about what mends itself.
    """
    from offer_optimizer.app.clocks import boot_id
    from offer_optimizer.core.errors import OfferOptimizerError
    from offer_optimizer.store.doctor import examine
    from offer_optimizer.store.files import Files
    from offer_optimizer.store.findings import Verdict
    from offer_optimizer.store.layout import DataDirectory

    damaged = 0
    try:
        for finding in examine(Files(), DataDirectory(data), boot_id()):
            damaged += finding.verdict is Verdict.DAMAGED
            if as_json:
                values = {"subject": finding.subject, "verdict": finding.verdict.name, "text": finding.text}
                print(json.dumps({**values, "remedy": finding.remedy}), flush=True)
            else:
                print(f"{finding.verdict.value:8} {finding.subject}: {finding.text}", flush=True)
                if finding.remedy:
                    print(f"         what to do: {finding.remedy}")
    except OfferOptimizerError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    if not as_json:
        print("all is sound" if not damaged else f"{damaged} damaged")
    raise typer.Exit(1 if damaged else 0)
