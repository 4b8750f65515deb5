"""One policy, one pass over one data set: what it earned and what it cost. Knows only the policy contract.

Always holds: the served pmf is the policy's with the floor mixed in, the choice is drawn from exactly that,
and the policy learns with exactly that propensity. Replay keeps a round where the draw equals the logged
choice; the log chose evenly, so the kept rounds are those that the policy would have met.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.bakeoff.rounds import Rounds
from offer_optimizer.decide.mix import mix
from offer_optimizer.policy.contract import Example, Policy

FLOOR: Final = 0.02
"""What placements mix in unless they say otherwise."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one pass came to: mean reward a round over the rounds played, and CPU microseconds a call."""

    reward: float
    rounds: int
    pmf_us: float
    learn_us: float
    state_bytes: int


def run(rounds: Rounds, create: Callable[[], Policy], seed: int, limit: int | None = None) -> Result:
    """Return the result of one pass in the seed's order, over at most `limit` rows."""
    order = np.random.RandomState(seed).permutation(len(rounds.contexts))[:limit]
    chance = np.random.default_rng(seed)
    policy = create()
    earned, played, asking, learning = 0.0, 0, 0.0, 0.0
    asked = 0
    for row in order.tolist():
        context = rounds.contexts[row]
        before = time.process_time()
        answer = policy.pmf(context, rounds.actions)
        asking += time.process_time() - before
        asked += 1
        served = mix(answer, None, len(rounds.actions), 1.0, FLOOR).astype(np.float64)
        served /= served.sum()
        chosen = min(int(np.searchsorted(served.cumsum(), chance.random(), "right")), len(served) - 1)
        if rounds.logged is not None and chosen != rounds.logged[row]:
            continue
        reward = float(rounds.rewards[row] if rounds.logged is not None else rounds.rewards[row, chosen])
        earned += reward
        played += 1
        example = Example(context, rounds.actions, chosen, float(served[chosen]), reward)
        before = time.process_time()
        policy.learn(example)
        learning += time.process_time() - before
    size = len(policy.save())
    policy.close()
    return Result(earned / played, played, asking / asked * 1e6, learning / played * 1e6, size)
