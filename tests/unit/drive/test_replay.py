"""The replay against services that live in the test: what is sent, what counts, when it gives up."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping

import pytest

from offer_optimizer.client import Decision, RequestRejected
from offer_optimizer.drive.errors import DriveFailed
from offer_optimizer.drive.plan import Plan
from offer_optimizer.drive.replay import LOST_ROWS_IN_A_ROW, Outcome, Pace, Replay
from offer_optimizer.drive.summary import summarise
from offer_optimizer.drive.table import Row, Table

ONE_WORKER = Pace(100.0, 1)
PLAN = Plan("p", {"A": "drive-a", "B": "drive-b"}, 1.0)


class FakeDecider:
    """Chooses with a function of the question's number; keeps what it was asked and told."""

    def __init__(self, choose: Callable[[int], str | None], *, recorded: bool = True) -> None:
        self.choose = choose
        self.recorded = recorded
        self.asked: list[tuple[str, str, Mapping[str, str], Mapping[str, float], bool]] = []
        self.told: list[tuple[str, str | None, float | None]] = []
        self.lock = threading.Lock()

    def decide(
        self,
        placement: str,
        *,
        visitor_id: str = "",
        categories: Mapping[str, str] | None = None,
        numbers: Mapping[str, float] | None = None,
        deferred: bool = False,
        timeout_s: float | None = None,
    ) -> Decision:
        with self.lock:
            self.asked.append((placement, visitor_id, categories or {}, numbers or {}, deferred))
            offer = self.choose(len(self.asked))
        if offer is None:
            return Decision(None, "drive-a", None, "", "UNAVAILABLE", "", 0.0, "client_baseline")
        decision_id = f"d-{visitor_id}" if self.recorded else None
        return Decision(decision_id, offer, 0.5, "", "MODEL", "ab:7", 0.0, "service")

    def feedback(self, kind: str, *, decision_id: str | None = None, value: float | None = None) -> bool:
        with self.lock:
            self.told.append((kind, decision_id, value))
        return True


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 50.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def make_rows(count: int) -> list[Row]:
    return [
        Row(n, "A" if n % 2 else "B", float(n), {"city": f"c{n}"}, {"age": float(n)})
        for n in range(1, count + 1)
    ]


def run(
    service: FakeDecider, rows: list[Row], *, pace: Pace = ONE_WORKER, time: FakeTime | None = None
) -> Outcome:
    time = time or FakeTime()
    replay = Replay(
        service, PLAN, rows, pace=pace, clock=time.clock, sleep=time.sleep, progress=lambda outcome: None
    )
    return replay.run()


def test_only_a_row_whose_own_arm_was_chosen_tells_its_reward() -> None:
    service = FakeDecider(lambda number: "drive-a")
    outcome = run(service, make_rows(4))
    assert service.told == [
        ("shown", "d-row-1", None),
        ("reward", "d-row-1", 1.0),
        ("shown", "d-row-3", None),
        ("reward", "d-row-3", 3.0),
    ]
    assert outcome.matched == [(0, 1.0), (2, 3.0)]
    assert outcome.offers == {"drive-a": 4}
    assert (outcome.done, outcome.unanswered.total(), outcome.model_version) == (4, 0, "ab:7")


def test_every_row_is_one_visitor_decided_deferred_with_its_features() -> None:
    service = FakeDecider(lambda number: "drive-b")
    run(service, make_rows(2))
    assert service.asked == [
        ("p", "row-1", {"city": "c1"}, {"age": 1.0}, True),
        ("p", "row-2", {"city": "c2"}, {"age": 2.0}, True),
    ]


def test_rows_are_due_at_their_own_time() -> None:
    time = FakeTime()
    outcome = run(FakeDecider(lambda number: "drive-a"), make_rows(5), pace=Pace(10.0, 1), time=time)
    assert time.slept == pytest.approx([0.1] * 4)
    assert outcome.elapsed_s == pytest.approx(0.4)


def test_a_slow_answer_does_not_push_later_rows_back() -> None:
    time = FakeTime()

    def choose(number: int) -> str:
        time.now += 0.25 if number == 1 else 0.0
        return "drive-a"

    run(FakeDecider(choose), make_rows(5), pace=Pace(10.0, 1), time=time)
    assert time.slept == pytest.approx([0.05, 0.1])


def test_the_clients_own_baseline_is_never_a_match() -> None:
    service = FakeDecider(lambda number: None if number <= 3 else "drive-a")
    outcome = run(service, make_rows(5))
    assert outcome.unanswered == {"UNAVAILABLE": 3}
    assert outcome.matched == [(4, 5.0)]


def test_an_unrecorded_answer_is_counted_apart_and_is_no_match() -> None:
    service = FakeDecider(lambda number: "drive-a", recorded=False)
    outcome = run(service, make_rows(3))
    assert (outcome.unrecorded, outcome.matched, service.told) == (3, [], [])


def test_a_service_that_is_gone_ends_the_drive() -> None:
    service = FakeDecider(lambda number: "drive-a" if number <= 10 else None)
    with pytest.raises(
        DriveFailed, match=r"50 rows in a row got no answer \(the last: UNAVAILABLE\); 60 rows"
    ):
        run(service, make_rows(1000))
    assert len(service.asked) == 10 + LOST_ROWS_IN_A_ROW


def test_a_short_outage_is_survived() -> None:
    service = FakeDecider(lambda number: None if number % LOST_ROWS_IN_A_ROW else "drive-a")
    outcome = run(service, make_rows(200))
    assert (outcome.done, outcome.unanswered.total()) == (200, 196)


def test_a_rejected_row_ends_all_workers() -> None:
    def choose(number: int) -> str:
        if number == 20:
            raise RequestRejected("INVALID_ARGUMENT", "", "context: too much")
        return "drive-a"

    service = FakeDecider(choose)
    with pytest.raises(RequestRejected, match="too much"):
        run(service, make_rows(100_000), pace=Pace(1e9, 4))
    assert len(service.asked) < 100_000


def test_many_workers_drive_every_row_once() -> None:
    service = FakeDecider(lambda number: "drive-a")
    outcome = run(service, make_rows(500), pace=Pace(1e9, 8))
    assert sorted(visitor for _, visitor, *_ in service.asked) == sorted(f"row-{n}" for n in range(1, 501))
    assert len(outcome.matched) == 250
    assert sorted(outcome.matched) == [(n - 1, float(n)) for n in range(1, 501, 2)]


def test_choosing_uniformly_reproduces_the_mean_of_the_arms() -> None:
    """Seeded; the matched mean is within 4 of its standard errors: false alarms in 6 of 100,000 seeds."""
    chance = random.Random(20)
    rates = {"A": 0.2, "B": 0.6}
    assigned = [chance.choice("AB") for _ in range(4000)]
    rows = tuple(
        Row(n, arm, float(chance.random() < rates[arm]), {}, {}) for n, arm in enumerate(assigned, start=1)
    )
    service = FakeDecider(lambda number: chance.choice(["drive-a", "drive-b"]))
    outcome = run(service, list(rows), pace=Pace(1e9, 1))
    summary = summarise(Table(rows, ("A", "B"), frozenset()), outcome.matched)
    assert summary.matched.mean is not None
    assert summary.matched.se is not None
    assert 1800 < summary.matched.n < 2200
    assert abs(summary.matched.mean - summary.uniform) < 4 * summary.matched.se


def test_always_choosing_one_arm_gives_exactly_its_mean() -> None:
    rows = tuple(make_rows(101))
    summary = summarise(
        Table(rows, ("A", "B"), frozenset()), run(FakeDecider(lambda n: "drive-b"), list(rows)).matched
    )
    assert summary.matched == summary.arms["B"]
