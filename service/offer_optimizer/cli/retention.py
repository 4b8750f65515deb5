"""`offer-optimizer retention`: move old days out of the ledger, now, beside a running service or without."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from offer_optimizer.app.clocks import entropy, wall_clock_us
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.retention import Prepared, prepare
from offer_optimizer.learn.retire import LedgerRetirer
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

retention_app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Move old days out of the ledger into an archive."
)


@retention_app.callback()
def describe() -> None:
    """Move old days out of the ledger into an archive of Parquet files, which replay reads."""


@retention_app.command()
def run(
    data: Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")],
    keep_days: Annotated[
        int,
        typer.Option(
            min=1, max=36_500, help="Whole days that stay in the ledger.", envvar="OFFER_OPTIMIZER_KEEP_DAYS"
        ),
    ],
) -> None:
    """Archive older days, make the base snapshot behind them, and drop them from the ledger.

    A running service does the dropping by itself, within seconds and in small pieces.
    """
    directory = DataDirectory(data)
    files = Files()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def hear(stage: str, done: int, of: int) -> None:
            progress.update(task, description=stage, completed=done, total=of)

        done = prepare(files, directory, keep_days, hear)
    if done is not None:
        print(_sentence(done))
    lock = files.hold(directory.learner_lock_path, b"", "learner.lock")
    if lock is None:
        print("The running service drops them." if done is not None else "Nothing to move.")
        return
    try:
        dropped = _finish(files, directory)
    finally:
        files.close(lock)
    print("They were dropped from the ledger." if dropped else "Nothing to move.")


def _finish(files: Files, directory: DataDirectory) -> bool:
    """Do the learner's part: no service is running. Return whether there was anything."""
    ledger = Ledger.open_for_writing(directory.ledger_path, entropy)
    with closing(ledger.connection):
        retirer = LedgerRetirer(files, directory, ledger, wall_clock_us)
        retirer.begin(Fold(ledger, FoldTables.create(ledger.connection)))
        return retirer.finish()


def _sentence(done: Prepared) -> str:
    when = datetime.fromtimestamp(done.time_us // 1_000_000, UTC).isoformat(timespec="minutes")
    return (
        f"{done.archived_count:,} decisions that closed by {when} were written to {len(done.files)} file(s) "
        f"and compared; base snapshot of position {done.position:,}."
    )
