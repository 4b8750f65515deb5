"""Weights of whole trajectories: the product of a visitor's importance weights up to each decision.

The logged trajectory of a visitor up to a decision, and so the state that the decision was made in, has
under the target the probability of all its choices so far; so has the reward that followed. That holds
where states depend on the visitor's own earlier choices and on nothing that other visitors were shown. Rows
come in the order of time. Weights grow with the length: only the first `horizon` decisions of a visitor
count.
Source: Precup, Sutton and Singh 2000, "Eligibility traces for off-policy policy evaluation", per-decision
importance sampling; with a reward model, Jiang and Li 2016, arXiv:1511.03722, with the immediate reward's
model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Flags, Floats, Ints
from offer_optimizer.evaluate.support import Support

HORIZON: Final = 20
"""Decisions of one visitor that count, unless told otherwise."""
LARGEST_HORIZON: Final = 60
"""Beyond it the product of probabilities of 1e-4 would leave double precision."""


@dataclass(frozen=True, eq=False)
class Products:
    """Products over a visitor's decisions, for n rows.

    `target` and `propensity` (n,) are the probabilities of all choices up to and with the row's; `before` is
    the weight of those before it. `is_within` says which rows lie within the horizon.
    """

    target: Floats
    propensity: Floats
    before: Floats
    is_within: Flags


class Trajectories:
    """The products of every visitor so far; memory grows with the number of visitors."""

    def __init__(self, horizon: int = HORIZON) -> None:
        if not 1 <= horizon <= LARGEST_HORIZON:
            raise InvalidInput("horizon", f"must be 1 to {LARGEST_HORIZON} decisions (is {horizon})")
        self.horizon = horizon
        self.beyond_count = 0
        """Rows left out because they lie behind their visitor's horizon."""
        self._state: dict[int, tuple[float, float, int]] = {}
        self._unsupported = 0.0
        self._row_count = 0

    def follow(self, visitor: Ints, target: Floats, propensity: Floats, unsupported: Floats) -> Products:
        """Take the next rows, shape (n,): the target's and the log's probability of each choice."""
        count = len(visitor)
        targets, propensities, before = np.zeros(count), np.ones(count), np.zeros(count)
        is_within = np.zeros(count, dtype=np.bool_)
        steps = zip(visitor.tolist(), target.tolist(), propensity.tolist(), strict=True)
        for row, (who, would, did) in enumerate(steps):
            all_would, all_did, length = self._state.get(who, (1.0, 1.0, 0))
            if length >= self.horizon:
                self.beyond_count += 1
                continue
            before[row] = all_would / all_did
            targets[row], propensities[row] = all_would * would, all_did * did
            is_within[row] = True
            self._state[who] = (targets[row], propensities[row], length + 1)
        self._unsupported += float(unsupported[is_within].sum())
        self._row_count += int(is_within.sum())
        return Products(targets, propensities, before, is_within)

    def support(self) -> Support:
        """Return what the log knows about the target, in visitors: each with the weight of all its choices.

        The unsupported share stays one of decisions.
        """
        weight = np.array([would / did for would, did, _ in self._state.values()])
        count = len(weight)
        share = self._unsupported / self._row_count if self._row_count else 0.0
        return Support(
            row_count=count,
            represented=float(count),
            weight=float(weight.sum()),
            squares=float(weight @ weight),
            magnitude=float(weight.sum()),
            max_weight=float(weight.max(initial=0.0)),
            unsupported=share * count,
        )
