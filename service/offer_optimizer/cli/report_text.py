"""A placement's report as plain sentences for people. Knows nothing of where it was read from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from offer_optimizer.evaluate.estimators import Estimate
from offer_optimizer.evaluate.report import OfferReport, PlacementReport
from offer_optimizer.evaluate.shadow import Shadow


def sentences(report: PlacementReport) -> Iterator[str]:
    """Yield what is said of the placement as a whole."""
    oldest = " (the newest that one report reads)" if report.is_cut else ""
    yield f"{_date(report.start_us)} to {_date(report.end_us)}: {report.decision_count:,} decisions{oldest}."
    reasons = ", ".join(f"{name} {count:,}" for name, count in report.reasons.items())
    if reasons:
        yield f"Why they are what they are: {reasons}."
    if report.open_count or report.left_out_count:
        yield (
            f"Not counted: {report.open_count:,} whose window is still open, "
            f"{report.left_out_count:,} never shown or without a reward."
        )
    if report.anonymous_count:
        yield (
            f"Without a visitor id: {report.anonymous_count:,}; each counts as a visitor of its own, "
            "so intervals are too narrow where such visitors came back."
        )
    yield f"Reward a decision: {figure(report.reward)}."
    yield (
        f"Interruptions: {report.interruption_count:,} of {report.counted_count:,} decisions; "
        f"for one unit of reward: {figure(report.interruptions_per_reward)}."
    )
    yield f"Uplift of all treated visitors over the holdout, a decision: {figure(report.uplift)}."
    if report.uplift.value is not None:
        arms = f"Treated {figure(report.treated)}, holdout {figure(report.holdout)}."
        yield f"  {_verdict(report.uplift)} {arms}"


def shadow_sentences(shadow: Shadow | None) -> Iterator[str]:
    """Yield what is said of a model that serves less than all."""
    if shadow is None:
        return
    share = shadow.differ_share or 0.0
    yield (
        f"Where the ramp is below 1 ({shadow.decision_count:,} decisions), the model alone would not choose "
        f"the baseline in {share:.1%} of them."
    )
    for offer in shadow.offers[:10]:
        yield f"  {offer.offer_id}: model {offer.model_share:.1%}, baseline {offer.baseline_share:.1%}"
    for context in shadow.contexts:
        yield (
            f"  where {context.name} is {context.value}: differs in {context.differ_share:.1%} "
            f"of {context.decision_count:,}"
        )
    yield f"  The model at full ramp would have earned {figure(shadow.model_value)} a decision,"
    yield f"  the baseline alone {figure(shadow.baseline_value)}; the difference is {figure(shadow.gain)}."


def offer_cells(offer: OfferReport) -> tuple[str, ...]:
    """Return an offer's cells: id, decisions, observed mean, value by DR, value by IPS."""
    return (
        offer.offer_id,
        f"{offer.decision_count:,}",
        figure(offer.observed_mean_not_causal),
        figure(offer.value_if_shown),
        figure(offer.value_if_shown_ips),
    )


def figure(estimate: Estimate) -> str:
    """Return a figure with its interval, or why there is none."""
    if estimate.value is None:
        return f"no figure ({estimate.refused_reason})"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _verdict(uplift: Estimate) -> str:
    if uplift.is_above(0.0):
        return "Above zero, however often one looks."
    if uplift.is_below(0.0):
        return "Below zero, however often one looks."
    return "Zero is within the interval: nothing is shown yet, look again whenever you like."


def _date(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
