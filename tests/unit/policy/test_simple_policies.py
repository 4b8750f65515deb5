"""The policies without a model."""

from __future__ import annotations

from offer_optimizer.core.features import EMPTY
from offer_optimizer.policy.baseline import BaselinePolicy
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.uniform import UniformPolicy

A, B, C = (Action(name, EMPTY) for name in "abc")


def test_uniform_gives_every_offer_the_same() -> None:
    assert UniformPolicy().pmf(EMPTY, (A, B, C)).tolist() == [1 / 3] * 3


def test_baseline_takes_the_first_of_its_list_that_is_offered() -> None:
    policy = BaselinePolicy(("x", "c", "b"))
    assert policy.pmf(EMPTY, (A, B, C)).tolist() == [0.0, 0.0, 1.0]
    assert policy.pmf(EMPTY, (B, A)).tolist() == [1.0, 0.0]


def test_baseline_counts_the_first_place_of_an_id_listed_twice() -> None:
    assert BaselinePolicy(("b", "c", "b")).pmf(EMPTY, (A, C, B)).tolist() == [0.0, 0.0, 1.0]


def test_baseline_takes_the_least_id_where_none_of_its_list_is_offered() -> None:
    assert BaselinePolicy(("x",)).pmf(EMPTY, (C, B)).tolist() == [0.0, 1.0]
    assert BaselinePolicy(()).pmf(EMPTY, (B, C)).tolist() == [1.0, 0.0]
