"""No failure of a round ends the learner, and none tells what was stored."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any, cast

from offer_optimizer.app.learner import _learn, _round


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


def test_a_learner_that_stays_behind_looks_at_the_catalog_once_all_the_same() -> None:
    done: list[str] = []
    stop = Event()

    def step() -> bool:
        done.append("round")
        if done.count("round") == 3:
            stop.set()
        return True

    learner = SimpleNamespace(step=step, give_up_round=done.append, is_behind=True, retry_s=0.0)
    life = SimpleNamespace(stop=stop)
    _learn(cast("Any", learner), cast("Any", life), lambda: done.append("tidy"), lambda: done.append("look"))
    assert done == ["round", "look", "round", "round"]
