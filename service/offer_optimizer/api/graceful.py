"""How a server ends without breaking a page."""

from __future__ import annotations

import time

from offer_optimizer.api.server import Edge


def drain(edge: Edge, grace_s: float, lead_s: float = 0.0) -> None:
    """Turn readiness off, serve for `lead_s` more, take no more calls, and wait for running ones to end.

    In the lead whoever watches readiness sends calls elsewhere. Running calls have `grace_s`.
    """
    edge.readiness.set(False)
    if lead_s:
        time.sleep(lead_s)
    edge.server.stop(grace_s).wait()
