"""Logged decisions as arrays, and the target policies that a report asks about.

Offers are numbers in a vocabulary that grows while a log is read. Rows differ in how many offers were
eligible: the last columns of `offers` are -1 there, with probability 0. Knows no ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Flags, Floats, Grouping, Ints
from offer_optimizer.evaluate.reward_model import RewardModel, RewardSums


@dataclass(frozen=True, eq=False)
class DecisionRows:
    """Closed decisions that a policy drew, with full consent: what estimators may use.

    Shapes: `visitor`, `reward`, `propensity`, `floor`, `chosen` and `baseline` (n,), the last two as
    offer numbers, -1 for no baseline; `offers`, `pmf` and `model_pmf` (n, k). `model_pmf` is NaN in rows
    whose model was not logged apart (ramp 1), and None where that holds for all rows.
    """

    visitor: Ints
    reward: Floats
    chosen: Ints
    propensity: Floats
    offers: NDArray[np.int32]
    pmf: NDArray[np.float32]
    floor: Floats
    baseline: Ints
    model_pmf: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def grouping(self) -> Grouping:
        """Rows by visitor."""
        return Grouping.of(self.visitor)

    @cached_property
    def eligible(self) -> Flags:
        """Which entries of `offers` are offers, shape (n, k)."""
        flags: Flags = self.offers >= 0
        return flags

    def rewards(self, offer_count: int) -> RewardSums:
        """Return what a reward model learns from these rows."""
        return RewardSums.of(self.visitor, self.chosen, self.reward, offer_count)

    def shadowed(self) -> Flags:
        """Return in which rows the model's own pmf was logged and there was a baseline, shape (n,)."""
        if self.model_pmf is None:
            return np.zeros(len(self), dtype=np.bool_)
        flags: Flags = ~np.isnan(self.model_pmf[:, 0]) & (self.baseline >= 0)
        return flags

    def where(self, keep: Flags) -> DecisionRows:
        """Return the rows where `keep` is true."""
        return DecisionRows(
            self.visitor[keep],
            self.reward[keep],
            self.chosen[keep],
            self.propensity[keep],
            self.offers[keep],
            self.pmf[keep],
            self.floor[keep],
            self.baseline[keep],
            None if self.model_pmf is None else self.model_pmf[keep],
        )


def always(rows: DecisionRows, offer: int | Ints, model: RewardModel) -> Batch:
    """Return rows under the policy that shows one offer, or in each row its own, shape (n,).

    Only rows in which that offer is eligible may be used.
    """
    wanted = np.broadcast_to(np.asarray(offer, dtype=np.int64), len(rows)).copy()
    mass = np.where(rows.offers == wanted[:, None], rows.pmf, np.float32(0.0)).sum(axis=1)
    return Batch(
        reward=rows.reward,
        propensity=rows.propensity,
        target=(rows.chosen == wanted).astype(np.float64),
        visitor=rows.visitor,
        unsupported=(mass <= 0.0).astype(np.float64),
        predicted=model.of(rows.visitor, rows.chosen),
        expected=model.of(rows.visitor, wanted),
        known_grouping=rows.grouping,
    )


def following(rows: DecisionRows, target: Floats, model: RewardModel) -> Batch:
    """Return rows under a policy given by its pmf, shape (n, k), 0 where no offer is eligible."""
    is_chosen = rows.offers == rows.chosen[:, None]
    expected = model.of(rows.visitor, np.maximum(rows.offers, 0).astype(np.int64))
    return Batch(
        reward=rows.reward,
        propensity=rows.propensity,
        target=np.where(is_chosen, target, 0.0).sum(axis=1),
        visitor=rows.visitor,
        unsupported=np.where(rows.pmf > 0.0, 0.0, target).sum(axis=1),
        predicted=model.of(rows.visitor, rows.chosen),
        expected=(target * expected).sum(axis=1),
        known_grouping=rows.grouping,
    )


def uniform_pmf(rows: DecisionRows) -> Floats:
    """Return the pmf that is uniform over the eligible, shape (n, k)."""
    pmf: Floats = rows.eligible / rows.eligible.sum(axis=1, keepdims=True)
    return pmf


def full_ramp_pmf(rows: DecisionRows) -> Floats:
    """Return what would be served at ramp 1: (1 - floor) * model + floor / n, shape (n, k).

    For rows whose model's pmf was logged. Raises ValueError where none was.
    """
    if rows.model_pmf is None:
        raise ValueError("model_pmf: was not logged in any row")
    floor = rows.floor[:, None]
    model = np.where(rows.eligible, rows.model_pmf.astype(np.float64), 0.0)
    model /= model.sum(axis=1, keepdims=True)
    return (1.0 - floor) * model + floor * uniform_pmf(rows)
