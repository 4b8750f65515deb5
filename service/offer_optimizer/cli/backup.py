"""`offer-optimizer backup`: a copy of a data directory, beside a running service or without."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from offer_optimizer.store.backup import back_up
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory


def backup(
    data: Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")],
    to: Annotated[Path, typer.Option(help="Where the copy goes: a new or empty directory.")],
) -> None:
    """Copy a data directory; the running service goes on. To restore, serve the copy (or a copy of it).

    The copy has everything that was answered before it began. It holds visitors' contexts and the secrets of
    the data directory: keep it as safe. A visitor who is erased later is still in it.
    """
    with Console(stderr=True).status("") as status:
        made = back_up(Files(), DataDirectory(data), to, lambda part: status.update(f"copying {part}"))
    print(f"{made.files:,} files, {made.bytes / 1e6:,.1f} MB, in {to}")
