"""The served distribution: model and baseline mixed by the ramp, then the floor, then rounded as stored."""

from __future__ import annotations

from typing import Final

import numpy as np

from offer_optimizer.core.decision import Pmf32, Pmf64

_HEADROOM: Final = 1.0 + 2.0**-20
"""Mixed into the floor so that rounding to float32 and renormalising never falls below floor / n."""


def mix(model: Pmf64 | None, baseline: int | None, count: int, ramp: float, floor: float) -> Pmf32:
    """Return the served pmf over `count` offers, float32, shape (count,).

    served = (1 - floor) * ((1 - ramp) * baseline + ramp * model) + floor / count. `model` may be None
    where ramp is 0, `baseline` where ramp is 1. Every entry is at least floor / count after renormalising.
    """
    # In plain floats, which for so few are quicker than numpy.
    served = [0.0] * count if model is None else model.tolist()
    if ramp < 1.0:
        served = [ramp * probability for probability in served]
        if baseline is not None:
            served[baseline] += 1.0 - ramp
    share = min(floor * _HEADROOM, 1.0)
    rest, least = 1.0 - share, share / count
    return np.array([rest * probability + least for probability in served], dtype=np.float32)


def certain(position: int, count: int) -> Pmf32:
    """Return the pmf that always chooses one position."""
    pmf = np.zeros(count, dtype=np.float32)
    pmf[position] = 1.0
    return pmf
