"""A decider that can't read the newest catalog follows models and counters all the same."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from offer_optimizer.app.in_force import InForce
from offer_optimizer.app.life import every
from offer_optimizer.core.errors import DamagedFile


def test_models_and_counters_are_followed_where_the_newest_catalog_is_damaged() -> None:
    seen: list[object] = []

    def refuse() -> None:
        raise DamagedFile("00000002.catalog", "its checksum does not match")

    prepared = cast("Any", SimpleNamespace(revision=1))
    in_force = InForce(
        store=cast("Any", SimpleNamespace(refresh=refuse)),
        shelf=cast("Any", SimpleNamespace(refresh=seen.append)),
        cache=cast("Any", SimpleNamespace(refresh=lambda: seen.append("cache"))),
        prepared=prepared,
    )
    with pytest.raises(DamagedFile):
        in_force.refresh()
    assert seen == [prepared, "cache"]
    assert in_force.prepared is prepared


def test_work_that_fails_the_same_way_again_is_logged_once() -> None:
    stop, rounds = threading.Event(), [0]

    def work() -> None:
        rounds[0] += 1
        if rounds[0] == 5:
            stop.set()
        raise DamagedFile("x", "first" if rounds[0] < 3 else "second")

    with structlog.testing.capture_logs() as logs:
        every(0.0, stop, work, "refresh").join(5.0)
    assert [entry["error"] for entry in logs] == ["x: first", "x: second"]
