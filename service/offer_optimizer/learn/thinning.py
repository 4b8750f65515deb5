"""Which silent decisions are learned while a model lags: a lot that any reader can repeat. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

_PERSON: Final = b"thin silence"
_SCALE: Final = 2.0**-53


def is_kept(decision_id: bytes, probability: float) -> bool:
    """Return whether a decision is among the `probability` (in (0, 1]) of silent ones that are learned.

    The lot is a hash of the decision's id alone: independent of its draw, whose hash has a secret key, and of
    what came of it. Who is kept at a probability is kept at every greater one.
    """
    digest = hashlib.blake2b(decision_id, digest_size=8, person=_PERSON).digest()
    return (int.from_bytes(digest, "big") >> 11) * _SCALE < probability
