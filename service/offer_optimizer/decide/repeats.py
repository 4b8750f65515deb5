"""Repeats: a request seen before, or a visitor whose last decision still sticks, get the first answer again.

No record, no count, no draw: so a repeat never changes a logged propensity.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.decide.requests import DecideInput
from offer_optimizer.store.hot_cache import REPEAT_US, Recent


class RepeatView(Protocol):
    """The part of the hot cache that is read here."""

    def recent(self, decision_id: bytes) -> Recent | None:
        """Return a decision of the last 30 minutes."""
        ...

    def find_request(self, request_digest: bytes) -> tuple[bytes, bytes] | None:
        """Return decision id and body digest of a request of the last 30 minutes."""
        ...

    def newest_decision(self, placement_id: str, digest: bytes) -> Recent | None:
        """Return a visitor's newest decision at a placement."""
        ...


def request_digests(request: DecideInput, digest: bytes) -> tuple[bytes, bytes]:
    """Return the digests of placement and request_id and of the body; empty without a request_id."""
    if not request.request_id:
        return b"", b""
    name = request.placement_id.encode()
    key = len(name).to_bytes(2, "big") + name + request.request_id.encode()
    body = repr(
        (
            digest,
            int(request.consent),
            request.context,
            request.deferred,
            request.candidates,
            request.exclude_offer_ids,
        )
    )
    return _hash(key), _hash(body.encode())


def find_retried(view: RepeatView, digests: tuple[bytes, bytes], now_us: int) -> Recent | None:
    """Return the decision that a request_id got first. Raises InvalidInput for another body under it."""
    request_digest, body_digest = digests
    found = view.find_request(request_digest) if request_digest else None
    if found is None:
        return None
    decision_id, first_body = found
    if first_body != body_digest:
        raise InvalidInput("request_id", "was used at this placement with another request; use a new one")
    recent = view.recent(decision_id)
    return recent if recent is not None and now_us - recent.time_us < REPEAT_US else None


def find_sticky(
    view: RepeatView, placement_id: str, digest: bytes, sticky_us: int, now_us: int
) -> Recent | None:
    """Return the visitor's newest decision at a placement while it sticks.

    Whether its offer may still be shown is the caller's to check.
    """
    newest = view.newest_decision(placement_id, digest) if sticky_us and digest else None
    # Without a record: made before the placement was sticky, under an earlier revision.
    if newest is None or not (newest.offer_id and newest.record) or now_us - newest.time_us >= sticky_us:
        return None
    return newest


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
