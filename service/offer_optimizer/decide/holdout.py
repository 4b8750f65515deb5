"""The holdout: a threshold on a keyed hash, so that raising the share only adds visitors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

GLOBAL_SCOPE = "*"


@dataclass(frozen=True, slots=True)
class HoldoutRule:
    """Which share of visitors is held out, and within which scope they are chosen."""

    scope: str
    share: float

    def number(self, salt: bytes, digest: bytes) -> float | None:
        """Return the visitor's number in [0, 1); None without a holdout or without an id."""
        if self.share <= 0.0 or not digest:
            return None
        name = self.scope.encode()
        message = len(name).to_bytes(2, "big") + name + digest
        hashed = hashlib.blake2b(message, digest_size=8, key=salt).digest()
        return (int.from_bytes(hashed, "big") >> 11) * 2.0**-53


def holdout_rule(placement_id: str, own: float | None, of_catalog: float) -> HoldoutRule:
    """Return the rule of a placement: its own share where it declares one, else the catalog's."""
    return HoldoutRule(GLOBAL_SCOPE, of_catalog) if own is None else HoldoutRule(placement_id, own)
