"""The report of a replay as one HTML file that stands alone: figures, pictures, assumptions, refusals.

No script, no font, no picture from elsewhere: it can be mailed, archived and read in ten years. Everything
that came from a log or a command line is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.report_words import ESTIMATOR_WORDS, INTERVAL_WORDS, VERDICT_WORDS
from offer_optimizer.evaluate.results import Difference, Evaluation, PolicyResult
from offer_optimizer.evaluate.results_text import diagnostics, policy_sentences
from offer_optimizer.evaluate.svg import Line, Mark, bar_chart, interval_chart, line_chart

_STYLE: Final = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5d6778; --rule: #dfe3ea; --band: #f6f7f9 }
* { box-sizing: border-box }
body { margin: 0; background: var(--band); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 960px; margin: 24px auto; padding: 28px 48px 48px; background: #fff;
  border: 1px solid var(--rule); border-radius: 8px }
h1 { font-size: 25px; margin: 0 0 2px }
h2 { font-size: 18px; margin: 34px 0 8px }
h3 { font-size: 15px; margin: 22px 0 4px; overflow-wrap: anywhere }
p, li { max-width: 76ch }
.soft { color: var(--soft) }
code { font: 13px ui-monospace, monospace }
table { border-collapse: collapse; width: 100%; margin: 8px 0 }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top }
th { font-weight: 600; color: var(--soft); font-size: 13px }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
th.number { text-align: right }
td.policy { overflow-wrap: anywhere; max-width: 330px }
.refused { background: #fdf3e7; border-left: 4px solid #d9822b; padding: 8px 14px; margin: 8px 0 }
.held { background: #e9f6ee; border-left: 4px solid #2e8b57; padding: 8px 14px; margin: 8px 0 }
svg { width: 100%; height: auto; display: block; margin: 6px 0 }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft) }
svg line { stroke-width: 2.5 }
svg .grid { stroke: #e6e9ef; stroke-width: 1 }
svg polyline { fill: none; stroke-width: 2 }
"""
_ABOUT_WEIGHTS: Final = (
    "Importance weights say how much a logged decision counts for the policy. Few large ones mean that the "
    "figure rests on few decisions; weight 0 means that the policy would not have done what was logged. Bars "
    "grow with the square root of the count."
)
_COLOURS: Final = ("#2f6fb3", "#c2571a", "#2e8b57", "#8a4fbe", "#b8860b", "#6b7280")


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """A gate as it was written, whether it holds, and the estimate that decided."""

    text: str
    holds: bool
    estimate: Estimate


def html_report(
    found: Evaluation, differences: Sequence[Difference] = (), gate: GateOutcome | None = None
) -> str:
    """Return the report as a whole HTML document."""
    names = list(dict.fromkeys(name for result in found.policies for name in result.estimates))
    verdicts = list(dict.fromkeys(result.verdict for result in found.policies))
    parts = [
        "<h1>Replay</h1>",
        f'<p class="soft">{found.row_count:,} rows of <code>{escape(found.log_name)}</code></p>',
        "" if gate is None else _gate(gate),
        _refusals(found),
        "<h2>What each policy would have earned a decision</h2>",
        interval_chart(_marks(found), f"reward a decision, {found.confidence:.0%} interval"),
        _figures(found),
        _differences(differences),
        "<h2>How far the log reaches</h2>",
        f"<p>{_ABOUT_WEIGHTS}</p>",
        *[_weights(number, result) for number, result in enumerate(found.policies)],
        _curves(found),
        "<h2>What this assumes</h2><ul>",
        *[f"<li><b>{escape(verdict.value)}</b>: {VERDICT_WORDS[verdict]}</li>" for verdict in verdicts],
        *[f"<li><b>{escape(name)}</b>: {ESTIMATOR_WORDS.get(name, '')}</li>" for name in names],
        f"<li><b>{found.interval.value} intervals</b>: {INTERVAL_WORDS[found.interval]}</li></ul>",
        _notes(found),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Replay of {escape(found.log_name)}</title><style>{_STYLE}{_tones()}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _tones() -> str:
    """Return the colour of each class of marks."""
    return "".join(
        f"svg line.t{tone}, svg polyline.t{tone} {{ stroke: {colour} }}\n"
        f"svg circle.t{tone}, svg rect.t{tone}, svg text.t{tone} {{ fill: {colour} }}\n"
        for tone, colour in enumerate(_COLOURS)
    )


def _gate(gate: GateOutcome) -> str:
    kind, words = ("held", "holds") if gate.holds else ("refused", "does not hold")
    found = gate.estimate
    why = found.refused_reason
    if found.value is not None and found.lowest is not None:
        bias = f", {found.bias_bound:.4f} for cut weights taken off" if found.bias_bound else ""
        why = f"the figure is {found.value:.4f}, its lower end {found.lowest:.4f}{bias}"
    if found.forced:
        kind, why = "refused", f"{why}; forced although {found.refused_reason}"
    return f'<p class="{kind}">The gate <code>{escape(gate.text)}</code> {words}: {escape(why)}.</p>'


def _refusals(found: Evaluation) -> str:
    lines = []
    for number, result in enumerate(found.policies, start=1):
        if result.refused:
            words = "are given only because that was forced" if result.is_forced else "are withheld"
            if any(not found.refused_reason for found in result.estimates.values()):
                words = f"of {_refused_names(result)} {words}"
            lines.append(
                f'<p class="refused"><b>P{number}</b> <code>{escape(result.policy)}</code>: figures {words}. '
                f"{escape(_sentence(result.refused))}</p>"
            )
    return "\n".join(lines)


def _refused_names(result: PolicyResult) -> str:
    return escape(", ".join(name for name, found in result.estimates.items() if found.refused_reason))


def _marks(found: Evaluation) -> list[Mark]:
    return [
        Mark(f"P{number} {name}", estimate.value, estimate.low, estimate.high, (number - 1) % len(_COLOURS))
        for number, result in enumerate(found.policies, start=1)
        for name, estimate in result.estimates.items()
    ]


def _figures(found: Evaluation) -> str:
    head = (
        '<table><tr><th></th><th>policy</th><th>estimator</th><th class="number">value</th>'
        f'<th class="number">{found.confidence:.0%} interval</th></tr>'
    )
    rows = []
    for number, result in enumerate(found.policies, start=1):
        for index, (name, estimate) in enumerate(result.estimates.items()):
            label = f"<b>P{number}</b>" if index == 0 else ""
            policy = f"<code>{escape(result.policy)}</code>" if index == 0 else ""
            rows.append(
                f'<tr><td>{label}</td><td class="policy">{policy}</td><td>{escape(name)}</td>'
                f"{_cells(estimate, result.refused)}</tr>"
            )
    return f"{head}{''.join(rows)}</table>"


def _cells(found: Estimate, known_refusal: str = "") -> str:
    """Return value and interval; why there are none, unless that stands above already."""
    if found.value is None:
        why = "" if found.refused_reason == known_refusal else escape(found.refused_reason)
        return f'<td class="number">withheld</td><td>{why}</td>'
    ends = "none" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
    if found.bias_bound:
        ends += f"<br>off by up to {found.bias_bound:.4f} besides"
    mark = " (forced)" if found.forced else ""
    return f'<td class="number">{found.value:.4f}{mark}</td><td class="number">{ends}</td>'


def _differences(found: Sequence[Difference]) -> str:
    if not found:
        return ""
    rows = [
        f'<tr><td class="policy"><code>{escape(one.first)}</code> less <code>{escape(one.second)}</code></td>'
        f"<td>{escape(one.estimator)}</td>{_cells(one.estimate)}"
        f'<td class="number">{"" if one.p_adjusted is None else f"{one.p_adjusted:.2g}"}</td></tr>'
        for one in found
    ]
    return (
        "<h2>Differences</h2><p>Paired by decision and clustered by visitor: what both policies owe to the "
        "same visitors cancels.</p><table><tr><th>difference</th><th>estimator</th>"
        '<th class="number">value</th><th class="number">interval</th><th class="number">p</th></tr>'
        f"{''.join(rows)}</table>"
    )


def _weights(number: int, result: PolicyResult) -> str:
    used = np.flatnonzero(result.weights.counts)
    if not result.ess:
        return ""
    shown = range(int(used[0]), int(used[-1]) + 1)
    labels = result.weights.labels()
    chart = bar_chart(
        [labels[index] for index in shown],
        [int(result.weights.counts[index]) for index in shown],
        "importance weight",
        number % len(_COLOURS),
    )
    return (
        f"<h3>P{number + 1} <code>{escape(result.policy)}</code></h3>"
        f'<p class="soft">{escape(_sentence(diagnostics(result)))}</p>{chart}'
    )


def _curves(found: Evaluation) -> str:
    lines = [
        Line(
            f"P{number}",
            [(point.end_row, point.value) for point in result.curve if point.value is not None],
            (number - 1) % len(_COLOURS),
        )
        for number, result in enumerate(found.policies, start=1)
        if result.curve
    ]
    if not lines:
        return ""
    curve = next(result.curve for result in found.policies if result.curve)
    lines.append(Line("as logged", [(point.end_row, point.logged) for point in curve], 5))
    chart = line_chart(lines, "rows of the log", "reward a decision (SNIPS)")
    return f"<h2>Learning on the log</h2>{chart}"


def _notes(found: Evaluation) -> str:
    lines = [f"<li>{escape(note)}</li>" for note in found.notes]
    for number, result in enumerate(found.policies, start=1):
        lines += [f"<li><b>P{number}</b>: {escape(note)}</li>" for note in policy_sentences(result)]
    return f"<h2>Notes</h2><ul>{''.join(lines)}</ul>" if lines else ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('?') else '.'}"
