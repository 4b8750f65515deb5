"""What an evaluation comes to: typed, frozen, and ready to be printed, stored or drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.features import show
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.learning_curve import CurvePoint
from offer_optimizer.evaluate.results_text import comparison_text, evaluation_text
from offer_optimizer.evaluate.target import Verdict
from offer_optimizer.evaluate.weights import WeightHistogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What a log says about one policy; `policy` is its text.

    `ess`, `max_weight` and `mean_weight` speak of importance weights, in decisions, in a trajectory of
    visitors. `refused` is why figures are withheld, or, where they were forced, why they should be. `curve`
    is for policies that learned on the log.
    """

    policy: str
    verdict: Verdict
    estimates: Mapping[str, Estimate]
    ess: float
    max_weight: float
    mean_weight: float
    unsupported_share: float
    row_count: int
    visitor_count: int
    refused: str
    notes: tuple[str, ...] = ()
    weights: WeightHistogram = field(default_factory=WeightHistogram.empty, repr=False)
    curve: tuple[CurvePoint, ...] = field(default=(), repr=False)

    @property
    def is_forced(self) -> bool:
        """Whether figures were asked for in spite of a refusal."""
        return any(estimate.forced for estimate in self.estimates.values())

    def __getitem__(self, estimator: str) -> Estimate:
        """Return an estimate by the estimator's name. Raises NotFound."""
        found = self.estimates.get(estimator)
        if found is None:
            raise NotFound(f"no estimate by {show(estimator)}; there are {', '.join(self.estimates)}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, as `offer-optimizer replay --json` prints them."""
        return {
            "ess": self.ess,
            "max_weight": self.max_weight,
            "unsupported_share": self.unsupported_share,
            "refused": self.refused or None,
            "estimates": {
                name: {"value": found.value, "low": found.low, "high": found.high}
                for name, found in self.estimates.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a log says about some policies, in the order in which they were asked about.

    `notes` are about the log. Each interval holds for itself.
    """

    log_name: str
    row_count: int
    policies: tuple[PolicyResult, ...]
    interval: Interval
    confidence: float
    notes: tuple[str, ...] = ()

    def __getitem__(self, policy: str) -> PolicyResult:
        """Return a result by the policy's text. Raises NotFound."""
        for found in self.policies:
            if found.policy == policy:
                return found
        known = ", ".join(show(result.policy) for result in self.policies)
        raise NotFound(f"no policy {show(policy)} was evaluated; there are {known}")

    def to_dict(self) -> dict[str, Any]:
        """Return `{"rows": n, "policies": {TEXT: ...}}`, as `offer-optimizer replay --json` prints it."""
        return {
            "rows": self.row_count,
            "policies": {result.policy: result.to_dict() for result in self.policies},
        }

    def to_table(self) -> list[dict[str, Any]]:
        """Return a list of flat rows, one for each policy and estimator: ready for a data frame."""
        return [
            {
                "policy": result.policy,
                "verdict": result.verdict.value,
                "estimator": name,
                **found.to_dict(),
            }
            for result in self.policies
            for name, found in result.estimates.items()
        ]

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw estimates with intervals, weights and learning curves; save the picture where a path is given.

        Needs matplotlib, the extra `plots`. Raises CannotStart where it is missing.
        """
        from offer_optimizer.evaluate.plots import draw  # noqa: PLC0415  (matplotlib takes a second)

        figure: Figure = draw(self, None if path is None else Path(path))
        return figure

    def __str__(self) -> str:
        return evaluation_text(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more one policy earns a decision than another: paired by row, clustered by visitor.

    `p_value` is two-sided, `p_adjusted` corrected for the `comparison_count` comparisons made together
    (Holm), both None where there is no figure. The interval is at 1 - (1 - confidence) /
    `comparison_count`, so all of them hold together.
    """

    first: str
    second: str
    estimator: str
    estimate: Estimate
    p_value: float | None
    p_adjusted: float | None
    comparison_count: int

    def __str__(self) -> str:
        p = "" if self.p_adjusted is None else f", p = {self.p_adjusted:.2g}"
        return f"{self.first} - {self.second} by {self.estimator}: {self.estimate}{p}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between policies on one log, by pair and estimator; `evaluation` has each one's own."""

    differences: tuple[Difference, ...]
    evaluation: Evaluation

    def __getitem__(self, estimator: str) -> Difference:
        """Return the first pair's difference by an estimator's name. Raises NotFound."""
        for found in self.differences:
            if found.estimator == estimator:
                return found
        known = ", ".join(dict.fromkeys(found.estimator for found in self.differences))
        raise NotFound(f"no difference by {show(estimator)}; there are {known}")

    def to_table(self) -> list[dict[str, Any]]:
        """Return a list of flat rows, one for each pair and estimator."""
        return [
            {
                "first": found.first,
                "second": found.second,
                "estimator": found.estimator,
                **found.estimate.to_dict(),
                "p_value": found.p_value,
                "p_adjusted": found.p_adjusted,
            }
            for found in self.differences
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation's figures and the differences, as plain values."""
        return {**self.evaluation.to_dict(), "differences": self.to_table()}

    def __str__(self) -> str:
        return comparison_text(self)
