"""Estimators with a reward model: DM, DR, SNDR, Switch-DR, DRos.

They assume what evaluate.estimators_weighted says, DM that the model is right instead of the propensities.
The model of a row must not have seen the row's visitor: see evaluate.reward_model. Below q is the model's
value of the chosen action, v its mean under the target policy, w = target / propensity; sums are over rows,
each as often as its row weight says.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Aim, Traits
from offer_optimizer.evaluate.clusters import Flags, Floats
from offer_optimizer.evaluate.partial import Partial

SWITCH: Final = 10.0
"""The largest weight that Switch-DR trusts unless told otherwise."""
SHRINK: Final = 100.0
"""DRos' lambda unless told otherwise. Both as in the Open Bandit Pipeline's reference figures."""


class DM:
    """The direct method: sum(v) / n, what a reward model says. As right as the model, and no more.

    Stands without an interval, because no sampling theory covers what a model gets wrong; withheld like the
    others where the log does not support the policy, because there the model was never put right.
    Source: Dudik, Langford and Li 2011, arXiv:1103.4601, section 2.1.
    """

    name: Final = "dm"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator. Raises InvalidInput for a batch without the columns of a reward model."""
        _, expected = _modelled(batch, "DM")
        traits = Traits(aim=Aim.NOTHING, has_model=True)
        return Partial.of_ratios(batch, ((expected, np.ones(len(batch))),), keep, traits)


class DR:
    """Doubly robust: sum(v + w (r - q)) / n. Unbiased, whatever the model says.

    Source: Dudik, Langford and Li 2011, arXiv:1103.4601; cross-fitting, Chernozhukov et al. 2018,
    arXiv:1608.00060.
    """

    name: Final = "dr"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator. Raises InvalidInput for a batch without the columns of a reward model."""
        ratio = (doubly_robust(batch), np.ones(len(batch)))
        return Partial.of_ratios(batch, (ratio,), keep, Traits(has_model=True))


class SNDR:
    """Self-normalised DR: sum(v) / n + sum(w (r - q)) / sum(w). Biased by order 1 / n.

    Source: Robins et al. 2007, "Performance of double-robust estimators when inverse probability weights are
    highly variable"; Thomas and Brunskill 2016, arXiv:1604.00923.
    """

    name: Final = "sndr"

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator. Raises InvalidInput for a batch without the columns of a reward model."""
        predicted, expected = _modelled(batch, "SNDR")
        ratios = (
            (expected, np.ones(len(batch))),
            (batch.weight * (batch.reward - predicted), batch.weight),
        )
        return Partial.of_ratios(batch, ratios, keep, Traits(has_model=True, signs=(1.0, 1.0)))


class SwitchDR:
    """DR that trusts the model where weights are large: sum(v + w 1{w <= tau} (r - q)) / n.

    Off by E[w 1{w > tau} (q - mean reward)], at most E[w 1{w > tau}] times the range of rewards, if the model
    keeps within it: `Estimate.bias_bound`. Intervals are of what is left, as for clipped IPS.
    Source: Wang, Agarwal and Dudik 2017, arXiv:1612.01205.
    """

    name: Final = "switch-dr"

    def __init__(self, tau: float = SWITCH) -> None:
        """Trust weights up to `tau`, which is at least 0."""
        if not tau >= 0.0:
            raise InvalidInput("tau", "must be at least 0")
        self.tau = tau

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator. Raises InvalidInput for a batch without the columns of a reward model."""
        used = np.where(batch.weight <= self.tau, batch.weight, 0.0)
        return _with_less_weight(batch, used, keep, Traits(aim=Aim.CUT, clip=self.tau, has_model=True))


class DRos:
    """DR with optimistically shrunk weights: sum(v + u (r - q)) / n, u = lambda w / (w^2 + lambda).

    Between DM (lambda 0) and DR (infinite lambda); no u exceeds sqrt(lambda) / 2. Off by E[(w - u) (q - mean
    reward)], at most E[w - u] times the range of rewards: `Estimate.bias_bound`. Intervals are of what is
    left.
    Source: Su, Dimakopoulou, Krishnamurthy and Dudik 2020, arXiv:1907.09623.
    """

    name: Final = "dros"

    def __init__(self, shrink: float = SHRINK) -> None:
        """Shrink weights with lambda = `shrink`, above 0."""
        if not shrink > 0.0:
            raise InvalidInput("shrink", "must be above 0")
        self.shrink = shrink

    def partial(self, batch: Batch, keep: Flags | None = None) -> Partial:
        """See Estimator. Raises InvalidInput for a batch without the columns of a reward model."""
        used = self.shrink * batch.weight / (np.square(batch.weight) + self.shrink)
        traits = Traits(aim=Aim.CUT, clip=0.5 * self.shrink**0.5, has_model=True)
        return _with_less_weight(batch, used, keep, traits)


def doubly_robust(batch: Batch) -> Floats:
    """Return DR's term of every row, shape (n,). Raises InvalidInput without a reward model's columns."""
    predicted, expected = _modelled(batch, "DR")
    terms: Floats = expected + batch.weight * (batch.reward - predicted)
    return terms


def _with_less_weight(batch: Batch, used: Floats, keep: Flags | None, traits: Traits) -> Partial:
    predicted, expected = _modelled(batch, "it")
    ratio = (expected + used * (batch.reward - predicted), np.ones(len(batch)))
    return Partial.of_ratios(batch, (ratio,), keep, traits, used)


def _modelled(batch: Batch, name: str) -> tuple[Floats, Floats]:
    """Return what the reward model says of the chosen action, and of the policy."""
    if batch.predicted is None or batch.expected is None:
        raise InvalidInput("predicted, expected", f"{name} needs a reward model's columns")
    return batch.predicted, batch.expected
