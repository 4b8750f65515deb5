"""The oracle's own arithmetic, against values worked out elsewhere."""

from __future__ import annotations

import hashlib
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import offer_optimizer.evaluate
from offer_optimizer.evaluate.verify_draw import (
    draw_number,
    is_distribution,
    is_same,
    mixed,
    propensity_of,
    walk,
)
from tests.conftest import REPOSITORY

pmfs = st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=30).filter(lambda p: sum(p) > 1e-3)


def test_the_draw_is_keyed_blake2b_of_eight_bytes() -> None:
    message = b"\x00\x05front" + bytes(range(16)) + b"\x00\x02"
    digest = hashlib.blake2b(message, digest_size=8, key=b"k" * 32).digest()
    expected = int.from_bytes(digest, "big") / 2**64
    assert draw_number(b"k" * 32, "front", bytes(range(16)), 2) == pytest.approx(expected, abs=2.0**-53)


@pytest.mark.parametrize(
    ("u", "index"), [(0.0, 1), (0.25, 1), (0.4999, 1), (0.5, 3), (1 - 2.0**-53, 3)], ids=str
)
def test_the_walk_takes_the_first_sum_that_exceeds(u: float, index: int) -> None:
    assert walk([0.0, 0.5, 0.0, 0.5, 0.0], u) == index


@given(pmfs, st.floats(0.0, 1.0, exclude_max=True))
def test_the_walk_never_picks_what_has_no_probability(pmf: list[float], u: float) -> None:
    assert pmf[walk(pmf, u)] > 0.0


@given(pmfs)
def test_propensities_sum_to_one(pmf: list[float]) -> None:
    assert math.fsum(propensity_of(pmf, index) for index in range(len(pmf))) == pytest.approx(1.0)


def test_the_mix_is_the_formula_of_the_design() -> None:
    floor = 0.1 * (1 + 2.0**-20)
    expected = [
        (1 - floor) * (0.7 * 0 + 0.3 * 0.5) + floor / 2,
        (1 - floor) * (0.7 * 1 + 0.3 * 0.5) + floor / 2,
    ]
    assert mixed([0.5, 0.5], 1, 0.3, 0.1) == pytest.approx(expected, rel=1e-15)
    assert mixed([0.9, 0.1], None, 1.0, 1.0) == [0.5, 0.5]


@given(pmfs, st.floats(1e-4, 1.0), st.floats(0.0, 1.0))
def test_no_rounding_brings_a_mix_under_its_floor(pmf: list[float], floor: float, ramp: float) -> None:
    total = math.fsum(pmf)
    served = np.array(mixed([p / total for p in pmf], 0, ramp, floor), dtype=np.float32).tolist()
    assert is_distribution(served)
    assert min(propensity_of(served, index) for index in range(len(served))) >= floor / len(served)


@pytest.mark.parametrize(
    "pmf", [[], [0.5, 0.5 + 1e-5], [0.5, 0.4], [1.5, -0.5], [math.nan, 1.0], [math.inf]], ids=str
)
def test_what_is_no_distribution_is_refused(pmf: list[float]) -> None:
    assert not is_distribution(pmf)


def test_a_propensity_may_differ_in_its_last_bits_only() -> None:
    assert is_same(1 / 3, 1 / 3 + 1e-16)
    assert not is_same(1 / 3, 1 / 3 + 1e-12)


def test_the_oracle_does_not_know_what_it_judges() -> None:
    """Import-linter forbids `decide` to each module named; the service's own draw is kept out here."""
    folder = Path(offer_optimizer.evaluate.__file__).parent
    texts = {path.stem: path.read_text() for path in folder.glob("verify*.py")}
    assert {"verify", "verify_draw", "verify_exclusions"} <= set(texts)
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = (found for found in contracts if found["name"] == "verify knows nothing of decide")
    assert {f"offer_optimizer.evaluate.{name}" for name in texts} == set(contract["source_modules"])
    for name, text in texts.items():
        for other in ("core.draw", "core.counting", "offer_optimizer.decide"):
            assert other not in text, f"{name} knows {other}"
