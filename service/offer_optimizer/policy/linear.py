"""The linear policy: ridge regressions of the reward on the context, optimism, and inverse-gap weighting.

Members (`members.py`) predict what each offer earns; `average` mixes their means by how well each predicted
before it learned. An offer is scored a little above its mean, by `optimism` deviations, and scores become a
pmf by inverse gaps. Propensities are not used in learning: that is plain regression, which the method asks
for (Foster and Rakhlin 2020, arXiv:2002.04926) and which no tiny propensity can upset. Always holds: float64
in one order; the state is bounded; a new model gives every offer the same probability; asking leaves no
trace.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example, check_example
from offer_optimizer.policy.encoding import Encoder, Vector
from offer_optimizer.policy.inverse_gap import inverse_gap
from offer_optimizer.policy.linear_options import LinearOptions
from offer_optimizer.policy.members import COLUMNS_EXACT, COLUMNS_HASHED, PANEL, Member, Rows
from offer_optimizer.policy.offer_blocks import OWN_MAX, New, OfferBlocks, Plan
from offer_optimizer.policy.one_thread import use_one_thread
from offer_optimizer.policy.state import State, pack, unpack

LEARNING_VERSION: Final = "2"
"""Changes whenever the same options and examples would give another model; part of the policy epoch."""
WEIGHT_CAP: Final = 16.0
"""Most that one example may count for because others like it were thinned out. Biased beyond it."""
_MEMORY: Final = 1000.0
# Examples that the noise and the members' losses look back on.
_TEMPER: Final = 0.5
# Power of the likelihood that weighs members: their errors are not as independent as a likelihood takes them.
_NOISE_LEAST: Final = 0.01
_SHARE_LEAST: Final = 1e-3
_STARTS_EVERY: Final = 256
# Examples between two looks at what known offers tell of newcomers.
_ARRAYS: Final = ("weights", "covariance", "stamps", "level", "slopes")
_ASKED_MOST: Final = 3
# So many members can be asked within what a decision may cost.
_SPEAKERS: Final = ("linear", "recent")
_MEMBERS: Final = {
    "average": ("bias", "linear", "recent", "kernel"),
    "kernel": ("kernel",),
    "linear": ("linear",),
    "bias": ("bias",),
}


class LinearPolicy:
    """A contextual bandit on ridge regressions. `expected` is the reward that it predicted of the example
    learned last, before it learned it; 0 where there is none.
    """

    def __init__(
        self, options: LinearOptions, state: State | None = None, *, only_asked: bool = False
    ) -> None:
        """Start a new model, or continue one: as one that is `only_asked` where it will neither learn nor be
        saved. Raises PolicyFault when `state` is not of these options.
        """
        use_one_thread()
        self._optimism = options.optimism
        self._gamma_scale = options.gamma_scale
        content = json.dumps(options.canonical(), sort_keys=True, separators=(",", ":"))
        self._title = f"offer-optimizer linear {LEARNING_VERSION} {content}"
        self._encoder = Encoder(COLUMNS_EXACT, COLUMNS_HASHED)
        self._offers = OfferBlocks()
        self._rows = Rows()
        kept = 1.0 if options.half_life is None else 0.5 ** (1.0 / options.half_life)
        size = self._offers.capacity, self._encoder.capacity
        # With a half-life all members forget, so none of them has to do it for the others.
        names = [n for n in _MEMBERS[options.model] if n != "recent" or options.half_life is None]
        self._members = [Member(name, kept, *size) for name in names]
        self._count = 0.0
        self._noise = 0.25
        self.expected = 0.0
        self._is_closed = False
        self._is_only_asked = only_asked
        if state is not None:
            self._restore(state)
        # What follows from the members' losses, kept between examples: it is asked far more often.
        self._mixture = self._mix()

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """See contract. Safe to call from several threads."""
        self._check_open()
        if not actions:
            raise InvalidInput("actions", "are empty, at least 1 is needed")
        plan = self._offers.plan(actions)
        noise = max(math.sqrt(self._noise), _NOISE_LEAST)
        shares, judges = self._mixture
        row = self._encoder.encode(context)
        waves = self._waves_for(row, [member for member, _ in shares])
        means: Vector = np.zeros(plan.coefficients.shape[1])
        for member, share in shares:
            means += share * member.blocks.means(member.read(row, waves), plan.blocks, self._count)
        scores: Vector = plan.coefficients @ means
        if plan.new is not None:
            told: Vector = np.zeros(plan.new.made.shape[1])
            for member, share in shares:
                told += share * self._start_means(member, member.read(row, waves), plan, plan.new)
            scores[plan.new.places] = plan.new.made @ told
        if plan.given is not None:
            # Shares too small to be asked for are missing from all offers alike.
            scores += sum(share for _, share in shares) * plan.given
        for member, share in judges:
            spread = self._deviations(member, member.read(row, waves), plan)
            scores += (share * self._optimism * noise) * spread
        return np.array(inverse_gap(scores.tolist(), self._gamma_scale * math.sqrt(self._count) / noise))

    def learn(self, example: Example) -> None:
        """See contract."""
        self._check_whole()
        check_example(example)
        self._encoder.learn(example.context)
        blocks, coefficients = self._offers.learn(example.actions[example.chosen])
        for member in self._members:
            member.fit(self._offers.capacity, self._encoder.capacity)
        self._count += 1.0
        row = self._encoder.encode(example.context)
        self._rows.learn(row, self._count)
        present = [member for member in self._members if not member.is_left_out]
        waves = self._waves_for(row, present)
        shares = dict(zip([m.name for m in present], [share for _, share in self._shares()], strict=True))
        error = 0.0
        weight = min(example.weight, WEIGHT_CAP)
        for member in present:
            if self._offers.is_newborn:
                member.begin(blocks, coefficients, self._offers.start, self._count, self._offers.fresh)
            read = member.read(row, waves)
            member.blocks.refresh(blocks, self._count)
            missed = example.reward - member.blocks.mean(read, blocks, coefficients)
            member.loss = (1.0 - 1.0 / _MEMORY) * member.loss + weight * missed * missed / self._noise
            member.blocks.learn(read, blocks, coefficients, missed, weight)
            error += shares[member.name] * missed
        self.expected = example.reward - error
        step = (error * error - self._noise) / min(self._count + 4.0, _MEMORY)
        self._noise = max(self._noise + step, _NOISE_LEAST**2)
        self._mixture = self._mix()
        if self._offers.known_count and self._count % _STARTS_EVERY == 0.0:
            known = self._offers.known()
            for member in present:
                member.learn_starts(known, self._rows, self._noise, self._count)

    def save(self) -> bytes:
        """See contract."""
        self._check_whole()
        values = {
            "encoder": self._encoder.describe(),
            "offers": self._offers.describe(),
            "norm": self._rows.norm,
            "count": self._count,
            "noise": self._noise,
            "members": [member.describe() for member in self._members],
        }
        arrays = {
            f"{member.name}.{name}": array
            for member in self._members
            for name, array in member.arrays().items()
        }
        arrays["rows.recent"] = self._rows.recent
        return pack(self._title, values, arrays)

    def close(self) -> None:
        """See contract."""
        self._is_closed = True
        self._members = []

    def remarks(self) -> tuple[str, ...]:
        """See contract.Remarking."""
        size = self._size()
        found = [f"{m.name}: left out, {size} are too many" for m in self._members if m.is_left_out]
        found += [
            f"{m.name}: variances without covariances, {size} are too many"
            for m in self._members
            if m.blocks.is_diagonal
        ]
        if self._encoder.overflowed:
            found.append(f"context: more than {COLUMNS_EXACT} columns, new values share {COLUMNS_HASHED}")
        if self._offers.is_full:
            found.append(f"offers: {OWN_MAX} are known, new ones live by their attributes alone")
        return tuple(found)

    def outgrown(self) -> str:
        """Return what has grown past the sizes that keep covariances and a column for each value, or ""."""
        if self._encoder.overflowed or any(member.blocks.is_diagonal for member in self._members):
            return f"{self._size()} are too many for linear"
        return ""

    def _size(self) -> str:
        return f"{self._offers.count} offers and attributes by {self._encoder.width} columns of context"

    def _check_open(self) -> None:
        if self._is_closed:
            raise PolicyFault("the policy is closed")

    def _check_whole(self) -> None:
        self._check_open()
        if self._is_only_asked:
            raise PolicyFault("the model was loaded to be asked only")

    def _shares(self) -> list[tuple[Member, float]]:
        """Return the members in use and what each counts for; the shares sum to 1."""
        present = [member for member in self._members if not member.is_left_out]
        if len(present) < 2:
            return [(member, 1.0) for member in present]
        least = min(member.loss for member in present)
        powers = [math.exp(0.5 * _TEMPER * (least - member.loss)) for member in present]
        total = sum(powers)
        return [(member, power / total) for member, power in zip(present, powers, strict=True)]

    def _mix(self) -> tuple[list[tuple[Member, float]], list[tuple[Member, float]]]:
        """Return whose means count (those with the largest shares), whose deviations do, and for how much.

        Of `linear` and `recent` the one with the larger share speaks for the deviations of both and of
        `kernel`, which costs a third of asking each.
        """
        named = {member.name: share for member, share in self._shares()}
        largest = sorted(named, key=lambda name: -named[name])[:_ASKED_MOST]
        shares = [
            (member, share)
            for member, share in self._shares()
            if member.name in largest and share >= _SHARE_LEAST
        ]
        speakers = [member for member in self._members if member.name in _SPEAKERS]
        if not speakers:
            return shares, shares
        speaker = max(speakers, key=lambda member: named[member.name])
        alone = [(member, share) for member, share in shares if member.name == "bias"]
        spoken = sum(share for member, share in shares if member.name != "bias")
        return shares, [*alone, (speaker, spoken)] if spoken else alone

    def _waves_for(self, row: Vector, members: list[Member]) -> Vector | None:
        is_wanted = any(member.name == "kernel" for member in members)
        return self._rows.waves(row) if is_wanted else None

    def _start_means(self, member: Member, read: Vector, plan: Plan, new: New) -> Vector:
        """Return what a member expects of all newcomers, and what each block asked adds."""
        if member.starts.are_told:
            return member.starts.means(read, new)
        means: Vector = np.append(0.0, member.blocks.means(read, plan.blocks, self._count))
        return means

    def _deviations(self, member: Member, read: Vector, plan: Plan) -> Vector:
        variances: Vector = plan.squares @ member.blocks.variances(read, plan.blocks, self._count)
        if plan.unseen is not None:
            variances += plan.unseen * (member.blocks.prior * float(read @ read))
        if plan.new is not None:
            prior = member.blocks.prior * member.starts.unsure
            variances += plan.new.share * (prior * float(read @ read))
        return np.sqrt(variances)

    def _never_asked(self) -> AbstractSet[str]:
        """Return the arrays, most of a state, that only learning reads: others speak for the deviations."""
        names = {member.name for member in self._members}
        return {"kernel.covariance"} if names & set(_SPEAKERS) else frozenset()

    def _restore(self, state: State) -> None:
        left_out = self._never_asked() if self._is_only_asked else frozenset()
        values, arrays = unpack(self._title, state, left_out)
        try:
            self._take(values, arrays, left_out)
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            raise PolicyFault(f"load: the state is damaged: {type(error).__name__}") from error

    def _take(self, values: dict[str, Any], arrays: dict[str, Any], left_out: AbstractSet[str]) -> None:
        self._encoder.restore(values["encoder"])
        self._offers.restore(values["offers"])
        self._rows.norm, self._rows.recent = float(values["norm"]), arrays["rows.recent"]
        self._count, self._noise = float(values["count"]), float(values["noise"])
        size = self._offers.capacity, self._encoder.capacity
        for member, described in zip(self._members, values["members"], strict=True):
            full = {name: f"{member.name}.{name}" for name in _ARRAYS}
            own = {name: arrays[of_member] for name, of_member in full.items() if of_member not in left_out}
            member.restore(described, own, *size)
        if self._rows.recent.shape[0] != PANEL or self._rows.recent.shape[1] > self._encoder.capacity:
            raise PolicyFault(f"load: {self._rows.recent.shape} are not the latest rows")
        if not (self._rows.norm > 0.0 and self._count >= 0.0 and self._noise > 0.0):
            raise PolicyFault("load: a count, a noise or a length is out of range")
