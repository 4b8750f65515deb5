"""Shadow policies as sentences for people, of the messages of InsightService."""

from __future__ import annotations

from collections.abc import Iterator

from offer_optimizer.v1 import insight_service_pb2 as pb


def gate_sentence(shadow: pb.ShadowStatus) -> str:
    """Return what a shadow gains, and when it is promoted."""
    gain = f"gains {figure(shadow.gain)}"
    if not shadow.HasField("gate"):
        return f"{gain}; promoted by command alone"
    gate = shadow.gate
    return (
        f"{gain}; promoted once that is surely above {gate.margin:g}, after {gate.visitor_count:,} visitors"
    )


def status_sentence(shadow: pb.ShadowStatus) -> str:
    """Return how far a shadow has come and what it costs."""
    if not shadow.HasField("begin_time"):
        return "not taken up by the learner yet"
    share = "" if shadow.share == 1.0 else f", on {shadow.share:.3g} of what closes"
    return (
        f"judged on {shadow.judged_count:,} decisions, learned {shadow.learned_count:,}{share}; "
        f"{shadow.lag_s:.1f} s behind, {shadow.cost_us:.0f} µs a lesson"
    )


def report_sentences(shadow: pb.ShadowStatus, shadow_count: int) -> Iterator[str]:
    """Yield all figures of a shadow."""
    yield f"{shadow.placement}, shadow {shadow.name} ({shadow.policy}): {status_sentence(shadow)}."
    yield f"  The policy that serves earned       {figure(shadow.incumbent)} a decision;"
    yield f"  the shadow would have earned        {figure(shadow.value)} (doubly robust),"
    yield f"                                      {figure(shadow.value_snips)} (SNIPS),"
    yield f"                                      {figure(shadow.value_ips)} (IPS);"
    yield f"  the shadow less what serves         {figure(shadow.gain)} (doubly robust),"
    yield f"                                      {figure(shadow.gain_ips)} (IPS)."
    level = f"{shadow.gain.confidence:.4g}"
    yield (
        f"  Intervals hold at every look, by visitor; those of the gain at {level}, so that all of "
        f"{shadow_count} shadow{'s' * (shadow_count != 1)} hold together at 0.95."
    )


def figure(estimate: pb.Estimate) -> str:
    """Return a figure with its interval, or why there is none."""
    if not estimate.HasField("value"):
        return f"(refused: {estimate.refused_reason})"
    return f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]"
