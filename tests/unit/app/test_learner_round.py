"""No failure of a round ends the learner, and none tells what was stored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from offer_optimizer.app.learner import _round


def test_whatever_a_round_raises_is_a_failed_round_that_names_no_value() -> None:
    problems: list[str] = []

    def step() -> bool:
        raise KeyError("visitor-7")

    learner = SimpleNamespace(step=step, give_up_round=problems.append, is_behind=False)
    assert not _round(cast("Any", learner))
    (problem,) = problems
    assert problem.startswith("KeyError in ")
    assert "visitor-7" not in problem
    assert "step" in problem
