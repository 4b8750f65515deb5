"""Bootstrap intervals by visitor (BCa): clusters drawn again with replacement.

Works on the sums of clusters alone, so it costs the same for any number of rows, and the same sums and seed
give the same interval. Assumes what a normal interval does, independent visitors with finite variance, and
follows the skew that a normal one ignores. Over 600 simulated logs each of common, rare and heavy-tailed
rewards with weights up to 33, at 450 visitors, all variants covered 92 to 97 %; where rewards were rare the
truth lay below the interval, where 2.5 % belong, in 2.4 to 2.7 % (BCa), 1.4 to 1.7 % (percentile) and 0.8 to
1.4 % (normal); studentised ones were wider by 2 to 4 % for nothing.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from offer_optimizer.evaluate.clusters import Floats
from offer_optimizer.evaluate.intervals import Ends

REPLICATES: Final = 2000
"""A tail of 2.5 % is then one of 2.5 ± 0.35 %."""
_CHUNK: Final = 100
"""Replicates made at a time: some megabytes at 4,096 clusters."""


def bootstrap_ends(sums: Floats, signs: tuple[float, ...], confidence: float, seed: int) -> Ends:
    """Return the interval of a signed sum of ratios.

    `sums` has shape (clusters, 2 * ratios): numerator and denominator of each. Endless for one cluster.
    Source: Efron 1987, "Better bootstrap confidence intervals", JASA 82; the acceleration from the influence
    of clusters, equation 6.6; resampling whole clusters, Field and Welsh 2007, JRSS B 69.
    """
    count = len(sums)
    if count < 2:
        return Ends(-math.inf, math.inf)
    totals = sums.sum(axis=0)
    ratios = totals[0::2] / totals[1::2]
    value = float(np.dot(signs, ratios))
    influence = ((sums[:, 0::2] - ratios * sums[:, 1::2]) / totals[1::2]) @ np.array(signs)
    spread = float(influence @ influence)
    replicates = np.sort(_replicates(sums, np.array(signs), seed))
    below = (np.mean(replicates < value) + np.mean(replicates <= value)) / 2.0
    if spread == 0.0 or not 0.0 < below < 1.0:
        return Ends(value, value)
    acceleration = float((influence**3).sum()) / (6.0 * spread**1.5)
    bias = float(ndtri(below))
    ends = []
    for level in ((1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0):
        shifted = bias + float(ndtri(level))
        corrected = float(ndtr(bias + shifted / max(1.0 - acceleration * shifted, 1e-3)))
        ends.append(float(np.quantile(replicates, corrected)))
    return Ends(ends[0], ends[1])


def _replicates(sums: Floats, signs: Floats, seed: int) -> Floats:
    """Return the value of every replicate, shape (REPLICATES,); those without a denominator are left out."""
    counts = resampled_counts(len(sums), seed)
    values = np.empty(len(counts))
    for start in range(0, len(counts), _CHUNK):
        totals = counts[start : start + _CHUNK].astype(np.float64) @ sums
        with np.errstate(divide="ignore", invalid="ignore"):
            values[start : start + _CHUNK] = (totals[:, 0::2] / totals[:, 1::2]) @ signs
    finite: Floats = values[np.isfinite(values)]
    return finite


@lru_cache(maxsize=2)
def resampled_counts(cluster_count: int, seed: int) -> NDArray[np.uint8]:
    """Return how often each replicate drew each cluster, shape (REPLICATES, cluster_count).

    Kept, because all estimates of one log ask for the same: at 4,096 clusters 8 MB.
    """
    chance = np.random.default_rng([seed, cluster_count])
    counts = np.empty((REPLICATES, cluster_count), dtype=np.uint8)
    offsets = np.arange(_CHUNK)[:, None] * cluster_count
    for start in range(0, REPLICATES, _CHUNK):
        drawn = chance.integers(0, cluster_count, (_CHUNK, cluster_count)) + offsets
        found = np.bincount(drawn.ravel(), minlength=_CHUNK * cluster_count)
        counts[start : start + _CHUNK] = found.reshape(_CHUNK, cluster_count)
    return counts
