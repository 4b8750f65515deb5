"""The truth of a simulated shop: who comes when, which offers are live, and each one's chance of a reward.

Always holds: shop and seed decide everything; a policy sees contexts, live offers and the rewards of its own
choices, drawn from chances that are known exactly, so what the best choices earn is known exactly as well.
Numbers act through their logarithm and reach the policy raw, each on a scale of its own.
"""

from __future__ import annotations

import math
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.bakeoff.rounds import Phase, Rounds
from benchmarks.bakeoff.shops import Shop
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.policy.contract import Action

Array = npt.NDArray[np.float64]

_LIMIT: Final = 1000
_SKEW: Final = 0.8
# Deviation of a number's logarithm: the largest of a thousand is about twelve times the median.


def build(shop: Shop, seed: int) -> Rounds:
    """Return the shop's rounds in the world of one seed."""
    chance = np.random.default_rng([zlib.crc32(shop.name.encode()), seed])
    contexts, seen = _visits(shop, chance)
    offers, described = _offers(shop, chance)
    odds = _odds(shop, chance, seen, described)
    rewards = 1.0 / (1.0 + np.exp(-odds))
    phases = _phases(shop, offers)
    for phase, end in zip(phases, [p.start for p in phases[1:]] + [shop.rounds], strict=True):
        is_live = np.zeros(shop.offers, dtype=bool)
        is_live[list(phase.columns)] = True
        rewards[phase.start : end, ~is_live] = np.nan
    return Rounds(
        shop.name,
        contexts,
        offers,
        rewards,
        phases=phases,
        delay=shop.delay,
        batch=shop.batch,
        is_ordered=True,
    )


def _visits(shop: Shop, chance: np.random.Generator) -> tuple[list[Features], Array]:
    """Return contexts, and what of them acts on rewards: shape (rounds, sum of fields + numbers)."""
    picks = []
    for size in shop.fields:
        shares = 1.0 / np.arange(1, size + 1)  # few values are common, many are rare
        picks.append(chance.choice(size, size=shop.rounds, p=shares / shares.sum()))
    scores = chance.standard_normal((shop.rounds, shop.numbers))
    scales = 10.0 ** chance.uniform(-1.0, 3.0, size=shop.numbers)
    raw = scales * np.exp(_SKEW * scores)
    seen = np.concatenate([_flags(np.array(picks).T, shop.fields), scores], axis=1)
    names = [f"field{index}" for index in range(len(shop.fields))]
    number_names = [f"number{index}" for index in range(shop.numbers)]
    contexts = [
        build_features(
            {name: f"v{value}" for name, value in zip(names, values, strict=True)},
            dict(zip(number_names, numbers, strict=True)),
            {},
            where="context",
            limit=_LIMIT,
        )
        for values, numbers in zip(np.array(picks).T.tolist(), raw.tolist(), strict=True)
    ]
    return contexts, seen / math.sqrt(len(shop.fields) + shop.numbers)


def _offers(shop: Shop, chance: np.random.Generator) -> tuple[tuple[Action, ...], Array]:
    """Return offers, and their attributes as flags: shape (offers, sum of attributes), unit rows."""
    picks = np.array([chance.integers(size, size=shop.offers) for size in shop.attributes]).T
    picks = picks.reshape(shop.offers, len(shop.attributes))
    offers = tuple(
        Action(
            f"offer-{index:03}",
            build_features(
                {f"attribute{at}": f"a{value}" for at, value in enumerate(values)},
                {},
                {},
                where="offer",
                limit=_LIMIT,
            ),
        )
        for index, values in enumerate(picks.tolist())
    )
    return offers, _flags(picks, shop.attributes) / math.sqrt(max(len(shop.attributes), 1))


def _odds(shop: Shop, chance: np.random.Generator, seen: Array, described: Array) -> Array:
    """Return the log odds of each offer in each round, shape (rounds, offers)."""
    odds = np.empty((shop.rounds, shop.offers))
    odds[:] = (shop.mood * (seen @ chance.standard_normal(seen.shape[1])))[:, None]
    odds += math.log(shop.base / (1.0 - shop.base))
    values = described.shape[1]
    starts = [0, *(round(share * shop.rounds) for share in shop.shifts)]
    for start, end in zip(starts, [*starts[1:], shop.rounds], strict=True):
        own = shop.appeal * chance.standard_normal(shop.offers)
        own += shop.trend * (described @ chance.standard_normal(values))
        weights = shop.fit * chance.standard_normal((seen.shape[1], shop.offers))
        weights += shop.taste * (chance.standard_normal((seen.shape[1], values)) @ described.T)
        odds[start:end] += own + seen[start:end] @ weights
    if shop.season:
        phase = chance.uniform(0.0, 2.0 * math.pi, size=values)
        turn = 2.0 * math.pi * np.arange(shop.rounds)[:, None] / shop.period
        # Sines have a deviation of 1 / sqrt(2).
        odds += shop.season * math.sqrt(2.0) * (np.sin(turn + phase) @ described.T)
    return odds


def _phases(shop: Shop, offers: tuple[Action, ...]) -> tuple[Phase, ...]:
    live = shop.live or shop.offers
    steps = (shop.offers - live) if shop.turnover else 0
    found = []
    for step in range(steps + 1):
        start = step * (shop.turnover or 0)
        if start >= shop.rounds:
            break
        columns = tuple(range(step, step + live))
        found.append(Phase(start, columns, tuple(offers[k] for k in columns)))
    return tuple(found)


def _flags(picks: npt.NDArray[np.int64], sizes: tuple[int, ...]) -> Array:
    """Return each row's values as flags, shape (rows, sum of sizes)."""
    flags = np.zeros((len(picks), sum(sizes)))
    offset = 0
    for at, size in enumerate(sizes):
        flags[np.arange(len(picks)), offset + picks[:, at]] = 1.0
        offset += size
    return flags
