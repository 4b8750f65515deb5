"""How likely each of several independent Beta posteriors is to be the largest: by integration, not by draws.

P(k is best) = integral of f_k(x) * product over j != k of F_j(x). A sampled Thompson policy has a probability
that nobody knows; this one can be logged. Nodes lie where the posteriors do, so narrow and wide ones mix.
Source: Russo, Van Roy et al. 2018, A Tutorial on Thompson Sampling, section 3, for the rule itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_REACH: Final = 9.0
"""Deviations around each mean that nodes cover."""
_NODES: Final = 6000
"""About how many nodes there are in all."""
_PER_POSTERIOR: Final = (24, 240)
"""Least and most nodes of one posterior."""
_BETWEEN: Final = 1.0 / (1.0 + np.exp(-np.linspace(-20.0, 20.0, 161)))
# Nodes everywhere, finer towards 0 and 1: a gap between two narrow posteriors would be given mass.
_LEAST: Final = 1e-300
_RELATIVE: Final = 1e-9
"""Next to 0 and 1 nodes go as near as this, since the density can be steep there."""


def best_of(posteriors: Sequence[tuple[float, float]]) -> list[float]:
    """Return for each posterior Beta(a, b), a and b at least 1, the probability that it is the largest.

    Within 2e-3 of the exact value. Equal posteriors get the same, and the order does not matter.
    """
    different = sorted(set(posteriors))
    counts = dict.fromkeys(different, 0)
    for posterior in posteriors:
        counts[posterior] += 1
    if len(different) == 1:
        return [1.0 / len(posteriors)] * len(posteriors)
    shapes = np.array(different)
    repeats = np.array([float(counts[posterior]) for posterior in different])
    nodes = _nodes(shapes)
    steps, below = _masses(shapes, nodes)
    logs = np.log(np.maximum(below, _LEAST))
    # Of equal ones each is best equally often, so the others of its kind stand in the product too.
    mass = np.exp(repeats @ logs - logs)
    shares = (steps * mass).sum(axis=1)
    share_of = dict(zip(different, (shares / float(repeats @ shares)).tolist(), strict=True))
    return [share_of[posterior] for posterior in posteriors]


def _nodes(shapes: Matrix) -> npt.NDArray[np.float64]:
    """Return ascending places in (0, 1) that are dense where some posterior is."""
    a, b = shapes[:, :1], shapes[:, 1:]
    mean = a / (a + b)
    deviation = np.sqrt(mean * (1.0 - mean) / (a + b + 1.0))
    count = min(max(_NODES // len(shapes), _PER_POSTERIOR[0]), _PER_POSTERIOR[1])
    places = mean + deviation * np.linspace(-_REACH, _REACH, count)
    inside = np.clip(places.ravel(), _RELATIVE, 1.0 - _RELATIVE)
    return np.unique(np.concatenate((inside, _BETWEEN)))


def _masses(shapes: Matrix, nodes: npt.NDArray[np.float64]) -> tuple[Matrix, Matrix]:
    """Return each posterior's mass between neighbouring nodes, and below the middle between them."""
    a, b = shapes[:, :1], shapes[:, 1:]
    logs = (a - 1.0) * np.log(nodes) + (b - 1.0) * np.log1p(-nodes)
    density = np.exp(logs - logs.max(axis=1, keepdims=True))
    steps = 0.5 * (density[:, 1:] + density[:, :-1]) * np.diff(nodes)
    steps /= steps.sum(axis=1, keepdims=True)
    return steps, np.cumsum(steps, axis=1) - 0.5 * steps
