"""The run as it goes: a live panel on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from offer_optimizer.demo.catalog import BASELINE, LEARNED, UNIFORM
from offer_optimizer.demo.recorder import ROLLING_S, Progress

LINE_EVERY_S: Final = 10.0


class Display:
    """Shows progress for the length of a `with` block."""

    def __init__(self, console: Console, seconds: float) -> None:
        """Show a run of `seconds` seconds on `console`."""
        self._console = console
        self._seconds = seconds
        self._next_line_s = 0.0
        self._live = (
            Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, elapsed_s: float, look: Callable[[float], Progress]) -> None:
        """Show the run as `look` finds it after `elapsed_s` seconds."""
        if self._live is not None:
            self._live.update(build_panel(look(elapsed_s), self._seconds), refresh=True)
        elif elapsed_s >= self._next_line_s + LINE_EVERY_S:
            self._next_line_s += LINE_EVERY_S
            self._console.print(format_line(look(elapsed_s)), highlight=False, soft_wrap=True)


def build_panel(progress: Progress, seconds: float) -> Table:
    """Return the panel of one moment."""
    share = min(1.0, progress.elapsed_s / seconds)
    bar = "█" * round(30 * share) + "░" * (30 - round(30 * share))
    phase = "driving" if share < 1.0 else "last windows close"
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_row("", f"{bar} {progress.elapsed_s:4.0f} s  {phase}")
    table.add_row("decisions", f"{progress.decision_count:,}  ({progress.decisions_per_s:,.0f} a second)")
    for name, place, style in (
        ("learned", LEARNED, "bold cyan"),
        ("uniform", UNIFORM, "yellow"),
        ("baseline", BASELINE, "white"),
    ):
        value = progress.reward[place]
        size = 0 if math.isnan(value) else max(0, min(40, round(value * 60)))
        table.add_row(name, f"[{style}]{format_number(value)}  {'▇' * size}[/]")
    table.add_row("", f"[dim]reward per decision over the last {ROLLING_S:g} s of closed windows[/]")
    table.add_row("best offer", f"{format_share(progress.best_share)} of learned decisions")
    table.add_row("models", f"{progress.model_version_count:,} versions served so far")
    p50, p99 = (format_number(value, 1) for value in (progress.latency_ms_p50, progress.latency_ms_p99))
    table.add_row("latency", f"p50 {p50} ms   p99 {p99} ms")
    if progress.answered_by_client_count:
        table.add_row(
            "client", f"{progress.answered_by_client_count:,} pages answered by the client's own baseline"
        )
    return table


def format_line(progress: Progress) -> str:
    """Return one moment as one line, for logs."""
    return (
        f"{progress.elapsed_s:4.0f} s  {progress.decision_count:6,} decisions"
        f" {progress.decisions_per_s:4,.0f}/s"
        f"  reward: learned {format_number(progress.reward[LEARNED], 2)}"
        f" uniform {format_number(progress.reward[UNIFORM], 2)}"
        f" baseline {format_number(progress.reward[BASELINE], 2)}"
        f"  best offer {format_share(progress.best_share)}"
        f"  p99 {format_number(progress.latency_ms_p99, 1)} ms"
    )


def format_number(value: float, decimals: int = 3) -> str:
    """Return a number, or a dash where there is none yet."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def format_share(value: float) -> str:
    """Return a share in percent, or a dash where there is none yet."""
    return "-" if math.isnan(value) else f"{value:.0%}"
