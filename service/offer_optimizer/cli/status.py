"""`offer-optimizer status`: how the learning loop is, on one screen; alarms first, each with what to do."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from offer_optimizer.core.errors import OfferOptimizerError, StorageUnavailable


def status(
    placement: Annotated[str, typer.Argument(help="One placement; without it, all of the catalog.")] = "",
    target: Annotated[str, typer.Option(help="HOST:PORT of the service.")] = "127.0.0.1:50051",
    data: Annotated[
        Path | None,
        typer.Option(help="Read this data directory instead; a running server is not disturbed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")] = 10.0,
) -> None:
    """Say how the learning loop is: exit 0 when all is well, 1 with alarms, 2 when it can't be told."""
    try:
        found = ask(target, placement, timeout_s) if data is None else read(data, placement)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if as_json:
        print(json.dumps(found))
    else:
        from offer_optimizer.cli.status_text import print_status

        print_status(Console(highlight=False), found)
    raise typer.Exit(1 if found["alarms"] else 0)


def read(data: Path, placement: str) -> Mapping[str, Any]:
    """Return how a data directory's loop is. Raises CannotStart, UnknownPlacement, StorageUnavailable."""
    from offer_optimizer.app.clocks import wall_clock_us
    from offer_optimizer.evaluate.loop_facts import read_health
    from offer_optimizer.store.files import Files
    from offer_optimizer.store.layout import DataDirectory
    from offer_optimizer.store.ledger import Ledger

    directory = DataDirectory(data)
    ledger = Ledger.open_for_reading(directory.ledger_path)
    with closing(ledger.connection):
        try:
            return read_health(ledger, Files(), directory, wall_clock_us(), placement).to_dict()
        except sqlite3.Error as error:
            raise StorageUnavailable(f"{directory.ledger_path}: {error}") from error


def ask(target: str, placement: str, timeout_s: float) -> Mapping[str, Any]:
    """Return how a running service's loop is. Raises RequestRejected, ServiceUnavailable."""
    from offer_optimizer.cli.target import access
    from offer_optimizer.client import Client

    with Client(target, connections=1, access=access()) as client:
        return client.loop_health(placement, timeout_s=timeout_s)
