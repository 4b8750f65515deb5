"""Models that are verified and written beside learning: none twice, none after it was given up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

import pytest

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.contract import Action
from offer_optimizer.store.codec import Epoch
from tests.unit.learn import service_in_memory
from tests.unit.learn.histories import FIRST, check, current, visit
from tests.unit.learn.service_in_memory import ServiceInMemory, Writer
from tests.unit.learn.worlds import WINDOW_S, catalog, stored

P = ParamSpec("P")
T = TypeVar("T")


class Later(Executor):
    """Runs what it was given when told to, or when somebody waits for it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        future: Future[T] = Awaited(self.run)

        def carry_out() -> None:
            try:
                future.set_result(work(*arguments, **named))
            except PolicyFault as error:
                future.set_exception(error)

        self.waiting.append(carry_out)
        return future

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Awaited(Future[T]):
    """A future whose executor goes on once somebody waits for it: no test waits for ever."""

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self._run = run

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._run()
        return super().exception(timeout)


class Failing:
    """A verifier that fails as often as it is told to."""

    def __init__(self, whole: service_in_memory.LocalVerifier) -> None:
        self.whole = whole
        self.failing = 0

    def canary_pmf(self, epoch: Epoch, state: bytes, actions: tuple[Action, ...]) -> Pmf64:
        if self.failing:
            self.failing -= 1
            raise PolicyFault("made to fail")
        return self.whole.canary_pmf(epoch, state, actions)


class Beside(ServiceInMemory):
    """A service that publishes beside learning."""

    def __init__(self) -> None:
        self.later = Later()
        super().__init__()
        self.failing = Failing(self.verifier)
        publisher = self.learner.publisher
        publisher.executor, publisher.verifier = self.later, self.failing


@pytest.fixture
def service() -> Beside:
    return Beside()


@pytest.fixture
def writer(service: Beside) -> Writer:
    made = service.writer(1)
    service.apply(made, stored(1, catalog(FIRST)))
    return made


def learned(service: Beside, writer: Writer, number: int) -> None:
    visit(service, writer, number)
    service.run_for(WINDOW_S + 2)


def test_a_model_on_its_way_is_not_saved_again_and_the_next_one_is_what_was_learned_since(
    service: Beside, writer: Writer
) -> None:
    learned(service, writer, 1)
    assert len(service.later.waiting) == 1
    learned(service, writer, 2)
    assert len(service.later.waiting) == 1
    service.later.run()
    assert current(service).learned_count == 1
    service.run_for(0.2)
    service.later.run()
    assert current(service).learned_count == 2
    assert check(service) == [True]


def test_one_that_could_not_be_verified_is_tried_again_and_nothing_else_is_held_up(
    service: Beside, writer: Writer
) -> None:
    service.failing.failing = 1
    learned(service, writer, 1)
    service.later.run()
    assert service.snapshots.placements() == []
    learned(service, writer, 2)
    service.later.run()
    assert current(service).learned_count == 2


def test_before_it_stops_a_learner_waits_for_what_is_on_its_way_and_publishes_what_came_since(
    service: Beside, writer: Writer
) -> None:
    learned(service, writer, 1)
    learned(service, writer, 2)
    service.learner.close()
    assert current(service).learned_count == 2
    assert service.later.waiting == []


def test_whoever_takes_the_models_of_now_for_a_base_finds_none_on_its_way(
    service: Beside, writer: Writer
) -> None:
    """An erasure takes out of the ledger what they learned: an older one must not be written behind it."""
    learned(service, writer, 1)
    assert service.later.waiting
    assert service.learner._model_rows() != []
    assert service.later.waiting == []


def test_a_rollback_finds_none_on_its_way(service: Beside, writer: Writer) -> None:
    learned(service, writer, 1)
    assert service.later.waiting
    service.learner.fold.steering.count += 1
    service.run_for(0.1)
    assert service.snapshots.placements() != []


@pytest.mark.parametrize("failing", [0, 1])
def test_what_becomes_of_one_on_its_way_says_nothing_of_the_model_that_took_its_place(
    service: Beside, writer: Writer, failing: int
) -> None:
    """Both may have met the same examples, of which they learned others."""
    service.failing.failing = failing
    learned(service, writer, 1)
    (pair,) = service.learner._models.pairs.values()
    publisher = service.learner.publisher
    publisher.note_unpublished(pair.serving)
    service.later.run()
    assert [model is pair.serving for model, _ in publisher.collect()] == [True] * failing
    assert publisher.has_news(pair.serving)
    service.run_for(0.1)
    assert len(service.later.waiting) == 1
    service.later.run()
    publisher.collect()
    assert not publisher.has_news(pair.serving)
