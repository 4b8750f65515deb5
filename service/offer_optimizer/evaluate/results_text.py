"""Results as text: a block for each policy, its figures in columns, refusals in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from offer_optimizer.evaluate.estimate import Estimate

if TYPE_CHECKING:
    from offer_optimizer.evaluate.results import Comparison, Evaluation, PolicyResult


def evaluation_text(found: Evaluation) -> str:
    """Return an evaluation as text."""
    lines = [f"{found.row_count:,} rows of {found.log_name}"]
    for number, result in enumerate(found.policies, start=1):
        lines += [f"P{number}  {result.policy}", f"    {diagnostics(result)}"]
        if same_refusal(result):
            lines.append(f"    refused: {result.refused}")
        else:
            lines += [f"    {name:<11} {figure(estimate)}" for name, estimate in result.estimates.items()]
    return "\n".join(lines)


def comparison_text(found: Comparison) -> str:
    """Return a comparison as text."""
    numbers = {result.policy: f"P{n}" for n, result in enumerate(found.evaluation.policies, start=1)}
    lines = [f"{number}  {policy}" for policy, number in numbers.items()]
    pair = ""
    for one in found.differences:
        head = f"{numbers[one.first]} - {numbers[one.second]}"
        p = "" if one.p_adjusted is None else f"  p = {one.p_adjusted:.2g}"
        lines.append(f"{'' if head == pair else head:<8} {one.estimator:<11} {figure(one.estimate)}{p}")
        pair = head
    if found.differences and found.differences[0].comparison_count > 1:
        lines.append(
            f"{found.differences[0].comparison_count} comparisons: p-values by Holm, intervals hold together"
        )
    return "\n".join(lines)


def diagnostics(result: PolicyResult) -> str:
    """Return verdict, effective sample size and the like, on one line."""
    missing = f", no support for {result.unsupported_share:.2%}" if result.unsupported_share else ""
    return (
        f"{result.verdict.value}, effective sample size {result.ess:,.0f}, "
        f"largest weight {result.max_weight:.3g}, mean {result.mean_weight:.2f}{missing}"
    )


def figure(found: Estimate) -> str:
    """Return an estimate on one line."""
    if found.value is None:
        return f"refused: {found.refused_reason}"
    forced = f"  FORCED although {found.refused_reason}" if found.forced else ""
    bias = "" if found.bias_bound is None else f"  off by up to {found.bias_bound:.4f} besides"
    ends = "no interval" if found.low is None else f"{found.low:.4f} to {found.high:.4f}"
    return f"{found.value:8.4f}   {ends}{bias}{forced}"


def same_refusal(result: PolicyResult) -> bool:
    """Return whether all estimates of a policy are refused for one reason."""
    reasons = {estimate.refused_reason for estimate in result.estimates.values()}
    return len(reasons) == 1 and all(found.value is None for found in result.estimates.values())


def sentences(found: Evaluation) -> Sequence[str]:
    """Return all notes, those of the log first, then each policy's with its number."""
    own = [
        f"P{number}: {note}"
        for number, result in enumerate(found.policies, start=1)
        for note in policy_sentences(result)
    ]
    return [*found.notes, *own]


def policy_sentences(result: PolicyResult) -> Sequence[str]:
    """Return a policy's notes, and what its guaranteed intervals rest on."""
    resting: dict[str, list[str]] = {}
    for name, estimate in result.estimates.items():
        if estimate.low is not None and estimate.assumes:
            resting.setdefault(estimate.assumes, []).append(name)
    rests = [f"{', '.join(names)} by {assumes}." for assumes, names in resting.items()]
    return [*result.notes, *(f"The interval rests on: {each}" for each in rests)]
