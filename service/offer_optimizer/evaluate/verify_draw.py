"""The keyed draw, the mix and the walk over a pmf, written from docs/design.md, section 12, in plain Python.

An oracle for the decision path: it may not import what it judges, neither `decide` nor the service's own
draw. What always holds: floating point is done left to right in float64, so any reader gets the same.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Final

DIGEST_BYTES: Final = 8
FLOOR_RAISE: Final = 2.0**-20
SUM_TOLERANCE: Final = 2.0**-19
"""float32 rounds each entry by at most 2^-24 of it; policies are held to 1e-6 themselves."""
MIX_TOLERANCE: Final = 2.0**-22
"""Two roundings to float32, of the model's pmf and of the mix, relative."""


def draw_number(salt: bytes, placement_id: str, decision_id: bytes, slot: int) -> float:
    """Return u of a draw, in [0, 1)."""
    name = placement_id.encode()
    message = struct.pack(">H", len(name)) + name + decision_id + struct.pack(">H", slot)
    digest = hashlib.blake2b(message, key=salt, digest_size=DIGEST_BYTES).digest()
    return int(int.from_bytes(digest, "big") >> 11) / 2.0**53


def running_sum(pmf: Sequence[float]) -> list[float]:
    """Return the cumulative sums, left to right."""
    sums, total = [], 0.0
    for value in pmf:
        total += value
        sums.append(total)
    return sums


def walk(pmf: Sequence[float], u: float) -> int:
    """Return the first index whose cumulative sum exceeds u times the total. `pmf` has a positive total."""
    sums = running_sum(pmf)
    target = u * sums[-1]
    # u times the total may round up to the total itself: then it is the last offer that has any probability.
    last = max(index for index, value in enumerate(pmf) if value > 0.0)
    return next((index for index, reached in enumerate(sums) if reached > target), last)


def propensity_of(pmf: Sequence[float], index: int) -> float:
    """Return the value at an index, renormalised."""
    return pmf[index] / running_sum(pmf)[-1]


def is_distribution(pmf: Sequence[float]) -> bool:
    """Return whether the stored values are finite, not negative, and sum to one within float32's rounding."""
    if not pmf or not all(math.isfinite(value) and value >= 0.0 for value in pmf):
        return False
    return abs(running_sum(pmf)[-1] - 1.0) <= SUM_TOLERANCE


def mixed(model: Sequence[float], baseline: int | None, ramp: float, floor: float) -> list[float]:
    """Return what is served for a model's pmf: baseline and model by the ramp, then the floor."""
    raised = min(floor * (1.0 + FLOOR_RAISE), 1.0)
    share = raised / len(model)
    return [
        (1.0 - raised) * ((1.0 - ramp) * (index == baseline) + ramp * value) + share
        for index, value in enumerate(model)
    ]


def is_close(stored: float, derived: float) -> bool:
    """Return whether a stored float32 is what was derived, but for its rounding."""
    return abs(stored - derived) <= MIX_TOLERANCE * derived + 1e-37


def is_same(stored: float, derived: float) -> bool:
    """Return whether a stored float64 is what was derived, but for the last bits of one sum."""
    return abs(stored - derived) <= 2.0**-48 * derived
