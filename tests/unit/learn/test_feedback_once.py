"""Applied once: whatever is sent how often, by whom and in which order, the model is that of each item once.

The learner is the composed one, on a disk in memory. One oracle judges by the rule of the design which items
are in time; the other drops every repetition, in ledger order, and asks a fresh fold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.learn.parking import PARKED_US
from offer_optimizer.learn.trainer import Trainer, initial_model
from offer_optimizer.store.codec import RecordKind, Tick
from offer_optimizer.store.ledger import Ledger
from tests.conftest import Size
from tests.unit.learn.histories import E1, FIRST, check, current
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import (
    START_US,
    WINDOW_S,
    WINDOW_US,
    World,
    catalog,
    decision_of,
    feedback_of,
    stored,
)

CLIENTS = 8
ITEMS_EACH = 4
"""Items of feedback of one decision."""
ROUND_S = 1.0
SECOND_US = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What happens when, in microseconds: decisions by journalling, and items by sending."""

    decisions: list[tuple[int, Decision]]
    sendings: list[tuple[int, Feedback]]
    item_count: int


def make_plan(item_count: int) -> Plan:
    """Return a plan: most items come in time, some before their decision, some after its window.

    A twentieth of the decisions is journalled some seconds late, and every hundredth twenty minutes late.
    """
    chance = np.random.default_rng(41)
    decisions, sendings = [], []
    for number in range(item_count // ITEMS_EACH):
        decide_us = START_US + SECOND_US + int(chance.integers(0, 60 * SECOND_US))
        late_us = int(chance.integers(0, 8 * SECOND_US)) if chance.random() < 0.05 else 0
        late_us = 1200 * SECOND_US if number % 100 == 50 else late_us
        decisions.append((decide_us + late_us, decision_of(number, decide_us, epoch=E1)))
        for name in range(ITEMS_EACH):
            first_us = decide_us + int(chance.integers(1, round(1.2 * WINDOW_US)))
            value = float(chance.integers(0, 5)) / 4
            for _ in range(int(chance.integers(1, 6))):
                again_us = int(chance.integers(0, 20 * SECOND_US))
                item = feedback_of(f"f{name}", 0, decision=number, value=value)
                sendings.append((first_us + again_us, item))
    decisions.sort(key=lambda pair: pair[0])
    order = chance.permutation(len(sendings))
    sent = sorted((sendings[at] for at in order), key=lambda pair: pair[0] // SECOND_US)
    return Plan(decisions, sent, item_count // ITEMS_EACH * ITEMS_EACH)


def play(plan: Plan) -> ServiceInMemory:
    """Let eight clients send all of it, each through a process of its own, while the learner runs."""
    chance = np.random.default_rng(42)
    service = ServiceInMemory()
    service.publish_interval_us = 10**15
    service.start()
    writers = [service.writer(number) for number in range(CLIENTS)]
    service.apply(writers[0], stored(1, catalog(FIRST)))
    decisions, sendings = plan.decisions[::-1], plan.sendings[::-1]
    while decisions or sendings:
        until_us = service.clock_us + round(ROUND_S * 1e6)
        batches: dict[int, list[tuple[bytes, Feedback]]] = {}
        while decisions and decisions[-1][0] < until_us:
            writers[int(chance.integers(CLIENTS))].decide(decisions.pop()[1])
        while sendings and sendings[-1][0] < until_us:
            item = sendings.pop()[1]
            stamped = feedback_of(
                item.feedback_id,
                service.clock_us + int(chance.integers(1, 900_000)),
                decision=int.from_bytes(item.decision_id, "big"),
                value=item.value,
            )
            batches.setdefault(int(chance.integers(CLIENTS)), []).append((b"", stamped))
        send(writers, batches)
        service.run_for(ROUND_S if sendings or len(decisions) == 0 else 20.0)
    service.run_for(WINDOW_S + 2)
    service.learner.publish_all()
    return service


def send(writers: list[Writer], batches: dict[int, list[tuple[bytes, Feedback]]]) -> None:
    """Let each client send its batch."""
    for number, batch in batches.items():
        writers[number].inbox.append_durable(batch)


class Oracle:
    """Says by the rule of the design, and nothing of the fold's, how often each fate is due."""

    def __init__(self) -> None:
        self.fates: Counter[Fate] = Counter()
        self._closes_us: dict[bytes, int] = {}
        self._seen: set[tuple[bytes, str]] = set()
        self._waiting: dict[bytes, list[tuple[str, int]]] = {}
        self._time_us = 0

    def tick(self, time_us: int) -> None:
        """Advance ledger time: what has waited for ten minutes is unknown."""
        self._time_us = time_us
        for decision_id, items in self._waiting.items():
            left = [item for item in items if item[1] + PARKED_US > time_us]
            self.fates[Fate.UNKNOWN] += len(items) - len(left)
            self._waiting[decision_id] = left

    def decide(self, decision: Decision) -> None:
        """Let a decision come, and judge what waited for it."""
        self._closes_us[decision.decision_id] = max(decision.decide_time_us, self._time_us) + WINDOW_US
        for name, arrival_us in self._waiting.pop(decision.decision_id, []):
            self._take(decision.decision_id, name, arrival_us)

    def hear(self, item: Feedback) -> None:
        """Let an item come."""
        arrival_us = max(item.receive_time_us, self._time_us)
        if item.decision_id in self._closes_us:
            self._take(item.decision_id, item.feedback_id, arrival_us)
        else:
            self._waiting.setdefault(item.decision_id, []).append((item.feedback_id, arrival_us))

    def _take(self, decision_id: bytes, name: str, arrival_us: int) -> None:
        if (decision_id, name) in self._seen:
            self.fates[Fate.DUPLICATE] += 1
            return
        self._seen.add((decision_id, name))
        self.fates[Fate.APPLIED if arrival_us < self._closes_us[decision_id] else Fate.LATE] += 1


def expected_fates(ledger: Ledger) -> Counter[Fate]:
    """Return how often each fate is due."""
    oracle = Oracle()
    for record in ledger.records():
        match record.body():
            case Tick(time_us=time_us):
                oracle.tick(time_us)
            case Decision() as decision:
                oracle.decide(decision)
            case Feedback() as item:
                oracle.hear(item)
    return +oracle.fates


def model_of_each_once(ledger: Ledger) -> str:
    """Return the SHA-256 of the model that learns from the ledger without its repetitions, in its order."""
    world = World()
    seen: set[tuple[bytes, str]] = set()
    for record in ledger.records():
        body = record.body()
        if isinstance(body, Feedback):
            key = (body.decision_id, body.feedback_id)
            if key in seen:
                continue
            seen.add(key)
        if isinstance(body, Decision):
            taken = world.ledger.append_decision(body.decision_id, record.data, None)
        else:
            taken = world.ledger.append(RecordKind(record.kind), record.data, None)
        world.fold.apply(taken)
    epoch = world.fold.revisions.epoch(E1)
    assert epoch is not None
    model = initial_model(epoch)
    trainer = Trainer(world.ledger, world.tables, world.fold.revisions)
    while trainer.teach(model):
        pass
    return hashlib.sha256(model.policy.save()).hexdigest()


@pytest.mark.timeout(900)
def test_applied_is_what_is_distinct_and_in_time_and_the_model_is_that_of_each_item_once(
    size: Size, figure: Callable[[str], None]
) -> None:
    """Each item is sent one to five times by eight clients in random order, some early and some late."""
    plan = make_plan(size.pick(test=2_000, ci=10_000, proof=100_000))
    service = play(plan)
    found = service.learner.tables.fate_counts()
    expected = expected_fates(service.ledger)
    assert found == dict(expected)
    assert expected.total() == len(plan.sendings)
    for fate in (Fate.APPLIED, Fate.DUPLICATE, Fate.LATE, Fate.UNKNOWN):
        assert found[fate] > plan.item_count / 500, f"hardly any {fate.name}: the plan is too tame"
    early_count = service.connection.execute(
        "SELECT COUNT(*) FROM fate WHERE settled_position IS NOT NULL AND fate <> ?", (int(Fate.UNKNOWN),)
    ).fetchone()[0]
    assert early_count > plan.item_count / 500, "hardly anything came before its decision"
    assert check(service) == [True]
    model = hashlib.sha256(current(service).state).hexdigest()
    assert model == model_of_each_once(service.ledger)
    figure(
        f"{plan.item_count} items sent {len(plan.sendings)} times by {CLIENTS} clients: applied "
        f"{found[Fate.APPLIED]} = distinct in time, late {found[Fate.LATE]}, unknown {found[Fate.UNKNOWN]}, "
        f"{early_count} before their decision; the model's SHA-256, {model[:16]}, is that of each item once"
    )
