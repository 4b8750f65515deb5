"""What a shadow policy would have earned on live traffic, and by how much more than the one that serves.

Every decision is judged with a pmf of before its reward was learned, mixed with baseline and floor as the
decision logged them: the shadow as it would have served. So a row's importance-weighted term is right given
all that came before, whatever the shadow and the reward model below have learned by then. Rows are summed in
blocks of fixed size and in their order, and what is kept is exact: stopping and going on, or a rebuild, come
to the same bytes. Intervals are confidence sequences clustered by visitor; of several shadows each gets its
share of the error (Bonferroni), so that all of them hold together. Knows no ledger and no file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from offer_optimizer.core.catalog import ShadowGate
from offer_optimizer.decide.mix import mix
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Floats
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.estimators import DR, IPS, SNIPS, Partial, doubly_robust
from offer_optimizer.evaluate.intervals import CONFIDENCE, Interval
from offer_optimizer.evaluate.partial_state import partial_from_plain, partial_to_plain
from offer_optimizer.learn.shadow_training import Judged

BLOCK: Final = 256
"""Rows summed at a time: one at a time costs ten times as much."""
PRIOR: Final = 20.0
"""Decisions that the mean of all offers counts for in an offer's own: an estimate stays right at any."""
ROUNDING: Final = 1e-6
"""Pmfs are stored in single precision: a difference of less, in parts of the reward, is none."""
_KNOWN_OFFERS: Final = 2_000
"""Offers with a mean of their own; later new ones have that of all."""
Row = tuple[float, float, float, int, float, float, float, float, float]
"""Reward, propensity, target, visitor, unsupported, predicted, expected, expected as logged, row weight."""


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """What is known of a shadow by now, in rewards a decision; `gain` is shadow less incumbent.

    The values stand at 95 % each; the gains at a level that all shadows of the placement share.
    """

    judged_count: int
    incumbent: Estimate
    ips: Estimate
    snips: Estimate
    dr: Estimate
    gain: Estimate
    gain_ips: Estimate


def _incumbent(batch: Batch, _logged: Floats) -> Partial:
    return Partial.of(batch, batch.reward, np.ones(len(batch)), needs_support=False)


def _gain(batch: Batch, logged: Floats) -> Partial:
    """Sum differences of two doubly robust terms: 0 where both policies would do the same."""
    assert batch.predicted is not None
    terms = doubly_robust(batch) - (logged + batch.reward - batch.predicted)
    scale = np.abs(batch.reward) + np.abs(batch.predicted)
    return Partial.of(batch, _above_rounding(terms, scale), np.ones(len(batch)))


def _gain_ips(batch: Batch, _logged: Floats) -> Partial:
    terms = (batch.weight - 1.0) * batch.reward
    return Partial.of(batch, _above_rounding(terms, np.abs(batch.reward)), np.ones(len(batch)))


def _above_rounding(terms: Floats, scale: Floats) -> Floats:
    """Return terms without those that are rounding: of a policy like the incumbent no other are there."""
    kept: Floats = np.where(np.abs(terms) > ROUNDING * scale, terms, 0.0)
    return kept


_PARTS: Final[dict[str, Callable[[Batch, Floats], Partial]]] = {
    "incumbent": _incumbent,
    "ips": lambda batch, _: IPS().partial(batch),
    "snips": lambda batch, _: SNIPS().partial(batch),
    "dr": lambda batch, _: DR().partial(batch),
    "gain": _gain,
    "gain_ips": _gain_ips,
}


class ShadowJudge:
    """Sums over the decisions that a shadow was judged on. Implements learn.shadow_training.Judge."""

    def __init__(self, state: bytes = b"") -> None:
        """Go on from what `save` returned; from nothing by default."""
        kept: dict[str, Any] = json.loads(state) if state else {}
        self.judged_count: int = kept.get("judged_count", 0)
        self._rows: list[Row] = [tuple(row) for row in kept.get("rows", ())]
        self._means: dict[str, list[float]] = kept.get("means", {})
        self._all: list[float] = kept.get("all", [0.0, 0.0])
        self._parts = {name: Partial.empty() for name in _PARTS}
        if "parts" in kept:
            like = _sums([(0.0, 1.0, 1.0, 0, 0.0, 0.0, 0.0, 0.0, 1.0)])
            self._parts = {name: partial_from_plain(part, like[name]) for name, part in kept["parts"].items()}

    def save(self) -> bytes:
        """Return everything as JSON: loading it and going on equals never having stopped, byte for byte."""
        content: dict[str, Any] = {
            "judged_count": self.judged_count,
            "rows": self._rows,
            "means": self._means,
            "all": self._all,
        }
        if self.judged_count >= BLOCK:
            content["parts"] = {name: partial_to_plain(part) for name, part in self._parts.items()}
        return json.dumps(content, sort_keys=True).encode()

    def add(self, judged: Judged) -> None:
        """Judge one decision, in the order in which decisions are learned."""
        self._rows.append(self._row(judged))
        self.judged_count += 1
        if len(self._rows) == BLOCK:
            self._parts = _added(self._parts, self._rows)
            self._rows = []

    def verdict(self, shadow_count: int) -> ShadowVerdict:
        """Return what is known by now, with `shadow_count` shadows at the placement, this one included."""
        parts = _added(self._parts, self._rows) if self._rows else self._parts
        shared = 1.0 - (1.0 - CONFIDENCE) / max(shadow_count, 1)

        def estimate(name: str, confidence: float = CONFIDENCE) -> Estimate:
            return parts[name].estimate(Interval.ANYTIME, confidence)

        return ShadowVerdict(
            self.judged_count,
            estimate("incumbent"),
            estimate("ips"),
            estimate("snips"),
            estimate("dr"),
            estimate("gain", shared),
            estimate("gain_ips", shared),
        )

    def passed(self, gate: ShadowGate, shadow_count: int) -> str:
        """Return the sentence that a gate is passed with, empty where it is not passed."""
        gain = self.verdict(shadow_count).gain
        if gain.low is None or gain.visitor_count < gate.visitors or not gain.is_above(gate.margin):
            return ""
        return (
            f"gains {gain.value:.6g} a decision, at least {gain.low:.6g} > {gate.margin:g} at any look with "
            f"{gain.confidence:.4%} confidence; {gain.visitor_count} visitors, {gain.row_count} decisions"
        )

    def _row(self, judged: Judged) -> Row:
        decision, slot = judged.decision, judged.decision.slots[0]
        count = len(judged.actions)
        served = mix(judged.pmf, decision.baseline, count, decision.ramp, decision.floor).astype(np.float64)
        served /= served.sum()
        logged = slot.pmf.astype(np.float64)
        logged /= logged.sum()
        predicted = np.array([self._predicted(action.id) for action in judged.actions])
        chosen, visitor = slot.chosen, judged.visitor_key
        self._learn(judged.actions[chosen].id, judged.reward, judged.weight)
        return (
            judged.reward,
            slot.propensity,
            float(served[chosen]),
            -1 - self.judged_count if visitor is None else visitor,
            float(served[logged <= 0.0].sum()),
            float(predicted[chosen]),
            float(np.dot(served, predicted)),
            float(np.dot(logged, predicted)),
            judged.weight,
        )

    def _predicted(self, offer_id: str) -> float:
        """Return an offer's mean reward so far, shrunk to that of all."""
        weight, total = self._all
        overall = total / weight if weight else 0.0
        own = self._means.get(offer_id)
        return overall if own is None else (own[1] + PRIOR * overall) / (own[0] + PRIOR)

    def _learn(self, offer_id: str, reward: float, weight: float) -> None:
        known = self._means.get(offer_id)
        if known is None and len(self._means) < _KNOWN_OFFERS:
            known = self._means[offer_id] = [0.0, 0.0]
        for sums in (self._all, known):
            if sums is not None:
                sums[0] += weight
                sums[1] += weight * reward


def _added(parts: dict[str, Partial], rows: list[Row]) -> dict[str, Partial]:
    return {name: parts[name] + part for name, part in _sums(rows).items()}


def _sums(rows: list[Row]) -> dict[str, Partial]:
    """Return the part of every estimate that some rows make."""
    columns = [np.array(column, np.float64) for column in zip(*rows, strict=True)]
    visitor = np.array([row[3] for row in rows], np.int64)
    reward, propensity, target, _, unsupported, predicted, expected, logged, weight = columns
    batch = Batch(reward, propensity, target, visitor, unsupported, predicted, expected, weight)
    return {name: part(batch, logged) for name, part in _PARTS.items()}
