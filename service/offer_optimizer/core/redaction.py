"""What erasure leaves of a visitor's decisions and feedback: what others' figures need, and nobody's trace.

What always holds: under one secret the same gives the same, so an erasure that was cut short can be begun
again; keys and ids that were equal stay equal, and those that differed differ, so joins, fates
and clusters are what they were; once the secret is gone nobody can tell what stood there. Pure.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from offer_optimizer.core.decision import Decision, InlineCandidate
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.feedback import Feedback

SECRET_BYTES: Final = 32
_ID_PREFIX: Final = "erased-"


@dataclass(frozen=True, slots=True)
class Redaction:
    """How one erasure redacts. `secret` is random and thrown away with the erasure; `keys` are the visitor's.

    `shares` are all shares of holdouts that any catalog declared, ascending, with 0: a visitor's own number
    could be computed again from the id, so the largest share at or below it takes its place. It compares with
    every share as the number did.
    """

    secret: bytes
    keys: frozenset[int]
    shares: tuple[float, ...] = (0.0,)

    def key(self, visitor_key: int) -> int:
        """Return the key that takes the place of one: 63 bits; that of anybody else stays."""
        if visitor_key not in self.keys:
            return visitor_key
        digest = self._hash(b"key", visitor_key.to_bytes(8, "big"), 8)
        return int.from_bytes(digest, "big") >> 1

    def new_keys(self) -> Mapping[int, int]:
        """Return what takes the place of each key."""
        return {key: self.key(key) for key in sorted(self.keys)}

    def feedback_id(self, feedback_id: str) -> str:
        """Return what takes the place of an id of feedback: callers make them, and one may tell who."""
        if not feedback_id:
            return ""
        return _ID_PREFIX + self._hash(b"feedback", feedback_id.encode(), 12).hex()

    def decision(self, decision: Decision) -> Decision:
        """Return a decision without what tells of its visitor.

        Offers, pmf, propensity, counts that were read and times stay: rewards, caps and estimates need them.
        Of inline offers the ids and numbers stay, since reward formulas read these.
        """
        u = decision.holdout_u
        return replace(
            decision,
            context=EMPTY,
            request_digest=b"",
            body_digest=b"",
            holdout_u=None if u is None else self._share(u),
            inline=tuple(
                InlineCandidate(offer.offer_id, Features(numbers=offer.attributes.numbers))
                for offer in decision.inline
            ),
            erased=True,
        )

    def feedback(self, feedback: Feedback) -> Feedback:
        """Return an item under another id; kind, value and times stay."""
        return replace(
            feedback,
            feedback_id=self.feedback_id(feedback.feedback_id),
            retracts_feedback_id=self.feedback_id(feedback.retracts_feedback_id),
        )

    def _share(self, u: float) -> float:
        return self.shares[max(bisect_right(self.shares, u) - 1, 0)]

    def _hash(self, purpose: bytes, data: bytes, size: int) -> bytes:
        return hashlib.blake2b(data, digest_size=size, key=self.secret, person=purpose).digest()


def encode_decisions(decisions: Mapping[bytes, int]) -> bytes:
    """Return what the child answers: the visitor's archived decisions, ids with ledger positions."""
    return json.dumps({decision_id.hex(): at for decision_id, at in decisions.items()}).encode()


def decode_decisions(data: bytes) -> dict[bytes, int]:
    """Parse what encode_decisions wrote. Raises ValueError."""
    return {bytes.fromhex(decision_id): int(at) for decision_id, at in json.loads(data).items()}


def encode_redaction(redaction: Redaction) -> bytes:
    """Return what the child reads."""
    content = {
        "keys": sorted(redaction.keys),
        "secret": redaction.secret.hex(),
        "shares": redaction.shares,
    }
    return json.dumps(content).encode()


def decode_redaction(data: bytes) -> Redaction:
    """Parse what encode_redaction wrote."""
    content = json.loads(data)
    secret = bytes.fromhex(content["secret"])
    return Redaction(secret, frozenset(content["keys"]), tuple(content["shares"]))
