"""Inverse-gap weighting: how likely each offer is, by how far it seems to lie behind the best.

Source: Foster and Rakhlin 2020, arXiv:2002.04926, algorithm 1 (SquareCB): 1 / (K + gamma * gap) for every
offer but the best, which has what remains. Tied best offers share alike. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from offer_optimizer.policy.distribution import distribution

_TIE: Final = 1e-9
"""Scores nearer than this differ by rounding."""


def inverse_gap(scores: Sequence[float], gamma: float) -> list[float]:
    """Return the pmf of some scores (at least one); `gamma` is at least 0.

    Raises PolicyFault where a score is not finite.
    """
    # In plain floats, which for the offers of one decision are quicker than numpy.
    count = len(scores)
    best = max(scores)
    near = best - _TIE
    pmf = [0.0 if score >= near else 1.0 / (count + gamma * (best - score)) for score in scores]
    share = (1.0 - sum(pmf)) / max(sum(score >= near for score in scores), 1)
    return distribution([share if score >= near else p for score, p in zip(scores, pmf, strict=True)], count)
