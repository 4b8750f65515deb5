"""What tests of the learner do with a service in memory, and how they check what it published."""

from __future__ import annotations

from offer_optimizer.core.catalog import PolicyChoice
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import (
    PLACEMENT,
    decision_of,
    feedback_of,
    placement,
)

FIRST = placement()
SECOND = placement(policy=PolicyChoice(name="vw", options={"bits": 10, "learning_rate": 0.5}))
E1, E2 = epoch_of(FIRST).id, epoch_of(SECOND).id


def visit(
    service: ServiceInMemory, writer: Writer, number: int, epoch: bytes = E1, revision: int = 1
) -> None:
    """Record a decision and, for most, a click."""
    writer.decide(decision_of(number, service.clock_us, epoch=epoch, revision=revision), f"v{number % 7}")
    if number % 3:
        writer.hear(feedback_of("f", service.clock_us, decision=number, value=(number % 5) / 4))


def current(service: ServiceInMemory, epoch: bytes = E1) -> Snapshot:
    name = service.snapshots.current_name(PLACEMENT, epoch)
    assert name is not None
    return service.snapshots.load(PLACEMENT, name)


def check(service: ServiceInMemory) -> list[bool]:
    """Compare every current snapshot with the model rebuilt from the ledger's beginning."""
    rebuilt = Rebuilt(service.ledger, service.learner.fold.position, lambda _done, _all: None)
    comparisons = [rebuilt.compare(current(service, epoch)) for epoch in service.snapshots.epochs(PLACEMENT)]
    assert rebuilt.differing_rows(service.learner.tables) == []
    rebuilt.close()
    return [comparison.is_equal for comparison in comparisons]
