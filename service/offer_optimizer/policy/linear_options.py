"""The options a placement may give the linear policy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from offer_optimizer.policy.options import Options


class LinearOptions(Options):
    """Options of the linear policy.

    `model`: what predicts an offer's reward; `average` weighs the three others, and `linear` with a short
    memory, by how well each predicted. `optimism` scales how far above its mean an offer is scored, in
    deviations; `gamma_scale` sets how soon exploring stops: after t examples gamma is
    `gamma_scale * sqrt(t) / noise`. `half_life` is after how many examples what was learned counts half;
    without one nothing is forgotten but by `average`, and only where that predicts better. `kernel` alone
    with a short one knows so little at any time that a single example can turn its choice.
    """

    model: Literal["average", "kernel", "linear", "bias"] = "average"
    optimism: Annotated[float, Field(ge=0.0, le=10.0)] = 0.25
    gamma_scale: Annotated[float, Field(gt=0.0, le=1e4)] = 50.0
    half_life: Annotated[float, Field(ge=10.0, le=1e9)] | None = None
