"""Readiness comes and goes; liveness stays."""

from __future__ import annotations

from offer_optimizer.api.health import LIVENESS, Readiness

SERVING, NOT_SERVING = 1, 2


def test_readiness_starts_off_and_is_told_for_the_server_and_each_service() -> None:
    told: dict[str, int] = {}
    readiness = Readiness(("a.A", "b.B"), told.__setitem__)
    assert told == {"": NOT_SERVING, "a.A": NOT_SERVING, "b.B": NOT_SERVING, LIVENESS: SERVING}
    readiness.set(True)
    assert readiness.ready
    assert set(told.values()) == {SERVING}
    readiness.set(False)
    assert told == {"": NOT_SERVING, "a.A": NOT_SERVING, "b.B": NOT_SERVING, LIVENESS: SERVING}
