"""A revision that an older release took, and this one would refuse, is told of and stays in force."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from offer_optimizer.app.catalog_check import check_in_force
from offer_optimizer.core.errors import InvalidInput
from tests.unit.store.test_catalog_store import DOCUMENT, Bench, check_policy

WITH_POLICY = DOCUMENT.replace("none]}", "none], policy: {name: vw}}")


def stricter(name: str, _options: dict[str, Any]) -> None:
    raise InvalidInput("policy.name", f"{name} is not a policy any more")


def test_what_this_release_refuses_is_logged_line_by_line_and_stays_in_force() -> None:
    bench = Bench()
    bench.store.apply(WITH_POLICY, 0)
    with capture_logs() as logs:
        (problem,) = check_in_force(bench.another(), stricter)
    assert "not a policy any more" in problem
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("catalog_not_taken_today", "warning")
    assert (line["revision"], line["problems"], line["problem_count"]) == (1, (problem,), 1)
    assert bench.another().current().revision == 1


def test_nothing_is_said_of_a_sound_revision_of_none_and_of_a_damaged_one() -> None:
    bench = Bench()
    with capture_logs() as logs:
        assert check_in_force(bench.store, check_policy) == ()
        bench.store.apply(WITH_POLICY, 0)
        assert check_in_force(bench.another(), check_policy) == ()
        bench.files.replace(bench.store._path(1), b"no catalog", "damage")
        assert check_in_force(bench.another(), stricter) == ()
    assert logs == []
