"""Where the ramp is below 1: how often and where the model would differ, and what it would have earned.

The model's own pmf is logged there, so nothing is guessed: how often it would differ is a mean over the log.
What it would have earned needs support: the floor and the model's share of the ramp give what there is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from offer_optimizer.evaluate.clusters import Floats
from offer_optimizer.evaluate.estimators import DR, IPS, Estimate, Partial, doubly_robust
from offer_optimizer.evaluate.ledger_log import Categories
from offer_optimizer.evaluate.reward_model import RewardModel
from offer_optimizer.evaluate.rows import DecisionRows, always, following, full_ramp_pmf

LISTED_CONTEXTS: Final = 10
LEAST_CONTEXT_DECISIONS: Final = 100
"""A value of the context seen more rarely is not listed."""
_KEPT_CONTEXTS: Final = 20_000
"""Values of the context that are counted; later new ones are not."""


@dataclass(frozen=True, slots=True)
class ContextDifference:
    """How often the model would differ among decisions with one category of the context."""

    name: str
    value: str
    decision_count: int
    differ_share: float


@dataclass(frozen=True, slots=True)
class OfferShare:
    """How often an offer would be shown by the model, and how often the baseline is it; in [0, 1]."""

    offer_id: str
    model_share: float
    baseline_share: float


@dataclass(frozen=True, slots=True)
class Shadow:
    """The model against the baseline where the ramp is below 1.

    `differ_share` is the mean probability that the model alone would not choose the baseline. The values are
    of the model at ramp 1, floor included, and of the baseline alone, on the same decisions; `gain` is the
    first less the second. By DR; `model_value_ips` is the same by IPS.
    """

    decision_count: int
    differ_share: float | None
    offers: tuple[OfferShare, ...]
    contexts: tuple[ContextDifference, ...]
    model_value: Estimate
    model_value_ips: Estimate
    baseline_value: Estimate
    gain: Estimate


@dataclass
class ShadowSums:
    """What a shadow is made of, while a log is read."""

    decision_count: int = 0
    differ: float = 0.0
    model: Partial = field(default_factory=Partial.empty)
    model_ips: Partial = field(default_factory=Partial.empty)
    baseline: Partial = field(default_factory=Partial.empty)
    gain: Partial = field(default_factory=Partial.empty)
    model_mass: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    baseline_mass: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    by_context: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, rows: DecisionRows, categories: Sequence[Categories], model: RewardModel) -> None:
        """Add rows; those whose model was not logged apart are left out."""
        keep = rows.shadowed()
        if not keep.any():
            return
        here = rows.where(keep)
        self._add_values(here, model)
        self._add_shares(here, [categories[index] for index in np.flatnonzero(keep).tolist()])

    def _add_values(self, rows: DecisionRows, model: RewardModel) -> None:
        of_model, of_baseline = (
            following(rows, full_ramp_pmf(rows), model),
            always(rows, rows.baseline, model),
        )
        self.model += DR().partial(of_model)
        self.model_ips += IPS().partial(of_model)
        self.baseline += DR().partial(of_baseline)
        # Linear in the policy: the difference of the terms of a row is the term of the difference.
        terms = doubly_robust(of_model) - doubly_robust(of_baseline)
        self.gain += Partial.of(of_model, terms, np.ones(len(rows)))

    def _add_shares(self, rows: DecisionRows, categories: Sequence[Categories]) -> None:
        assert rows.model_pmf is not None
        pmf = np.where(rows.eligible, rows.model_pmf.astype(np.float64), 0.0)
        pmf /= pmf.sum(axis=1, keepdims=True)
        differ: Floats = 1.0 - np.where(rows.offers == rows.baseline[:, None], pmf, 0.0).sum(axis=1)
        self.decision_count += len(rows)
        self.differ += float(differ.sum())
        flat, mass = rows.offers[rows.eligible], pmf[rows.eligible]
        for offer, total in enumerate(np.bincount(flat, weights=mass).tolist()):
            self.model_mass[offer] += total
        for offer, count in enumerate(np.bincount(rows.baseline).tolist()):
            self.baseline_mass[offer] += count
        for pairs, share in zip(categories, differ.tolist(), strict=True):
            for category in pairs:
                sums = self.by_context.get(category)
                if sums is None:
                    if len(self.by_context) >= _KEPT_CONTEXTS:
                        continue
                    sums = self.by_context[category] = [0.0, 0.0]
                sums[0] += 1.0
                sums[1] += share

    def shadow(self, offer_ids: Sequence[str]) -> Shadow | None:
        """Return the shadow; None where the ramp was never below 1."""
        if not self.decision_count:
            return None
        gain = self.gain.estimate()
        refused = self.baseline.refusal()
        if refused:
            gain = Estimate(None, None, None, f"the baseline's value is refused: {refused}")
        return Shadow(
            decision_count=self.decision_count,
            differ_share=self.differ / self.decision_count,
            offers=self._offers(offer_ids),
            contexts=self._contexts(),
            model_value=self.model.estimate(),
            model_value_ips=self.model_ips.estimate(),
            baseline_value=self.baseline.estimate(),
            gain=gain,
        )

    def _offers(self, offer_ids: Sequence[str]) -> tuple[OfferShare, ...]:
        count = self.decision_count
        shares = (
            OfferShare(
                offer_id,
                self.model_mass.get(number, 0.0) / count,
                self.baseline_mass.get(number, 0.0) / count,
            )
            for number, offer_id in enumerate(offer_ids)
        )
        found = [share for share in shares if share.model_share > 0.0 or share.baseline_share > 0.0]
        return tuple(sorted(found, key=lambda share: -share.model_share))

    def _contexts(self) -> tuple[ContextDifference, ...]:
        overall = self.differ / self.decision_count
        found = [
            ContextDifference(name, value, int(count), differ / count)
            for (name, value), (count, differ) in self.by_context.items()
            if count >= LEAST_CONTEXT_DECISIONS
        ]
        # Those first that are furthest from the whole, and often enough to matter.
        found.sort(key=lambda c: (-abs(c.differ_share - overall) * c.decision_count**0.5, c.name, c.value))
        return tuple(found[:LISTED_CONTEXTS])
