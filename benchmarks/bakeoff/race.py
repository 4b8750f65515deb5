"""One policy, one pass over one problem: what it earned and what it cost. Knows only the policy contract.

Always holds: the choice is drawn from exactly the pmf that is served, which is the policy's with the floor
mixed in, and the policy learns with exactly that propensity. Where every offer's chance is known, a round
earns what the served pmf expects: the same mean as of rewards drawn, with less noise; what is learned is a
reward drawn, from chances that every policy of a seed shares. Replay keeps a round where the draw equals the
logged choice; the log chose evenly, so the kept rounds are those that the policy would have met.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.bakeoff.rounds import Numbers, Phase, Rounds
from offer_optimizer.decide.mix import mix
from offer_optimizer.policy.contract import Example, Policy

FLOOR: Final = 0.02
"""What placements mix in unless they say otherwise."""
CURVE_POINTS: Final = 40
GOAL: Final = 0.9
"""The share of the best possible reward whose first round is asked for."""
GOAL_WINDOWS: Final = 20
"""The goal is looked for in a sliding part of the rounds: how good the best offer is differs by visit."""
_GOAL_ROUNDS: Final = 100
# Fewer would find the goal by luck.


@dataclass(frozen=True, slots=True)
class Result:
    """What one pass came to: mean reward a round over the rounds played, and CPU microseconds a call.

    `curve` has the mean reward of equal stretches of the rounds. `reached` is the first round by which the
    twentieth of all rounds earned 90 % of the best possible; None where that never was, or nobody can know.
    """

    reward: float
    rounds: int
    pmf_us: float
    learn_us: float
    state_bytes: int
    curve: tuple[float, ...]
    reached: int | None


def run(
    rounds: Rounds, create: Callable[[], Policy], seed: int, limit: int | None = None, floor: float = FLOOR
) -> Result:
    """Return the result of one pass in the seed's order, over at most `limit` rows."""
    one_pass = _Pass(rounds, create(), seed, floor)
    order = rounds.order(seed)[:limit]
    for at, row in enumerate(order.tolist()):
        one_pass.play(at, row)
    return one_pass.result(order)


class _Pass:
    """The state of one pass: the policy, what it earned, and what it has yet to learn."""

    def __init__(self, rounds: Rounds, policy: Policy, seed: int, floor: float) -> None:
        self._rounds = rounds
        self._policy = policy
        self._floor = floor
        self._draws = np.random.default_rng(seed)
        # Rewards hang on the round and its choice alone, whatever was chosen before.
        self._luck = np.random.default_rng([seed, 1]).random(len(rounds.contexts))
        self._phases = deque(rounds.live())
        self._phase = self._phases[0]
        self._waiting: deque[tuple[int, Example]] = deque()
        self._earned: list[float] = []
        self._asked = self._learned = 0
        self._asking_s = self._learning_s = 0.0

    def play(self, at: int, row: int) -> None:
        """Decide about one row, which comes at round `at`, after learning what is due."""
        rounds, phase = self._rounds, self._enter(at)
        self._teach(at)
        context = rounds.contexts[row]
        before = time.process_time()
        answer = self._policy.pmf(context, phase.actions)
        self._asking_s += time.process_time() - before
        self._asked += 1
        served = mix(answer, None, len(phase.actions), 1.0, self._floor).astype(np.float64)
        served /= served.sum()
        chosen = min(int(np.searchsorted(served.cumsum(), self._draws.random(), "right")), len(served) - 1)
        if rounds.logged is not None:
            if chosen != rounds.logged[row]:
                return
            reward = float(rounds.rewards[row])
            self._earned.append(reward)
        else:
            means = rounds.rewards[row] if not rounds.phases else rounds.rewards[row, list(phase.columns)]
            self._earned.append(float(served @ means))
            reward = float(self._luck[row] < means[chosen])
        lesson = Example(context, phase.actions, chosen, float(served[chosen]), reward)
        self._waiting.append((at, lesson))

    def result(self, order: np.ndarray) -> Result:
        """Return the figures, and let go of the policy."""
        self._teach(len(order) + self._rounds.batch - len(order) % self._rounds.batch)
        earned = np.array(self._earned)
        size = len(self._policy.save())
        self._policy.close()
        return Result(
            reward=float(earned.mean()),
            rounds=len(earned),
            pmf_us=self._asking_s / self._asked * 1e6,
            learn_us=self._learning_s / max(self._learned, 1) * 1e6,
            state_bytes=size,
            curve=tuple(float(part.mean()) for part in np.array_split(earned, CURVE_POINTS) if len(part)),
            reached=reached(earned, best_of(self._rounds, order)),
        )

    def _enter(self, at: int) -> Phase:
        while self._phases and self._phases[0].start <= at:
            self._phase = self._phases.popleft()
        return self._phase

    def _teach(self, at: int) -> None:
        """Teach what is due, once a batch."""
        if at % self._rounds.batch:
            return
        while self._waiting and self._waiting[0][0] + self._rounds.delay < at:
            _, lesson = self._waiting.popleft()
            before = time.process_time()
            self._policy.learn(lesson)
            self._learning_s += time.process_time() - before
            self._learned += 1


def best_of(rounds: Rounds, order: np.ndarray) -> Numbers | None:
    """Return the best chance of each round of the order, None where only a log or a label is known."""
    if rounds.logged is not None or not rounds.is_ordered:
        return None
    best: Numbers = np.nanmax(rounds.rewards[order], axis=1)
    return best


def reached(earned: Numbers, best: Numbers | None) -> int | None:
    """Return the first round by which a twentieth of all rounds earned GOAL of the best, None for never."""
    window = len(earned) // GOAL_WINDOWS
    if best is None or window < _GOAL_ROUNDS:
        return None
    sums = np.cumsum(np.concatenate([[0.0], earned - GOAL * best]))
    is_there = sums[window:] >= sums[:-window]
    return int(is_there.argmax()) + window if is_there.any() else None
