"""Which models keep what they learned as words: what docs/privacy.md says of each policy."""

from __future__ import annotations

import pytest

from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Action, Example


@pytest.mark.parametrize(
    ("name", "keeps"), [("linear", True), ("auto", True), ("vw", False), ("thompson", False)]
)
def test_words_of_contexts_are_kept_by_linear_and_auto_alone(name: str, keeps: bool) -> None:
    model = registry.create(name, {}, ())
    context = Features(categories=(("mail", "ann@example.org"),))
    model.learn(Example(context, (Action("a", EMPTY), Action("b", EMPTY)), 0, 0.5, 1.0, 1.0))
    assert (b"ann@example.org" in model.save()) == keeps
    model.close()
