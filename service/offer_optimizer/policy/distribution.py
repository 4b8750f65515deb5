"""The check that every learned answer passes before anybody draws from it. Knows no policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import PolicyFault

SUM_TOLERANCE: Final = 1e-3
"""How far raw scores may be from summing to 1: float32 stays within 4e-5, what is no pmf is far off."""

_TIE_TOLERANCE: Final = 1e-5
# float32 rounding of a remainder over 200 offers stays below.


def distribution(scores: Sequence[float], count: int) -> Pmf64:
    """Return raw scores as a float64 pmf of `count` offers.

    Raises PolicyFault where they are too few or many, negative, not finite, or don't sum to 1.
    """
    if len(scores) != count:
        raise PolicyFault(f"pmf: {len(scores)} probabilities for {count} offers")
    total = sum(scores)
    # Written so that NaN, which compares false, ends here.
    if not (abs(total - 1.0) <= SUM_TOLERANCE and min(scores) >= 0.0):
        raise PolicyFault(f"pmf: sum {total:g} and minimum {min(scores):g}, expected 1 and at least 0")
    return np.array(scores, dtype=np.float64) / total


def share_ties(pmf: Pmf64) -> Pmf64:
    """Return an inverse-gap pmf with offers tied for the best made equally likely.

    Inverse-gap weighting gives an offer `1 / (n + gamma * gap)`, so 1/n where the gap is 0, and what remains
    to the best: of several best ones to whichever is listed first. Only the share of the tied is spread.
    Source: Foster and Rakhlin 2020, arXiv:2002.04926, algorithm 1.
    """
    least = (1.0 - _TIE_TOLERANCE) / len(pmf)
    # Mostly nothing is tied, and a list finds that sooner than numpy does.
    tied = [index for index, probability in enumerate(pmf.tolist()) if probability >= least]
    if len(tied) > 1:
        pmf[tied] = pmf[tied].sum() / len(tied)
    return pmf
