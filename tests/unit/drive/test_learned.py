"""What is said about the learner is what the service says of its model."""

from __future__ import annotations

import pytest

from offer_optimizer.client import ClientStats, ModelInfo
from offer_optimizer.drive import learned
from offer_optimizer.drive.plan import Plan
from offer_optimizer.drive.replay import Outcome

FRESH = ModelInfo("vw", "00ff:5", 10)


def test_the_count_of_examples_is_the_difference_of_the_model() -> None:
    outcome = Outcome(matched=[(0, 1.0)] * 3)
    lines = learned.describe_learning(outcome, ClientStats(accepted=6), FRESH, ModelInfo("vw", "00ff:90", 13))
    assert lines[0].startswith("Handed to the learner: 3 matched rows, one `shown` and one `reward` each;")
    assert lines[0].endswith("of 6 items the service accepted 6.")
    assert "learned 3 examples" in lines[1]
    assert "has learned 13 in all (version 00ff:90)" in lines[1]


def test_rows_that_were_not_learned_are_never_silent() -> None:
    outcome = Outcome(matched=[(0, 1.0)] * 3)
    lines = learned.describe_learning(outcome, ClientStats(invalid=1, dropped=2, waiting=3), FRESH, FRESH)
    assert "1 refused, 2 dropped, 3 still waiting" in lines[1]
    assert lines[-1].startswith("3 matched rows were not learned")


def test_without_a_usable_model_nothing_is_claimed() -> None:
    lines = learned.describe_learning(Outcome(), ClientStats(), FRESH, ModelInfo("vw", "", 0))
    assert lines[-1].startswith("No usable model")


class Clockwork:
    """Time that only sleeping moves, and a model that learns an example a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def get_model(self, placement: str) -> ModelInfo:
        assert placement == "p"
        return ModelInfo("vw", "00ff:1", int(self.now))


@pytest.mark.parametrize(
    ("window_s", "wanted", "waited_s"),
    [(1.0, 3, 3.0), (1.0, 100, 7.0), (86400.0, 10**6, learned.LONGEST_WAIT_S)],
)
def test_waiting_ends_with_the_last_example_or_after_a_while_but_never_lasts_days(
    window_s: float, wanted: int, waited_s: float
) -> None:
    works = Clockwork()
    plan = Plan("p", {}, window_s)
    model = learned.wait_for_learner(works, plan, wanted, clock=works.clock, sleep=works.sleep)
    assert works.now == pytest.approx(waited_s)
    assert model.learned_count == int(waited_s)
