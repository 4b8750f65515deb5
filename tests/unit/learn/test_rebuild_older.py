"""States that an earlier release wrote, laid out otherwise: the models in them are the rebuilt ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from offer_optimizer.core.catalog import PolicyChoice, ShadowChoice
from offer_optimizer.evaluate.shadow_judge import ShadowJudge
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.policy import ridge
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.shadow_file import ShadowState
from offer_optimizer.store.snapshots import Snapshot
from tests.unit.learn.histories import current
from tests.unit.learn.shadowed_service import ShadowedService, serve
from tests.unit.learn.worlds import WINDOW_S, catalog, placement, stored

LINEAR = PolicyChoice(name="linear", options={})


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Rebuilt, Snapshot, ShadowState]]:
    """Return a ledger's fold, and a model and a shadow as releases wrote them that kept whole covariances."""
    service = ShadowedService()
    part = placement(policy=LINEAR, shadows=(ShadowChoice(name="other", policy=LINEAR),))
    writer = service.writer(1)
    with monkeypatch.context() as before:
        before.setattr(ridge, "_lower", lambda squares: squares)
        service.apply(writer, stored(1, catalog(part)))
        service.run_for(0.1)
        serve(service, writer, part, range(30), lambda *_: 1.0)
        service.run_for(WINDOW_S + 2)
        service.learner.close()
    rebuilt = Rebuilt(service.ledger, service.learner.fold.position, lambda _done, _all: None)
    yield rebuilt, current(service, epoch_of(part).id), service.saved("other")
    rebuilt.close()


def test_an_older_layout_of_the_same_model_is_equal(
    older: tuple[Rebuilt, Snapshot, ShadowState],
) -> None:
    rebuilt, snapshot, shadow = older
    assert snapshot.learned_count == 30
    assert rebuilt.compare(snapshot).is_equal
    compared = rebuilt.compare_shadow(shadow, ShadowJudge)
    assert compared is not None
    assert compared.is_equal


def test_another_model_and_what_no_model_loads_from_are_not(
    older: tuple[Rebuilt, Snapshot, ShadowState],
) -> None:
    rebuilt, snapshot, shadow = older
    fewer = rebuilt.model(snapshot.policy_epoch, (snapshot.close_time_us - 10_000, 0))
    assert 0 < fewer.learned_count < 30
    for state in (fewer.policy.save(), b"", snapshot.state[:-1]):
        assert not rebuilt.compare(replace(snapshot, state=state)).is_equal
        compared = rebuilt.compare_shadow(replace(shadow, model=state), ShadowJudge)
        assert compared is not None
        assert not compared.is_equal
