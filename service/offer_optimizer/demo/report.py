"""The end of the demo in words and numbers: table, curve, latency, verdict. Knows no files, no service."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offer_optimizer.demo import shop
from offer_optimizer.demo.intervals import Difference, Mean
from offer_optimizer.demo.results import Results
from offer_optimizer.demo.text_curve import draw_curve

ENOUGH_DECISIONS: Final = 15_000
"""Half the gap between uniform and best possible is then four standard errors wide; a full run has 30,000."""


def render_report(results: Results) -> RenderableType:
    """Return the whole report, readable at 80 columns."""
    return Group(
        _build_table(results),
        Text(_explain_table(), style="dim"),
        Text(""),
        Text("Reward per decision over the run", style="bold"),
        Text(draw_curve(results)),
        Text(""),
        Text(describe_run(results)),
        Text(""),
        Text(state_verdict(results), style="bold green" if results.learned_best else "bold red"),
    )


def _build_table(results: Results) -> Table:
    table = Table(title="Reward per decision", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("policy", no_wrap=True)
    table.add_column("decisions", justify="right")
    table.add_column("visitors", justify="right")
    table.add_column("reward", justify="right")
    table.add_column("95 % interval", justify="right", no_wrap=True)
    rows = (
        ("learned", results.learned, "bold"),
        ("  its last third", results.learned_last_third, ""),
        ("uniform", results.uniform, ""),
        (f"baseline ({shop.BASELINE_OFFER})", results.baseline, ""),
        (f"best fixed ({results.best_fixed_offer}) *", results.best_fixed, "dim"),
        ("best possible *", results.best_possible, "dim"),
    )
    for name, mean, style in rows:
        count, visitors = f"{mean.decision_count:,}", f"{mean.cluster_count:,}"
        table.add_row(name, count, visitors, f"{mean.value:.3f}", format_interval(mean), style=style)
    return table


def format_interval(mean: Mean | Difference) -> str:
    """Return the bounds with three decimals."""
    return f"{mean.low:.3f} to {mean.high:.3f}"


def _explain_table() -> str:
    return (
        f"Realised: feedback inside the window of {shop.WINDOW_S:g} s, as the service counts it.\n"
        "The unit of the intervals is the visitor, who comes about five times.\n"
        "* expected for the learned policy's own visitors, from the shop's truth"
    )


def describe_run(results: Results) -> str:
    """Return what happened around the rewards: learning, latency, losses."""
    chance = 1 / len(shop.OFFER_IDS)
    best_share = results.best_share_last_third.value
    rate = results.decision_count / results.duration_s if results.duration_s > 0.0 else 0.0
    position = f"from ledger position {results.last_model_position:,}"
    percentiles = (
        ("p50", results.latency_ms_p50),
        ("p90", results.latency_ms_p90),
        ("p99", results.latency_ms_p99),
        ("p99.9", results.latency_ms_p999),
    )
    latency = ", ".join(f"{name} {value:.1f}" for name, value in percentiles)
    lines = [
        f"decisions    {results.decision_count:,}, {rate:,.0f} a second",
        f"learning     {results.model_version_count:,} model versions served, the last one {position}",
        f"best offer   {best_share:.0%} of learned decisions in the last third; {chance:.0%} by chance",
        f"latency      {latency} ms as the caller saw it",
        f"late         {results.late_feedback_count:,} items came after their window and count for nobody",
    ]
    if results.answered_by_client_count:
        lines.append(
            f"client       {results.answered_by_client_count:,} pages got the client's own baseline;"
            " they stay in the table"
        )
    return "\n".join(lines)


def state_verdict(results: Results) -> str:
    """Return the verdict: a sentence, and a line for each comparison."""
    comparisons = (("uniform", results.over_uniform), ("baseline", results.over_baseline))
    lines = [
        f"  over {name:<8} {difference.value:+.3f} a decision, 95 % interval {format_interval(difference)}"
        for name, difference in comparisons
    ]
    if results.learned_best:
        lines.insert(0, "Learning paid: over the whole run the learned policy beat both.")
    else:
        failed = " and ".join(name for name, difference in comparisons if not difference.is_above_zero())
        lines.insert(0, f"Learning did not beat {failed} with confidence.")
        if results.decision_count < ENOUGH_DECISIONS:
            lines += [
                f"There were only {results.decision_count:,} decisions; telling takes {ENOUGH_DECISIONS:,}.",
                "Use more --seconds, or a machine with less else to do.",
            ]
    return "\n".join(lines)
