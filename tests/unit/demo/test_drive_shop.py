"""The driver decides each visit once, hands feedback over in time, and stops when something fails."""

import threading
from collections.abc import Mapping

import pytest

from offer_optimizer.client.values import Decision
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.demo.drive_shop import ShopDriver
from offer_optimizer.demo.traffic import Traffic, plan_traffic


class FakeTime:
    """A clock that moves when somebody sleeps on it: each sleep advances it by a millisecond at most."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.lock = threading.Lock()

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now_s += min(seconds, 0.001)


class FakeClient:
    """Shows the coupon to everybody and keeps what it hears."""

    def __init__(self, time: FakeTime, fail_at: int | None = None) -> None:
        self.time = time
        self.fail_at = fail_at
        self.decided: dict[str, float] = {}
        self.feedback_at: list[tuple[str, str, float]] = []
        self.contexts: list[tuple[Mapping[str, str], Mapping[str, float]]] = []
        self.lock = threading.Lock()

    def decide(
        self, placement: str, *, visitor_id: str, categories: Mapping[str, str], numbers: Mapping[str, float]
    ) -> Decision:
        with self.lock:
            if len(self.decided) == self.fail_at:
                raise OfferOptimizerError("refused")
            name = f"d{len(self.decided)}"
            self.decided[name] = self.time.now_s
            self.contexts.append((categories, numbers))
        return Decision(name, "coupon-20", 0.5, "", "MODEL", "ab:7", 0.001, "service")

    def feedback(self, kind: str, *, decision_id: str | None) -> None:
        self.feedback_at.append((kind, decision_id or "", self.time.now_s))


def drive(client: FakeClient, time: FakeTime, traffic: Traffic, seconds: float = 2.0) -> ShopDriver:
    driver = ShopDriver(
        client, traffic, seconds=seconds, decisions_per_s=100.0, clock=time.clock, sleep=time.sleep
    )
    driver.run(lambda elapsed_s: None)
    return driver


def test_every_planned_visit_is_decided_once_and_all_its_answers_are_sent() -> None:
    time = FakeTime()
    client = FakeClient(time)
    traffic = plan_traffic(100, 5)
    run = drive(client, time, traffic).recorder.finish()
    assert run.visit.tolist() == list(range(100))
    planned = sorted(answer.kind for visit in range(100) for answer in traffic.answers(visit, "coupon-20"))
    assert sorted(kind for kind, _, _ in client.feedback_at) == planned
    assert len(planned) > 5
    assert set(client.contexts[0][0]) == {"channel", "device", "stage", "loyalty"}
    assert set(client.contexts[0][1]) == {"cart_value", "visit_number"}


def test_feedback_never_precedes_its_decision() -> None:
    time = FakeTime()
    client = FakeClient(time)
    drive(client, time, plan_traffic(100, 6))
    for kind, decision_id, at_s in client.feedback_at:
        assert at_s - client.decided[decision_id] >= (0.4 if kind == "conversion" else 0.05) - 1e-9


def test_the_run_ends_with_its_time_even_if_visits_are_left() -> None:
    time = FakeTime()
    client = FakeClient(time)
    driver = drive(client, time, plan_traffic(1000, 7), seconds=1.0)
    assert 50 <= len(driver.recorder.finish().visit) <= 103


def test_a_failing_worker_ends_the_run_with_its_error() -> None:
    time = FakeTime()
    with pytest.raises(OfferOptimizerError, match="refused"):
        drive(FakeClient(time, fail_at=20), time, plan_traffic(100, 8))


def test_a_watcher_that_raises_ends_the_run_and_its_threads() -> None:
    time = FakeTime()
    client = FakeClient(time)
    driver = ShopDriver(
        client,
        plan_traffic(10_000, 9),
        seconds=100.0,
        decisions_per_s=100.0,
        clock=time.clock,
        sleep=time.sleep,
    )

    def watch(elapsed_s: float) -> None:
        raise OfferOptimizerError("the service died")

    with pytest.raises(OfferOptimizerError, match="died"):
        driver.run(watch)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shop-")]
