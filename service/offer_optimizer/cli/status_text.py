"""The health of the loop as people read it: alarms first, then each placement. Knows no source."""

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
    for placement in found["placements"]:
        console.print()
        console.print(Text.assemble((placement["placement"], "bold"), ", the last 24 hours"))
        table = Table.grid(padding=(0, 2))
        for label, text in placement_lines(placement):
            table.add_row(f"  {label}", Text(text))
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


def placement_lines(item: Values) -> Iterator[tuple[str, str]]:
    """Yield what is said of a placement, a label and a text each."""
    fates = item["fates"]
    late, known = fates.get("LATE", 0), sum(fates.values())
    yield "decisions", f"{item['decision_count']:,}, {item['open_count']:,} windows open now"
    answered = f"{_percent(item['answered_share'])} of decisions"
    delays = [(name, item[f"delay_s_{name}"]) for name in ("p50", "p90", "p99")]
    if all(delay is not None for _, delay in delays):
        answered += ", after " + ", ".join(f"{name} {show_s(delay)}" for name, delay in delays)
    yield "answered", f"{answered}; {_percent(late / known if known else None)} of feedback was late"
    yield "reward", f"{_figure(item['reward_mean'])} a decision"
    drawn, entropy = _percent(item["exploration_share"]), _percent(item["entropy_share"])
    yield "explored", f"{drawn} of what was drawn; {entropy} of the entropy of drawing evenly"
    yield "model", _model(item)
    for remark in item["remarks"]:
        yield "", remark


def _model(item: Values) -> str:
    age_s = item["model_age_s"]
    text = item["policy"] if age_s is None else f"{item['policy']}, published {show_s(age_s)} ago"
    text += f", {item['learned_count']:,} examples learned, {item['unlearned_count']:,} waiting"
    if item["is_frozen"]:
        text += ", frozen"
    if item["learn_probability"] < 1.0:
        text += f", silence learned with probability {item['learn_probability']:.3g}"
    return text


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
