"""A shop whose truth is known, where a new collection arrives: several offers at once, one of them the best.

What an offer earns is a level, what its attributes add in each audience, and a small effect of its own. Half
of the offers are known from the start; the others arrive together, later, and but for one of them they are
poor. Taking the attributes away, or saying which known offer each newcomer is like, changes nothing else: the
same visitors, the same truth, the same luck.
Knows policies by their contract alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.policy.contract import Action, Example, Policy

KNOWN: Final = 12
NEW: Final = 8
FLOOR: Final = 0.02
CHECK_EVERY: Final = 25
"""Decisions between two looks at the shares."""
LOOKS: Final = 4
"""Looks that a share is the mean of, so that no accident counts."""
_AUDIENCES: Final = ("sport", "home", "kids")
_DEVICES: Final = ("phone", "tablet", "desktop")
_KINDS: Final = ("coupon", "content", "service")
_THEMES: Final = ("summer", "garden", "tech", "books")
_BEST: Final = (0, 0)
"""Kind and theme of the best newcomer. No offer known before has both, several have one of them."""


class ArrivingShop:
    """One draw of the shop: `truth` (contexts, offers) is the chance of a reward, `best` the best newcomer.

    `own` is the deviation of an offer's own effect, in units of reward. With `with_likeness` the best
    newcomer is said to be like the best known offer, the others like the one that earns what they nearly do.
    """

    def __init__(
        self, seed: int, *, with_attributes: bool, with_likeness: bool = False, own: float = 0.01
    ) -> None:
        chance = np.random.default_rng([seed, 1])
        self._chance = np.random.default_rng([seed, 2])
        pairs = [(kind, theme) for kind in range(3) for theme in range(4)]
        pairs.remove(_BEST)
        chance.shuffle(pairs)
        known = [pairs[index % len(pairs)] for index in range(KNOWN)]
        poor = [pair for pair in pairs if _BEST[0] != pair[0] and _BEST[1] != pair[1]]
        newcomers = [_BEST] + [poor[index % len(poor)] for index in range(NEW - 1)]
        made = known + newcomers
        self.offers = tuple(
            Action(
                f"offer-{index}",
                Features(categories=(("kind", _KINDS[kind]), ("theme", _THEMES[theme])))
                if with_attributes
                else EMPTY,
            )
            for index, (kind, theme) in enumerate(made)
        )
        self.best = KNOWN
        self.contexts = tuple(
            Features(categories=(("audience", audience), ("device", device)))
            for audience in _AUDIENCES
            for device in _DEVICES
        )
        kinds = np.array([0.10, 0.0, -0.05])[:, None] + chance.normal(0.0, 0.01, (3, 3))
        themes = np.array([0.12, 0.03, 0.0, -0.05])[:, None] + chance.normal(0.0, 0.015, (4, 3))
        own_effects = chance.normal(0.0, own, len(made))
        self.truth = np.zeros((len(self.contexts), len(made)))
        for at in range(len(self.contexts)):
            audience = at // len(_DEVICES)
            for index, (kind, theme) in enumerate(made):
                self.truth[at, index] = 0.15 + kinds[kind, audience] + themes[theme, audience]
        self.truth = np.clip(self.truth + own_effects, 0.01, 0.99)
        if with_likeness:
            self.offers = self.offers[:KNOWN] + tuple(map(self._like, range(KNOWN, len(made))))

    def serve(self, policy: Policy, before: int, after: int, tested: int = 2400) -> npt.NDArray[np.float64]:
        """Serve so many decisions before and after the arrival; return the newcomer's share at each look.

        No more are served once the newcomer has had half: nothing later counts.
        """
        shares = []
        for _ in range(tested):
            at = int(self._chance.integers(len(self.contexts)))
            chosen = int(self._chance.integers(KNOWN))
            reward = float(self._chance.random() < self.truth[at, chosen])
            policy.learn(Example(self.contexts[at], self.offers[:KNOWN], chosen, 1.0 / KNOWN, reward))
        for step in range(before + after):
            offers = self.offers[:KNOWN] if step < before else self.offers
            at = int(self._chance.integers(len(self.contexts)))
            luck, reward_luck = self._chance.random(2)
            pmf = (1.0 - FLOOR) * policy.pmf(self.contexts[at], offers) + FLOOR / len(offers)
            chosen = min(int(np.searchsorted(np.cumsum(pmf), luck)), len(offers) - 1)
            reward = float(reward_luck < self.truth[at, chosen])
            policy.learn(Example(self.contexts[at], offers, chosen, float(pmf[chosen]), reward))
            if step >= before and (step - before) % CHECK_EVERY == 0:
                shares.append(self.share(policy))
                if len(reached(np.array(shares[-LOOKS:]))):
                    break
        return np.array(shares)

    def _like(self, index: int) -> Action:
        missed = np.abs(self.truth[:, :KNOWN] - self.truth[:, [index]]).mean(axis=0)
        if index == self.best:
            missed = -self.truth[:, :KNOWN].mean(axis=0)
        offer = self.offers[index]
        return Action(offer.id, offer.attributes, self.offers[int(missed.argmin())].id)

    def share(self, policy: Policy) -> float:
        """Return the probability of the best newcomer, over all contexts alike."""
        return float(np.mean([policy.pmf(context, self.offers)[self.best] for context in self.contexts]))


def reached(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the looks from which on the newcomer had half of all decisions, in the mean of four looks."""
    if len(shares) < LOOKS:
        return np.array([], np.int64)
    smooth = np.convolve(shares, np.full(LOOKS, 1.0 / LOOKS), mode="valid")
    return np.flatnonzero(smooth >= 0.5)


def decisions_until_half(shares: npt.NDArray[np.float64]) -> int:
    """Return how many decisions after the arrival the newcomer first had half of all; where it never had,
    all there were.
    """
    looks = reached(shares)
    return int(looks[0] + 1 if len(looks) else len(shares)) * CHECK_EVERY
