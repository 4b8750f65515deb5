"""Two policies on the same decisions: how often they differ, and what each would have earned.

Pmfs are given: knows neither ledger nor policy. Both are judged as they would be served at ramp 1, with each
decision's own floor mixed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.decision import Decision, Pmf64
from offer_optimizer.core.log import Vocabulary
from offer_optimizer.evaluate.clusters import Floats
from offer_optimizer.evaluate.estimators import DR, IPS, Estimate, MeanReward, Partial, doubly_robust
from offer_optimizer.evaluate.reward_model import RewardModel, RewardSums
from offer_optimizer.evaluate.rows import DecisionRows, following, full_ramp_pmf


@dataclass(frozen=True, slots=True)
class JudgedRow:
    """A decision, what it earned, and both policies' pmfs over its eligible `offer_ids`."""

    visitor: int
    reward: float
    decision: Decision
    offer_ids: tuple[str, ...]
    old_pmf: Pmf64
    new_pmf: Pmf64


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """Some decisions; both targets have shape (n, k), 0 where no offer is eligible."""

    rows: DecisionRows
    old: Floats
    new: Floats
    differ_count: int

    @classmethod
    def of(cls, judged: Sequence[JudgedRow], vocabulary: Vocabulary) -> JudgedRows:
        """Build the arrays of at least one row."""
        count, width = len(judged), max(len(row.offer_ids) for row in judged)
        offers = np.full((count, width), -1, dtype=np.int32)
        for at, row in enumerate(judged):
            offers[at, : len(row.offer_ids)] = [vocabulary.number(offer_id) for offer_id in row.offer_ids]
        slots = [row.decision.slots[0] for row in judged]
        rows = DecisionRows(
            visitor=np.array([row.visitor for row in judged], dtype=np.int64),
            reward=np.array([row.reward for row in judged], dtype=np.float64),
            chosen=np.array([offers[at, slot.chosen] for at, slot in enumerate(slots)], dtype=np.int64),
            propensity=np.array([slot.propensity for slot in slots], dtype=np.float64),
            offers=offers,
            pmf=_padded([slot.pmf for slot in slots], width),
            floor=np.array([row.decision.floor for row in judged], dtype=np.float64),
            baseline=np.full(count, -1, dtype=np.int64),
        )
        old, new = (
            full_ramp_pmf(replace(rows, model_pmf=_padded(pmfs, width)))
            for pmfs in ([row.old_pmf for row in judged], [row.new_pmf for row in judged])
        )
        differ_count = sum(int(row.old_pmf.argmax() != row.new_pmf.argmax()) for row in judged)
        return cls(rows, old, new, differ_count)


def _padded(pmfs: Sequence[NDArray[np.floating]], width: int) -> NDArray[np.float32]:
    padded = np.zeros((len(pmfs), width), dtype=np.float32)
    for at, pmf in enumerate(pmfs):
        padded[at, : len(pmf)] = pmf
    return padded


@dataclass
class Verdict:
    """What both policies would have earned, and what was."""

    row_count: int = 0
    differ_count: int = 0
    served: Partial = field(default_factory=Partial.empty)
    old: Partial = field(default_factory=Partial.empty)
    old_ips: Partial = field(default_factory=Partial.empty)
    new: Partial = field(default_factory=Partial.empty)
    new_ips: Partial = field(default_factory=Partial.empty)
    difference: Partial = field(default_factory=Partial.empty)

    @classmethod
    def of(cls, chunks: Sequence[JudgedRows], offer_count: int) -> Verdict:
        """Judge by all rows; the reward model of DR is cross-fitted on them."""
        sums = RewardSums.of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), offer_count)
        for chunk in chunks:
            sums += chunk.rows.rewards(offer_count)
        model, found = sums.fit(), cls()
        for chunk in chunks:
            found.add(chunk, model)
        return found

    def add(self, chunk: JudgedRows, model: RewardModel) -> None:
        """Add rows."""
        rows = chunk.rows
        old, new = (following(rows, target, model) for target in (chunk.old, chunk.new))
        self.row_count += len(rows)
        self.differ_count += chunk.differ_count
        self.served += MeanReward().partial(new)
        self.old += DR().partial(old)
        self.old_ips += IPS().partial(old)
        self.new += DR().partial(new)
        self.new_ips += IPS().partial(new)
        # Linear in the policy: the difference of the terms of a row is the term of the difference.
        self.difference += Partial.of(new, doubly_robust(new) - doubly_robust(old), np.ones(len(rows)))

    def gain(self) -> Estimate:
        """Return the new policy's value less the old one's; refused where either is."""
        for name, part in (("old", self.old), ("new", self.new)):
            refused = part.refusal()
            if refused:
                return Estimate(None, None, None, f"the {name} policy's value is refused: {refused}")
        return self.difference.estimate()
