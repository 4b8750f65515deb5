"""The rank-one update of a matrix, by scipy's BLAS: in one pass, in place, without a matrix in between.

Apart, because only who learns needs it: scipy takes a quarter as long to load as all else of a decider.
What always holds: that BLAS, which is not numpy's, runs on one thread from here on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dger

from offer_optimizer.policy.one_thread import limit_loaded

# `use_one_thread` has looked for libraries before this one was there.
limit_loaded()


def subtract_square(matrix: npt.NDArray[np.float64], vector: npt.NDArray[np.float64]) -> None:
    """Subtract vector x vector from a symmetric, C-contiguous matrix of float64, in place."""
    # The transpose is the same matrix, in the order that BLAS writes to.
    dger(-1.0, vector, vector, a=matrix.T, overwrite_a=1)
