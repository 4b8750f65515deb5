"""The progress bar of a replay, on standard error: what part of the log is read, in which reading."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from offer_optimizer.evaluate.replay import Progress as Rows


class ReplayProgress:
    """A bar that hears bytes from the reader and rows from the replay. Disappears when done."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("reading", total=None, told="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def read(self, done: int, total: int) -> None:
        """Hear how far the reader is, in units of its own."""
        self._bar.update(self._task, completed=done, total=total or None)

    def rows(self, progress: Rows) -> None:
        """Hear how many rows were replayed."""
        what = f"reading {progress.reading} of {progress.reading_count}"
        self._bar.update(self._task, description=what, told=f"{progress.row_count:,} rows")
