"""`offer-optimizer drive`: push a real randomised test through a running service, and see what it earns.

The result goes to standard output; everything on the way goes to standard error, so `--json` can be piped.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from offer_optimizer.cli.target import access
from offer_optimizer.client import Client
from offer_optimizer.client.outbox import OutboxLimits
from offer_optimizer.drive import learned, placing
from offer_optimizer.drive.csv_file import read_csv
from offer_optimizer.drive.errors import DriveRefused
from offer_optimizer.drive.plan import Plan
from offer_optimizer.drive.replay import Outcome, Pace, Replay
from offer_optimizer.drive.summary import Mean, Summary, summarise
from offer_optimizer.drive.table import Columns, Row, Table, check_columns

CONNECTIONS: Final = 4
FLUSH_TIMEOUT_S: Final = 30.0
QUEUE: Final = OutboxLimits(capacity=200_000)
"""A drive should lose nothing: room for minutes of feedback while the service is away."""


def drive(
    *,
    target: Annotated[str, typer.Option(help="HOST:PORT of a running service.")],
    csv: Annotated[Path, typer.Option(help="The test: UTF-8, comma-separated, with a header; .gz is fine.")],
    action: Annotated[str, typer.Option(help="Column of the arm that a row was assigned.")],
    reward: Annotated[str, typer.Option(help="Column of what came of it, a number.")],
    context: Annotated[str, typer.Option(help="Columns known before deciding, with commas between.")],
    placement: Annotated[
        str, typer.Option(help="An existing placement; without it a fresh one is added.")
    ] = "",
    window: Annotated[str, typer.Option(help="Attribution window of the fresh placement.")] = "1s",
    rate: Annotated[float, typer.Option(min=0.1, help="Rows a second.")] = 1000.0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads that ask.")] = 8,
    seed: Annotated[int | None, typer.Option(min=0, help="Shuffle the rows; else the file's order.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Push a randomised test through a running service, row by row, and compare what it earned.

    Every row is decided without being shown; where the service chose the arm that the row was assigned, the
    row's reward is sent and learned. Exit status 2: the command or the file is wrong; 1: the service failed.
    """
    columns = Columns(action, reward, tuple(name.strip() for name in context.split(",") if name.strip()))
    try:
        check_columns(columns)  # before the file, which has no part in such a mistake
        table = read_csv(csv, columns)
        run(table, target, placement, window, Pace(rate, workers), seed, as_json=as_json)
    except DriveRefused as refused:
        print(f"error: {refused}", file=sys.stderr)
        raise typer.Exit(2) from None


def run(
    table: Table, target: str, placement: str, window: str, pace: Pace, seed: int | None, *, as_json: bool
) -> None:
    """Drive a table and print what came of it."""
    notes = Console(stderr=True, highlight=False)
    with Client(target, connections=CONNECTIONS, outbox_limits=QUEUE, access=access()) as client:
        plan = place(client, table, placement, window, notes)
        placing.wait_until_served(
            client, plan.placement_id, connections=CONNECTIONS, clock=time.monotonic, sleep=time.sleep
        )
        before = client.get_model(plan.placement_id)
        with progress_bar(len(table.rows), shown=not as_json) as progress:
            replay = Replay(
                client,
                plan,
                driving_order(table.rows, seed),
                pace=pace,
                clock=time.monotonic,
                sleep=time.sleep,
                progress=progress,
            )
            outcome = replay.run()
        client.flush(FLUSH_TIMEOUT_S)
        with notes.status(f"waiting for the last windows ({plan.window_s:g} s) and the learner"):
            wanted = before.learned_count + len(outcome.matched)
            after = learned.wait_for_learner(client, plan, wanted, clock=time.monotonic, sleep=time.sleep)
        lines = learned.describe_learning(outcome, client.stats(), before, after)
    summary = summarise(table, outcome.matched)
    if as_json:
        print(json.dumps(summary.to_json()))
    else:
        print_summary(summary, plan, outcome)
    for line in [*describe_losses(outcome), *lines]:
        notes.print(line, soft_wrap=True, markup=False)


def place(client: Client, table: Table, placement: str, window: str, notes: Console) -> Plan:
    """Return the plan: of the placement named, or of a fresh one added for this drive."""
    if placement:
        return placing.use_existing(client, placement, table)
    plan = placing.add_fresh(client, f"drive-{secrets.token_hex(4)}", table, window)
    notes.print(f"added placement {plan.placement_id} with {len(table.arms)} offers", markup=False)
    return plan


def driving_order(rows: Sequence[Row], seed: int | None) -> Sequence[Row]:
    """Return the rows shuffled by a seed, or as they are."""
    if seed is None:
        return rows
    return [rows[index] for index in np.random.RandomState(seed).permutation(len(rows))]


@contextmanager
def progress_bar(row_count: int, *, shown: bool) -> Iterator[Callable[[Outcome], None]]:
    """Show a bar on standard error and yield what moves it."""
    bar = Progress(
        TextColumn("rows"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("matched {task.fields[matched]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
    with bar:
        task = bar.add_task("rows", total=row_count, matched=0)

        def move(outcome: Outcome) -> None:
            # Moving the bar for every row would cost more than the row.
            if outcome.done % 50 == 0 or outcome.done == row_count:
                bar.update(task, completed=outcome.done, matched=len(outcome.matched))

        yield move


def print_summary(summary: Summary, plan: Plan, outcome: Outcome) -> None:
    """Print a table for people and the verdict below it."""
    out = Console(highlight=False)
    grid = Grid(title=f"{summary.row_count} rows through placement {plan.placement_id}")
    for name in ("", "rows", "mean reward", "standard error", "chosen"):
        grid.add_column(name, justify="left" if not name else "right")
    chosen_count = max(1, sum(outcome.offers.values()))
    for arm, mean in summary.arms.items():
        chosen = outcome.offers[plan.offer_by_arm[arm]]
        grid.add_row(f"arm {arm}", *figures(mean), f"{chosen / chosen_count:.1%}")
    grid.add_section()
    grid.add_row("uniform (mean of arms)", "", f"{summary.uniform:.5f}", "", "")
    grid.add_row("matched, all", *figures(summary.matched), "")
    grid.add_row("matched, last half", *figures(summary.last_half), "")
    out.print(grid)
    out.print(summary.verdict(), soft_wrap=True, markup=False)
    rate = outcome.done / outcome.elapsed_s if outcome.elapsed_s > 0.0 else 0.0
    out.print(f"{outcome.done} rows in {outcome.elapsed_s:.1f} s, {rate:.0f} rows/s.")


def figures(mean: Mean) -> tuple[str, str, str]:
    """Return count, mean and standard error as text; a dash where there is no figure."""
    return (
        str(mean.n),
        "-" if mean.mean is None else f"{mean.mean:.5f}",
        "-" if mean.se is None else f"{mean.se:.5f}",
    )


def describe_losses(outcome: Outcome) -> list[str]:
    """Return a line for each way in which rows were not decided by a model."""
    lines = []
    if outcome.unanswered:
        lines.append(f"Not counted: rows that the service did not decide: {listing(outcome.unanswered)}.")
    if outcome.unrecorded:
        lines.append(f"Not counted: {outcome.unrecorded} rows were answered but not recorded.")
    others = {reason: count for reason, count in outcome.reasons.items() if reason != "MODEL"}
    if others:
        lines.append(f"Not drawn by the model: {listing(others)}.")
    return lines


def listing(counts: Mapping[str, int]) -> str:
    """Return counts as text: `3 UNAVAILABLE, 1 DEADLINE_EXCEEDED`."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
