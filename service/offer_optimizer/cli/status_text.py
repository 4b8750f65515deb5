"""The health of the loop as people read it: alarms first, then a line for each placement. Knows no source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Values = Mapping[str, Any]
_UNITS: Final = (("d", 86_400.0), ("h", 3600.0), ("min", 60.0))
_COLUMNS: Final = (
    *("placement", "decisions", "answered", "reward", "late", "answer after\np50 / p90 / p99"),
    *("model", "waiting", "open", "explores", "entropy"),
)


def print_status(console: Console, found: Values) -> None:
    """Print one screen."""
    alarms = found["alarms"]
    if not alarms:
        console.print(Text("All is well.", "bold green"))
    else:
        console.print(Text(f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''}", "bold red"))
    for alarm in alarms:
        where = f"  {alarm['placement']}" if alarm["placement"] else ""
        console.print(Text.assemble((alarm["name"], "bold"), where))
        for text in (
            alarm["message"],
            f"Likely cause: {alarm['likely_cause']}",
            f"What to do: {alarm['remedy']}",
        ):
            console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))
    console.print()
    console.print(Text(" ".join(loop_sentences(found))))
    if found["placements"]:
        table = Table(*_COLUMNS, title="The last 24 hours", title_justify="left", box=None, pad_edge=False)
        for placement in found["placements"]:
            table.add_row(*map(Text, placement_cells(placement)))
        console.print(table)


def loop_sentences(found: Values) -> Iterator[str]:
    """Yield what is said of the loop as a whole."""
    lag_s = found["learner_lag_s"]
    yield "Nothing waits for the learner." if lag_s < 1.0 else f"The learner is {show_s(lag_s)} behind."
    if found["ledger_time_us"]:
        moment = datetime.fromtimestamp(found["ledger_time_us"] / 1e6, UTC)
        yield f"Ledger time {moment:%Y-%m-%d %H:%M:%S}Z."
    if found["join_share"] is not None:
        yield f"{found['join_share']:.1%} of the feedback found its decision."
    if found["unknown_count"]:
        yield f"{found['unknown_count']:,} items name a decision that nobody knows."


def placement_cells(item: Values) -> tuple[str, ...]:
    """Return the cells of a placement's line."""
    fates = item["fates"]
    late, known = fates.get("LATE", 0), sum(fates.values())
    delays = [item[f"delay_s_{name}"] for name in ("p50", "p90", "p99")]
    age_s = item["model_age_s"]
    model = item["policy"] if age_s is None else f"{item['policy']}, {show_s(age_s)} old"
    if item["learned_count"]:
        model += f",\n{item['learned_count']:,} learned"
    if item["is_frozen"]:
        model += ", frozen"
    if item["learn_probability"] < 1.0:
        model += f", silence at {item['learn_probability']:.3g}"
    return (
        item["placement"],
        f"{item['decision_count']:,}",
        _percent(item["answered_share"]),
        _figure(item["reward_mean"]),
        _percent(late / known if known else None),
        " / ".join("–" if delay is None else show_s(delay) for delay in delays),
        model,
        f"{item['unlearned_count']:,}",
        f"{item['open_count']:,}",
        _percent(item["exploration_share"]),
        _percent(item["entropy_share"]),
    )


def show_s(seconds: float) -> str:
    """Return a length of time, short."""
    for unit, size in _UNITS:
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
