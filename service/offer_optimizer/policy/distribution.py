"""The check that every learned answer passes before anybody draws from it. Knows no policy.

In plain lists: for the offers of one decision they are quicker than numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from offer_optimizer.core.errors import PolicyFault

SUM_TOLERANCE: Final = 1e-3
"""How far raw scores may be from summing to 1: float32 stays within 4e-5, what is no pmf is far off."""

_TIE_TOLERANCE: Final = 1e-5
# float32 rounding of a remainder over 200 offers stays below.


def distribution(scores: Sequence[float], count: int) -> list[float]:
    """Return raw scores as a pmf of `count` offers.

    Raises PolicyFault where they are too few or many, negative, not finite, or don't sum to 1.
    """
    if len(scores) != count:
        raise PolicyFault(f"pmf: {len(scores)} probabilities for {count} offers")
    total = sum(scores)
    # Written so that NaN, which compares false, ends here.
    if not (abs(total - 1.0) <= SUM_TOLERANCE and min(scores) >= 0.0):
        raise PolicyFault(f"pmf: sum {total:g} and minimum {min(scores):g}, expected 1 and at least 0")
    return [score / total for score in scores]


def share_ties(pmf: list[float]) -> list[float]:
    """Return an inverse-gap pmf with offers tied for the best made equally likely.

    Inverse-gap weighting gives an offer `1 / (n + gamma * gap)`, so 1/n where the gap is 0, and what remains
    to the best: of several best ones to whichever is listed first. Only the share of the tied is spread.
    Source: Foster and Rakhlin 2020, arXiv:2002.04926, algorithm 1.
    """
    least = (1.0 - _TIE_TOLERANCE) / len(pmf)
    tied = [probability for probability in pmf if probability >= least]
    if len(tied) < 2:
        return pmf
    shared = sum(tied) / len(tied)
    return [shared if probability >= least else probability for probability in pmf]
