"""`offer-optimizer audit`: who changed what through the API."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from offer_optimizer.store.audit import read_entries
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory


def audit(
    data: Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")],
) -> None:
    """Print the audit log, oldest first: time, key, address, call, and what became of it."""
    entries = read_entries(Files(), DataDirectory(data).audit)
    if not entries:
        print(f"{data}: nothing was changed through the API yet")
    for entry in entries:
        time = datetime.fromtimestamp(entry.time_us / 1e6, UTC).isoformat(timespec="milliseconds")
        print(f"{time}  {entry.actor}  {entry.peer}  {entry.call}  {entry.verdict}")
