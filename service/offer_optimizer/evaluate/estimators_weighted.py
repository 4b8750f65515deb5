"""Estimators from importance weights alone: the plain mean, IPS, clipped IPS, SNIPS.

All assume that the logged propensities are right, that the target's actions had a chance in the log, and that
one decision's choice does not change other decisions: caps, budgets and the coming back of visitors are as
they were logged (one step). Holdout rows and pure baseline rows belong in none of them. Below w = target /
propensity, and sums are over rows, each as often as its row weight says.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Aim, Bound, Traits
from offer_optimizer.evaluate.clusters import Flags
from offer_optimizer.evaluate.partial import Partial

CLIP: Final = 10.0
"""Where weights are clipped unless told otherwise, as in the Open Bandit Pipeline's reference figures."""


class MeanReward:
    """The mean reward of the rows as they are: what happened, not what would have.

    Weights and target are not looked at, so support is not asked for. Causal only where rows were not
    selected.
    """

    name: Final = "mean"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        traits = Traits(needs_support=False, bound=Bound.REWARD)
        return Partial.of_ratios(batch, ((batch.reward, np.ones(len(batch))),), keep, traits)


class IPS:
    """Inverse propensity scoring: sum(w r) / n. Unbiased, whatever rewards depend on.

    Source: Horvitz and Thompson 1952; for policies, Li et al. 2011, arXiv:1003.5956.
    """

    name: Final = "ips"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        ratio = (batch.weight * batch.reward, np.ones(len(batch)))
        return Partial.of_ratios(batch, (ratio,), keep, Traits(bound=Bound.WEIGHTED))


class ClippedIPS:
    """IPS with weights clipped: sum(min(w, c) r) / n. Less variance than IPS, and biased towards 0.

    Off by E[(w - c)+ r], at most E[(w - c)+] times the largest reward: `Estimate.bias_bound`. Its intervals
    are of what clipping leaves, and cover the policy's value only when widened by that.
    Source: Ionides 2008, "Truncated importance sampling"; Strehl et al. 2010, arXiv:1003.0120.
    """

    name: Final = "clipped-ips"

    def __init__(self, clip: float = CLIP) -> None:
        """Clip weights at `clip`, above 0."""
        if not clip > 0.0:
            raise InvalidInput("clip", "must be above 0")
        self.clip = clip

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        clipped = np.minimum(batch.weight, self.clip)
        traits = Traits(aim=Aim.CUT, bound=Bound.WEIGHTED, clip=self.clip)
        return Partial.of_ratios(
            batch, ((clipped * batch.reward, np.ones(len(batch))),), keep, traits, clipped
        )


class SNIPS:
    """Self-normalised IPS: sum(w r) / sum(w). Biased by order 1 / n, bounded by the rewards seen.

    Source: Swaminathan and Joachims 2015, "The self-normalized estimator for counterfactual learning".
    """

    name: Final = "snips"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator."""
        ratio = (batch.weight * batch.reward, batch.weight)
        return Partial.of_ratios(batch, (ratio,), keep, Traits(bound=Bound.SELF_NORMALISED))
