"""Which blocks of a ridge regression an offer is made of: its own, and one for each of its attributes.

An offer's own block keeps what is particular to it, the blocks of its attributes teach all offers that have
them, and an offer never seen starts from those. Always holds: an offer's squared coefficients sum to 1, so
the prior says the same of every offer; a block once given is never taken away, so a paused offer finds what
it had; asking gives no blocks. One that is like an offer known is made as that one is until it has a block of
its own. One of which a reward is given as expected has that until then, whatever else is known of it. Past
OWN_MAX offers new ones live by their attributes alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from offer_optimizer.core import limits
from offer_optimizer.core.errors import PolicyFault
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.encoding import Encoder, Vector
from offer_optimizer.policy.ridge import Indices, Matrix

OWN_MAX: Final = limits.OFFERS
"""Offers with a block of their own: as many as a catalog has."""
ATTRIBUTES_EXACT: Final = 96
ATTRIBUTES_HASHED: Final = 32
OWN_SHARE: Final = 0.5
"""Prior share of an offer's variance that is its own, where it has attributes."""
KIN_SHARE: Final = 0.02
"""Share of an offer's variance by which one may differ from the offer that it is said to be like: as much as
attributes leave at least. With a tenth, two unlucky rewards put the best newcomer behind for good in three of
five shops (tests/statistical/arriving_shop.py), with this in two of seven."""
STEP: Final = 8
KNOWN_MOST: Final = 256
"""Offers that tell something of newcomers: the latest, where there are more."""
_PLANS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class New:
    """The newcomers with attributes among the offers of a question, at `places` of theirs.

    `made`, shape (newcomers, 1 + blocks asked), are their coefficients behind a 1, which stands for what all
    newcomers start from; `rows` are the blocks asked behind that, or None for all. `share`, shape (offers,),
    is the part of the prior variance that is their own: OWN_SHARE for each of them and 0 for the others.
    """

    places: Indices
    made: Matrix
    rows: Indices | None
    share: Vector


@dataclass(frozen=True, slots=True)
class Plan:
    """How the offers of one question are made of blocks.

    `blocks` has the block numbers asked, or None for all; `coefficients` has shape (offers, blocks asked);
    `unseen`, shape (offers,), is the part of the prior variance that no block carries yet (KIN_SHARE where an
    offer is made as one that it is like), but for what is `new`. `given`, shape (offers,), are the rewards
    that are expected of offers without a block of their own, in place of what blocks tell: coefficients of
    these are 0, squares are not; 0 for the others.
    """

    blocks: Indices | None
    coefficients: Matrix
    squares: Matrix
    unseen: Vector | None
    new: New | None
    given: Vector | None


@dataclass(frozen=True, slots=True)
class Known:
    """The offers with attributes that have a block of their own: `made` (offers, blocks) are their
    coefficients, `shared` the blocks that are attributes', `counts` of how many examples each was learned.
    """

    made: Matrix
    shared: Indices
    counts: Vector


@dataclass(frozen=True, slots=True)
class _Made:
    """What an offer was made of in its last example, under which key, and how many examples it has had."""

    key: bytes
    count: int
    blocks: list[int]
    coefficients: list[float]


@dataclass(frozen=True, slots=True)
class Origin:
    """What an offer known is made of, for one that is like it: its own block is the last."""

    blocks: list[int]
    coefficients: list[float]


class OfferBlocks:
    """Gives blocks to offers and attributes in the order in which examples bring them."""

    def __init__(self) -> None:
        self._attributes = Encoder(ATTRIBUTES_EXACT, ATTRIBUTES_HASHED)
        self._own: dict[str, int] = {}
        self._shared: dict[int, int] = {}
        # By own block, of offers with attributes.
        self._made: dict[int, _Made] = {}
        # Those of them whose last example came without attributes: what they were made of still tells
        # newcomers what attributes mean, but nobody is like what they no longer are.
        self._bare: set[int] = set()
        self.count = 0
        # Whether the last example gave an own block to an offer of which something was known: the reward that
        # is expected of it, or else the one that it is like, or its attributes alone (None).
        self.is_newborn = False
        self.start: float | Origin | None = None
        # Blocks of attributes that it gave: nobody knows anything of those.
        self.fresh = range(0)
        self._version = 0
        self._plans: dict[int, tuple[Sequence[Action], int, Plan]] = {}
        # Own blocks of offers that plans of others, which are like them, are made of.
        self._asked_for_others: set[int] = set()

    @property
    def capacity(self) -> int:
        """Return how many blocks there is room for: a function of `count` alone."""
        return max(-(-self.count // STEP), 1) * STEP

    @property
    def is_full(self) -> bool:
        """Return whether new offers get no block of their own any more."""
        return len(self._own) >= OWN_MAX

    def learn(self, action: Action) -> tuple[list[int], list[float]]:
        """Return blocks and coefficients of an offer that was chosen, which gets those it lacks."""
        before = self.count
        own = self._own.get(action.id)
        last = None if own is None else self._made.get(own)
        # Means and deviations of attributes are over offers, not over examples: so they, and the plans made
        # of them, stand still while no offer comes or changes.
        is_news = action.attributes.count() > 0 and (last is None or last.key != action.key)
        if is_news:
            self._attributes.learn(action.attributes)
        parts = self._attribute_parts(action)
        for column, _ in parts:
            if column not in self._shared:
                self._shared[column] = self._next()
        self.fresh = range(before, self.count)
        is_new = own is None and len(self._own) < OWN_MAX
        self.start = self._start(action) if is_new else None
        self.is_newborn = is_new and (len(parts) > 0 or self.start is not None)
        if is_new:
            own = self._own[action.id] = self._next()
        if self.count != before or (is_news and action.attributes.numbers):
            self._version += 1
        blocks = [self._shared[column] for column, _ in parts]
        coefficients = [coefficient for _, coefficient in parts]
        if own is not None:
            blocks.append(own)
            coefficients.append(_own_coefficient(parts))
            before_it = self._now_made(own)
            if parts:
                count = 1 if last is None else last.count + 1
                self._made[own] = _Made(action.key, count, blocks, coefficients)
                self._bare.discard(own)
            elif last is not None:
                self._bare.add(own)
            if own in self._asked_for_others and self._now_made(own) != before_it:
                self._version += 1
        return blocks, coefficients

    def known(self) -> Known:
        """Return the offers that can tell something of newcomers, KNOWN_MOST at most."""
        latest = list(self._made.values())[-KNOWN_MOST:]
        made = np.zeros((len(latest), self.capacity))
        for index, each in enumerate(latest):
            made[index, each.blocks] = each.coefficients
        counts = np.array([each.count for each in latest], dtype=np.float64)
        return Known(made, np.array(list(self._shared.values()), dtype=np.intp), counts)

    @property
    def known_count(self) -> int:
        """Return how many offers with attributes have a block of their own."""
        return len(self._made)

    def plan(self, actions: Sequence[Action]) -> Plan:
        """Return how some offers are made of the blocks there are."""
        kept = self._plans.get(id(actions))
        # It keeps the tuple that it belongs to, so no other one can have the same id.
        if kept is not None and kept[0] is actions and kept[1] == self._version:
            return kept[2]
        version = self._version
        plan = self._make(actions)
        if isinstance(actions, tuple):
            if len(self._plans) >= _PLANS_KEPT:
                self._plans = {}
            self._plans[id(actions)] = (actions, version, plan)
        return plan

    def describe(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "attributes": self._attributes.describe(),
            "own": list(self._own.items()),
            "shared": list(self._shared.items()),
            "made": [
                [own, made.key.hex(), made.count, made.blocks, made.coefficients]
                for own, made in self._made.items()
            ],
            "bare": sorted(self._bare),
            "count": self.count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a described state. Raises PolicyFault when it can't be one."""
        self._attributes.restore(state["attributes"])
        self._own = {str(name): block for name, block in state["own"]}
        self._shared = dict(state["shared"])
        self._made = {
            own: _Made(bytes.fromhex(key), int(count), list(blocks), list(coefficients))
            for own, key, count, blocks, coefficients in state["made"]
        }
        self._bare = set(state.get("bare", ()))  # states of older releases have none
        self.count = int(state["count"])
        given = sorted([*self._own.values(), *self._shared.values()])
        if given != list(range(self.count)):
            raise PolicyFault("load: blocks are missing or given twice")
        if not self._bare <= self._made.keys():
            raise PolicyFault("load: an offer lost attributes that it never had")
        for own, made in self._made.items():
            is_whole = len(made.blocks) == len(made.coefficients) and all(
                map(math.isfinite, made.coefficients)
            )
            is_whole = is_whole and made.blocks[-1:] == [own]
            if made.count < 1 or not is_whole or not {own, *made.blocks} <= set(given):
                raise PolicyFault("load: an offer is made of what is not there")

    def _start(self, action: Action) -> float | Origin | None:
        """Return what an offer without a block starts from, but for its attributes."""
        return self._origin(action) if action.expected is None else action.expected

    def _origin(self, action: Action) -> Origin | None:
        """Return what the offer is made of that another is like, None where that is unknown as well."""
        own = self._own.get(action.like) if action.like else None
        return None if own is None else self._now_made(own)

    def _now_made(self, own: int) -> Origin:
        """Return what an offer was made of in its last example."""
        made = None if own in self._bare else self._made.get(own)
        return Origin([own], [1.0]) if made is None else Origin(made.blocks, made.coefficients)

    def _next(self) -> int:
        self.count += 1
        return self.count - 1

    def _attribute_parts(self, action: Action) -> list[tuple[int, float]]:
        """Return the columns of an offer's attributes that are not 0, with their coefficients."""
        if not action.attributes.count():
            return []
        row = self._attributes.encode(action.attributes)
        columns = [int(column) for column in np.flatnonzero(row) if column > 0]
        if not columns:
            return []
        length = math.sqrt(sum(float(row[column]) ** 2 for column in columns))
        share = math.sqrt(1.0 - OWN_SHARE) / length
        return [(column, share * float(row[column])) for column in columns]

    def _make(self, actions: Sequence[Action]) -> Plan:
        dense = np.zeros((len(actions), max(self.count, 1)))
        unseen = np.ones(len(actions))
        new = np.zeros(len(actions))
        given: dict[int, float] = {}
        for index, action in enumerate(actions):
            own = self._own.get(action.id)
            start = self._start(action) if own is None and not self.is_full else None
            if isinstance(start, Origin):
                self._asked_for_others.add(start.blocks[-1])
                dense[index, start.blocks] = start.coefficients
                unseen[index] = KIN_SHARE
                continue
            parts = self._attribute_parts(action)
            for column, coefficient in parts:
                block = self._shared.get(column)
                if block is not None:
                    dense[index, block] = coefficient
            if own is not None:
                dense[index, own] = _own_coefficient(parts)
            elif start is not None:
                given[index] = start
            elif parts:
                new[index] = OWN_SHARE
            unseen[index] = max(1.0 - float(np.square(dense[index]).sum()) - new[index], 0.0)
        used = np.flatnonzero(dense.any(axis=0))
        if len(used) * 4 >= self.count * 3 or not len(used):
            padded = np.zeros((len(actions), self.capacity))
            padded[:, : dense.shape[1]] = dense
            return _plan(None, padded, unseen, new, given)
        return _plan(used, np.ascontiguousarray(dense[:, used]), unseen, new, given)


def _plan(
    blocks: Indices | None, coefficients: Matrix, unseen: Vector, new: Vector, given: Mapping[int, float]
) -> Plan:
    some_unseen = unseen if bool((unseen > 1e-9).any()) else None
    some_new = None
    if new.any():
        places = np.flatnonzero(new)
        made = np.hstack((np.ones((len(places), 1)), coefficients[places]))
        some_new = New(places, made, None if blocks is None else np.append(0, blocks + 1), new)
    squares = coefficients * coefficients
    some_given = None
    if given:
        some_given = np.zeros(len(coefficients))
        some_given[list(given)] = list(given.values())
        coefficients[list(given)] = 0.0
    return Plan(blocks, coefficients, squares, some_unseen, some_new, some_given)


def _own_coefficient(parts: list[tuple[int, float]]) -> float:
    return math.sqrt(OWN_SHARE) if parts else 1.0
