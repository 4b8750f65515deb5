"""The draw: a keyed hash decides, so any logged choice can be derived again.

u = first 53 bits of BLAKE2b(key = salt, placement length | placement | decision_id | slot) / 2^53. The
choice is the first index at which the float64 cumulative sum of the *stored* float32 pmf exceeds u times its
total.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from offer_optimizer.core.decision import Pmf32

SALT_BYTES: Final = 32


def uniform(salt: bytes, placement_id: str, decision_id: bytes, slot: int) -> float:
    """Return the number in [0, 1) that belongs to this slot of this decision."""
    name = placement_id.encode()
    message = len(name).to_bytes(2, "big") + name + decision_id + slot.to_bytes(2, "big")
    digest = hashlib.blake2b(message, digest_size=8, key=salt).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def pick(pmf: Pmf32, u: float) -> tuple[int, float]:
    """Return the chosen index and its probability under the stored pmf, renormalised in float64."""
    cumulative = np.cumsum(pmf, dtype=np.float64)
    total = float(cumulative[-1])
    index = int(np.searchsorted(cumulative, u * total, side="right"))
    # u < 1, so the index is in range unless trailing zeros and rounding meet; then the last positive one.
    if index >= len(pmf) or pmf[index] <= 0.0:
        index = int(np.flatnonzero(pmf)[-1])
    return index, float(pmf[index]) / total
