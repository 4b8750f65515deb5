"""Options that say what a log is: the same for every command that reads one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from offer_optimizer.core.log import Log
from offer_optimizer.evaluate.reading import FORMATS, read_log

LogPath: TypeAlias = Annotated[Path, typer.Argument(help="A log: a file, a folder or a data directory.")]
Format: TypeAlias = Annotated[
    str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}; guessed where it is not given.")
]
Placement: TypeAlias = Annotated[str, typer.Option(help="ledger, parquet: the placement.")]
Start: TypeAlias = Annotated[str, typer.Option("--from", help="ledger: decisions from this time on (ISO).")]
End: TypeAlias = Annotated[str, typer.Option("--to-time", help="ledger: decisions before this time (ISO).")]
Action: TypeAlias = Annotated[str, typer.Option(help="csv: the column of what was shown.")]
Reward: TypeAlias = Annotated[
    str,
    typer.Option(help="csv: a column. dsjson: -cost, cost. ledger, parquet: reward_final, reward_learned."),
]
Propensity: TypeAlias = Annotated[
    str, typer.Option(help="csv: a number, a fraction such as 1/3, or a column.")
]
Context: TypeAlias = Annotated[
    str, typer.Option(help="csv: columns with commas between, or * for all that nothing else names.")
]
Visitor: TypeAlias = Annotated[str, typer.Option(help="csv: a column. dsjson: a field of the context.")]
Time: TypeAlias = Annotated[str, typer.Option(help="csv: a column of times (ISO, or seconds since 1970).")]
LeaveOut: TypeAlias = Annotated[
    str, typer.Option(help="csv: columns that * doesn't take. dsjson: features that are not read.")
]
AsText: TypeAlias = Annotated[str, typer.Option(help="csv: columns of numbers to read as texts.")]
Delimiter: TypeAlias = Annotated[
    str, typer.Option(help="csv: the character between values, such as ; or \\t; a comma unless given.")
]


@contextmanager
def opened_log(path: Path, format_name: str, what: str, **options: Any) -> Iterator[Log]:  # noqa: ANN401
    """Open a log and draw a bar, on standard error, of how far it is read."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield read_log(path, format_name or None, progress=progress, **options)


def print_reading(log: Log, console: Console) -> None:
    """Say what was left out, and which lines could not be read."""
    for note in log.notes:
        console.print(note, markup=False)
    if log.bad_line_count:
        console.print(f"{log.bad_line_count:,} lines could not be read:", markup=False)
        for line in log.bad_lines:
            console.print(f"  line {line.number}: {line.problem}", markup=False)
