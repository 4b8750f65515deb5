"""What is said about the learner is what can be known from outside."""

from __future__ import annotations

import pytest

from offer_optimizer.client import ClientStats, Decision
from offer_optimizer.drive import learned
from offer_optimizer.drive.plan import Plan
from offer_optimizer.drive.replay import Outcome


@pytest.mark.parametrize(
    ("version", "position"), [("00ff:12", 12), ("", None), ("00ff:", None), ("00ff:-1", None)]
)
def test_a_position_is_what_follows_the_colon(version: str, position: int | None) -> None:
    assert learned.position_of(version) == position


def test_a_model_that_moved_and_one_that_did_not_are_told_apart() -> None:
    outcome = Outcome(matched=[(0, 1.0)] * 3)
    moved = learned.describe_learning(outcome, ClientStats(accepted=6), "e:10", "e:90")
    handed = "Handed to the learner: 3 matched rows, one `shown` and one `reward` each"
    assert moved == [
        f"{handed}; of 6 items the service accepted 6.",
        "The deciding model has learned up to ledger position 90 (before the drive: 10).",
    ]
    stood = learned.describe_learning(outcome, ClientStats(accepted=6), "e:10", "e:10")
    assert stood[1].startswith("The deciding model did not move")
    assert learned.describe_learning(outcome, ClientStats(), "e:10", "")[1].startswith("No model answered")


def test_lost_feedback_is_never_silent() -> None:
    lines = learned.describe_learning(Outcome(), ClientStats(invalid=1, dropped=2, waiting=3), "", "e:1")
    assert "1 refused, 2 dropped, 3 still waiting" in lines[1]


class Clockwork:
    """Time that only sleeping moves, and a service whose model version is the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def decide(self, placement: str, **_: object) -> Decision:
        version = f"e:{int(self.now * 10)}" if self.now < 3.9 else ""
        return Decision("d", "o", 0.5, "", "MODEL", version, 0.0, "service")

    def feedback(self, kind: str, **_: object) -> bool:
        raise AssertionError("waiting tells the service nothing")


@pytest.mark.parametrize(("window_s", "waited_s"), [(1.0, 4.0), (86400.0, learned.LONGEST_WAIT_S)])
def test_waiting_lasts_a_window_and_a_while_but_never_days(window_s: float, waited_s: float) -> None:
    works = Clockwork()
    version = learned.wait_for_learner(works, Plan("p", {}, window_s), clock=works.clock, sleep=works.sleep)
    assert works.now == pytest.approx(waited_s)
    assert version == "e:35"
