"""Statistics of choices: quiet over many seeds where choices follow their pmfs, and loud where they don't."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from offer_optimizer.evaluate.verify_choices import ALPHA, Choice, Choices, chi_square
from offer_optimizer.evaluate.verify_findings import Check

OFFERS = tuple(f"offer{n}" for n in range(6))
Floats = NDArray[np.float64]
Bend = Callable[[Floats], Floats]
Shown = Callable[[random.Random, str, str], bool | None]


def straight(pmf: Floats) -> Floats:
    return pmf


def draws(
    count: int, seed: int, bend: Bend = straight, shown: Shown = lambda *_: None, floor: float = 0.02
) -> Iterable[Choice]:
    """Yield choices drawn from `bend(pmf)` and logged with the pmf, which depends on a context."""
    chance = random.Random(seed)
    for number in range(count):
        context = chance.choice("ab")
        left_out = chance.randrange(len(OFFERS)) if chance.random() < 0.5 else None
        offers = tuple(offer for place, offer in enumerate(OFFERS) if place != left_out)
        weights = np.array(
            [1.0 + 30.0 * ((place + (context == "a")) % 3 == 0) for place in range(len(offers))]
        )
        pmf = (1 - floor) * weights / weights.sum() + floor / len(offers)
        chosen = chance.choices(range(len(offers)), bend(pmf).tolist())[0]
        is_shown = shown(chance, context, offers[chosen])
        yield Choice(number.to_bytes(16, "big"), "home", bytes(16), offers, tuple(pmf), chosen, is_shown)


def problems(choices: Iterable[Choice]) -> set[Check]:
    collected = Choices()
    for choice in choices:
        collected.add(choice)
    return {problem.check for problem, _, _ in collected.problems()}


def test_choices_that_follow_their_pmfs_are_quiet() -> None:
    """40 seeds, four families each at 1e-4: a false alarm in 60 such tests."""
    shown: Shown = lambda chance, context, _: chance.random() < (0.2 if context == "a" else 0.9)  # noqa: E731
    for seed in range(40):
        assert problems(draws(1500, seed, shown=shown)) == set()


def test_rare_offers_are_quiet_too() -> None:
    """A probability of 2e-4 is hardly ever drawn, and its 1/p is 5,000 when it is."""
    for seed in range(20):
        assert problems(draws(1000, seed, floor=1e-3)) == set()


def test_an_offer_that_is_chosen_more_often_than_logged_is_found() -> None:
    def bend(pmf: Floats) -> Floats:
        changed = pmf.copy()
        changed[1] += 0.1
        return changed

    assert Check.CHOICES in problems(draws(4000, 1, bend))
    assert Check.INVERSE_PROPENSITY in problems(draws(4000, 1, bend))


def test_pmfs_that_are_too_sure_are_found_by_their_probabilities() -> None:
    """Every offer may have its due, and rare choices still come more often than they say."""
    assert Check.CALIBRATION in problems(draws(4000, 2, lambda pmf: pmf**0.7))


def test_a_floor_that_is_served_and_not_logged_is_found() -> None:
    assert Check.CALIBRATION in problems(draws(6000, 3, lambda pmf: 0.9 * pmf + 0.1 / len(pmf)))


def test_activation_that_depends_on_the_context_alone_is_no_finding() -> None:
    """The policy shows other offers in other contexts, so shown and offer go together; the draw does not."""
    shown: Shown = lambda chance, context, _: context == "a"  # noqa: E731
    for seed in range(10):
        assert problems(draws(2000, seed, shown=shown)) == set()


def test_activation_that_depends_on_the_offer_is_found() -> None:
    shown: Shown = lambda chance, _, offer: chance.random() < (0.3 if offer == "offer0" else 0.6)  # noqa: E731
    assert problems(draws(6000, 4, shown=shown)) == {Check.ACTIVATION}


def test_a_problem_names_decisions_that_chose_the_offer() -> None:
    def bend(pmf: Floats) -> Floats:
        changed = pmf.copy()
        changed[0] *= 0.2
        return changed

    collected = Choices()
    for choice in draws(4000, 5, bend):
        collected.add(choice)
    found = {problem.check: ids for problem, ids, _ in collected.problems()}
    assert found[Check.CHOICES]
    assert found[Check.INVERSE_PROPENSITY]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_few_choices_say_nothing(count: int) -> None:
    assert problems(draws(count, 6, lambda pmf: pmf[::-1])) == set()


def test_chi_square_is_the_textbook_statistic_for_one_pmf() -> None:
    """Counts of one multinomial: Pearson's sum of (observed - expected)^2 / expected."""
    p = np.array([0.5, 0.3, 0.2])
    observed = np.array([540, 270, 190])
    covariance = 1000 * (np.diag(p) - np.outer(p, p))
    statistic, freedom = chi_square(observed - 1000 * p, covariance)
    assert freedom == 2
    assert statistic == pytest.approx(float(((observed - 1000 * p) ** 2 / (1000 * p)).sum()))


def test_p_values_of_chi_square_are_uniform_where_choices_follow_the_pmfs() -> None:
    """300 ledgers of 400: under 0.05 between 3 and 30 times; the binomial leaves that once in 6,000."""
    from scipy.special import chdtrc

    low = 0
    for seed in range(300):
        collected = Choices()
        for choice in draws(400, 1000 + seed):
            collected.add(choice)
        list(collected.problems())
        (scores,) = collected._scores.values()
        statistic, freedom = chi_square(scores.sums, scores.covariance)
        low += chdtrc(freedom, statistic) < 0.05
    assert 3 <= low <= 30


def test_the_stated_alpha_is_that_of_the_design() -> None:
    assert ALPHA == 1e-4
