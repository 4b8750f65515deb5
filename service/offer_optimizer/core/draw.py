"""The draw: a keyed hash decides, so any logged choice can be derived again.

u = first 53 bits of BLAKE2b(key = salt, placement length | placement | decision_id | slot) / 2^53. The
choice is the first index at which the float64 cumulative sum of the *stored* float32 pmf exceeds u times its
total.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

from offer_optimizer.core.decision import Pmf32


def uniform(salt: bytes, placement_id: str, decision_id: bytes, slot: int) -> float:
    """Return the number in [0, 1) that belongs to this slot of this decision."""
    hashed = _begun(salt, placement_id).copy()
    hashed.update(decision_id + slot.to_bytes(2, "big"))
    return (int.from_bytes(hashed.digest(), "big") >> 11) * 2.0**-53


@lru_cache(maxsize=256)
def _begun(salt: bytes, placement_id: str) -> hashlib.blake2b:
    """Return the hash that knows salt and placement, for others to copy."""
    name = placement_id.encode()
    return hashlib.blake2b(len(name).to_bytes(2, "big") + name, digest_size=8, key=salt)


def pick(pmf: Pmf32, u: float) -> tuple[int, float]:
    """Return the chosen index and its probability under the stored pmf, renormalised in float64."""
    stored = pmf.tolist()
    # Plain sums: for this many offers quicker than numpy's, and the ones that any reader gets.
    cumulative = list(accumulate(stored))
    total = cumulative[-1]
    index = bisect_right(cumulative, u * total)
    if index == len(stored):
        # u < 1, so only where rounding makes u * total the total: then the last positive one.
        index = max(at for at, probability in enumerate(stored) if probability > 0.0)
    return index, stored[index] / total
