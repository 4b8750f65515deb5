"""How a server ends without breaking a page."""

from __future__ import annotations

from offer_optimizer.api.server import Edge


def drain(edge: Edge, grace_s: float) -> None:
    """Turn readiness off, take no more calls, and return when running ones ended or `grace_s` have passed."""
    edge.readiness.set(False)
    edge.server.stop(grace_s).wait()
