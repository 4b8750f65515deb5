"""What is loaded to be asked only answers as the whole model does, whatever it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.core.features import EMPTY
from offer_optimizer.policy import members, registry
from offer_optimizer.policy.contract import Action
from tests.policies.test_auto import STALL, stall, wide
from tests.policies.test_conformance import LEARNERS, Case
from tests.policies.worlds import BASELINE, OFFERS, draw_examples, features

every_learner = pytest.mark.parametrize("case", LEARNERS, ids=str)
NEW = (*OFFERS, Action("never seen", OFFERS[0].attributes))


@every_learner
def test_it_answers_what_the_whole_model_answers(case: Case) -> None:
    policy = case.create()
    for example in draw_examples(600, seed=3):
        policy.learn(example)
    asked = registry.load_asked(case.name, case.options, BASELINE, policy.save())
    for context in (EMPTY, features(device="mobile"), features(device="tablet")):
        for offers in (OFFERS, NEW):
            assert np.array_equal(asked.pmf(context, offers), policy.pmf(context, offers))


def test_auto_loads_whoever_has_a_share_in_the_answer() -> None:
    policy = registry.create("auto", {}, ())
    seen = set()
    for step, example in enumerate(stall(400)):
        policy.learn(example)
        if step % 10 == 0:
            asked = registry.load_asked("auto", {}, (), policy.save())
            seen.add((asked._linear is None, asked._vw is None))  # type: ignore[attr-defined]
            assert np.array_equal(asked.pmf(example.context, STALL), policy.pmf(example.context, STALL))
    assert seen == {(False, True), (False, False), (True, False)}


def test_auto_answers_alike_past_the_sizes_of_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "DENSE_NUMBERS", 16 * 40 * 40)
    policy = registry.create("auto", {}, ())
    for step in range(300):
        policy.learn(wide(step))
    asked = registry.load_asked("auto", {}, (), policy.save())
    assert np.array_equal(asked.pmf(EMPTY, OFFERS), policy.pmf(EMPTY, OFFERS))


@pytest.mark.parametrize("name", ["auto", "linear"])
def test_what_is_not_whole_neither_learns_nor_is_saved(name: str) -> None:
    example = draw_examples(1, seed=1)[0]
    asked = registry.load_asked(name, {}, (), registry.create(name, {}, ()).save())
    with pytest.raises(PolicyFault, match="asked only"):
        asked.learn(example)
    with pytest.raises(PolicyFault, match="asked only"):
        asked.save()
