"""Were offers chosen as often as their pmfs say? Statistics over all decisions that a policy drew.

Nothing is assumed of policies, contexts or visitors: given what happened before, each choice is a draw from
its own pmf, so (chosen or not) minus probability has mean zero and a known variance, whatever the pmfs depend
on. Whether a deferred decision is shown may depend on its context; given that, it may not depend on the draw.

Each of the four families of tests is false alarm with probability ALPHA at most, over all of its tests
together (Bonferroni): the tails of sums are bounded (Freedman), those of chi-square tests approximate, and
therefore used only in directions that have seen enough choices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from offer_optimizer.evaluate.verify_findings import IDS_KEPT, Check, Problem

ALPHA: Final = 1e-4
"""Of each family, over all its tests."""
LEAST_VARIANCE: Final = 50.0
"""A direction of a chi-square test counts from so much variance on, about as many choices either way."""
_BUFFERED: Final = 4096
_BINS: Final = 24
"""Bins of probabilities, one a factor of two: the last holds all under 2^-23."""

Floats = NDArray[np.float64]
Statistic = tuple[Problem, float, tuple[bytes, ...], int]
"""A problem if its p-value is too small, the p-value, some decisions, and how many it is about."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One draw of a policy: its eligible offers' ids, its renormalised pmf, and what was chosen.

    `is_shown` says of a closed deferred decision whether it was activated; None of all others.
    """

    decision_id: bytes
    placement_id: str
    policy_epoch: bytes
    offers: tuple[str, ...]
    pmf: tuple[float, ...]
    chosen: int
    is_shown: bool | None = None


@dataclass
class _Scores:
    """Sums over draws of (chosen or not) minus probability, by offer, and their covariance."""

    places: dict[str, int] = field(default_factory=dict)
    count: int = 0
    sums: Floats = field(default_factory=lambda: np.zeros(0))
    covariance: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, offers: Sequence[str], pmfs: Floats, chosen: NDArray[np.intp]) -> None:
        """Add draws over the same offers: `pmfs` has a row for each draw."""
        index = self.grown(offers)
        self.count += len(chosen)
        self.sums[index] += np.bincount(chosen, minlength=len(offers)) - pmfs.sum(axis=0)
        block = np.diag(pmfs.sum(axis=0)) - pmfs.T @ pmfs
        self.covariance[np.ix_(index, index)] += block

    def grown(self, offers: Sequence[str]) -> list[int]:
        """Return the places of offers, made where they are new."""
        index = [self.places.setdefault(offer, len(self.places)) for offer in offers]
        size = len(self.places)
        missing = size - len(self.sums)
        if missing:
            self.sums = np.pad(self.sums, (0, missing))
            self.covariance = np.pad(self.covariance, ((0, missing), (0, missing)))
        return index


@dataclass
class _Bounded:
    """A sum of bounded martingale differences: its value, its predictable variance, the largest step."""

    value: float = 0.0
    variance: float = 0.0
    step: float = 0.0
    count: int = 0

    def p_value(self) -> float:
        """Return a bound on the probability of a value as far from zero, either way.

        Source: Freedman 1975, On tail probabilities for martingales, theorem 1.6.
        """
        if self.value == 0.0:
            return 1.0
        spread = self.variance + self.step * abs(self.value) / 3.0
        return min(1.0, 2.0 * math.exp(-0.5 * self.value**2 / spread)) if spread > 0.0 else 0.0


class Choices:
    """Collects draws and tests them. Draws over the same offers are added together, to be quick."""

    def __init__(self) -> None:
        self.count = 0
        self.shown_count = 0
        self._waiting: dict[tuple[str, bytes, tuple[str, ...]], list[Choice]] = {}
        self._waiting_count = 0
        self._scores: dict[tuple[str, bytes], _Scores] = {}
        self._inverse: dict[tuple[str, bytes, str], _Bounded] = {}
        self._bins: dict[int, _Bounded] = {}
        self._activation: dict[tuple[str, bool], _Scores] = {}
        self._examples: dict[tuple[str, str], list[bytes]] = {}

    def add(self, choice: Choice) -> None:
        """Add a draw."""
        self.count += 1
        self.shown_count += choice.is_shown is not None
        key = (choice.placement_id, choice.policy_epoch, choice.offers)
        self._waiting.setdefault(key, []).append(choice)
        self._waiting_count += 1
        if self._waiting_count >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        for (placement_id, epoch, offers), choices in self._waiting.items():
            pmfs = np.array([choice.pmf for choice in choices])
            chosen = np.array([choice.chosen for choice in choices], dtype=np.intp)
            self._scores.setdefault((placement_id, epoch), _Scores()).add(offers, pmfs, chosen)
            self._add_inverse(placement_id, epoch, offers, pmfs, chosen)
            self._add_bins(pmfs, chosen)
            for is_shown in (False, True):
                rows = [row for row, choice in enumerate(choices) if choice.is_shown is is_shown]
                if rows:
                    scores = self._activation.setdefault((placement_id, is_shown), _Scores())
                    scores.add(offers, pmfs[rows], chosen[rows])
            for choice in choices:
                kept = self._examples.setdefault((placement_id, offers[choice.chosen]), [])
                if len(kept) < IDS_KEPT:
                    kept.append(choice.decision_id)
        self._waiting.clear()
        self._waiting_count = 0

    def _add_inverse(
        self, placement_id: str, epoch: bytes, offers: Sequence[str], pmfs: Floats, chosen: NDArray[np.intp]
    ) -> None:
        for place, offer in enumerate(offers):
            # Where an offer can't be chosen, there is nothing to weigh; drawing it is found by the draw.
            p = pmfs[pmfs[:, place] > 0.0, place]
            if not len(p):
                continue
            hits = pmfs[(chosen == place) & (pmfs[:, place] > 0.0), place]
            sums = self._inverse.setdefault((placement_id, epoch, offer), _Bounded())
            sums.value += float((1.0 / hits).sum()) - len(p)
            sums.variance += float(((1.0 - p) / p).sum())
            sums.step = max(sums.step, float(1.0 / p.min()))
            sums.count += len(p)

    def _add_bins(self, pmfs: Floats, chosen: NDArray[np.intp]) -> None:
        bins = np.minimum(-np.frexp(pmfs)[1], _BINS - 1)
        hit_bins = bins[np.arange(len(chosen)), chosen]
        for number in np.unique(bins):
            inside = np.where(bins == number, pmfs, 0.0).sum(axis=1)
            sums = self._bins.setdefault(int(number), _Bounded(step=1.0))
            sums.value += float((hit_bins == number).sum() - inside.sum())
            sums.variance += float((inside * (1.0 - inside)).sum())
            sums.count += int((hit_bins == number).sum())

    def problems(self) -> Iterator[tuple[Problem, tuple[bytes, ...], int]]:
        """Yield what can't be chance, with some decisions and how many it is about."""
        self._flush()
        families = (self._test_inverse(), self._test_choices(), self._test_bins(), self._test_activation())
        for family in families:
            tests = list(family)
            for problem, p_value, decision_ids, count in tests:
                if p_value * len(tests) < ALPHA:
                    yield problem, decision_ids, count

    def _test_inverse(self) -> Iterator[Statistic]:
        for (placement_id, epoch, offer), sums in self._inverse.items():
            p_value = sums.p_value()
            what = f"offer {offer} at {placement_id}: the sum of 1/p is not its traffic"
            weighed = f"{sums.value + sums.count:.1f} over {sums.count}"
            detail = f"{weighed}, epoch {epoch.hex()[:8]}, p < {p_value:.1g}"
            examples = tuple(self._examples.get((placement_id, offer), ()))
            yield Problem(Check.INVERSE_PROPENSITY, what, detail), p_value, examples, sums.count

    def _test_choices(self) -> Iterator[Statistic]:
        for (placement_id, epoch), scores in self._scores.items():
            statistic, freedom = chi_square(scores.sums, scores.covariance)
            if freedom:
                p_value = float(chdtrc(freedom, statistic))
                detail = f"{_told(statistic, freedom, p_value)}, epoch {epoch.hex()[:8]}"
                problem = Problem(Check.CHOICES, f"choices at {placement_id} don't follow the pmfs", detail)
                yield problem, p_value, self._worst(placement_id, scores), scores.count

    def _test_bins(self) -> Iterator[Statistic]:
        for number, sums in sorted(self._bins.items()):
            p_value = sums.p_value()
            expected = sums.count - sums.value
            what = f"probabilities about {2.0**-number:.2g} are not met"
            detail = f"chosen {sums.count}, expected {expected:.1f}, p < {p_value:.1g}"
            yield Problem(Check.CALIBRATION, what, detail), p_value, (), sums.count

    def _test_activation(self) -> Iterator[Statistic]:
        for placement_id in sorted({placement_id for placement_id, _ in self._activation}):
            scores = self._weighted_activation(placement_id)
            statistic, freedom = chi_square(scores.sums, scores.covariance)
            if freedom:
                p_value = float(chdtrc(freedom, statistic))
                what = f"whether a deferred decision at {placement_id} is shown depends on the offer"
                problem = Problem(Check.ACTIVATION, what, _told(statistic, freedom, p_value))
                yield problem, p_value, self._worst(placement_id, scores), scores.count

    def _weighted_activation(self, placement_id: str) -> _Scores:
        """Return sums of (shown or not, less its mean) times the score: mean zero if the offer has no say."""
        shown = self._activation.get((placement_id, True), _Scores())
        not_shown = self._activation.get((placement_id, False), _Scores())
        count = shown.count + not_shown.count
        mean = shown.count / count
        both = _Scores()
        for weight, part in ((1.0 - mean, shown), (-mean, not_shown)):
            index = both.grown(list(part.places))
            both.sums[index] += weight * part.sums
            both.covariance[np.ix_(index, index)] += weight**2 * part.covariance
        both.count = count
        return both

    def _worst(self, placement_id: str, scores: _Scores) -> tuple[bytes, ...]:
        """Return decisions that chose the offer that was chosen too often."""
        offers = list(scores.places)
        worst = offers[int(np.argmax(scores.sums / np.sqrt(np.maximum(np.diag(scores.covariance), 1.0))))]
        return tuple(self._examples.get((placement_id, worst), ()))


def _told(statistic: float, freedom: int, p_value: float) -> str:
    return f"chi-square {statistic:.1f}, {freedom} degrees, p {p_value:.1g}"


def chi_square(sums: Floats, covariance: Floats) -> tuple[float, int]:
    """Return the statistic and its degrees of freedom, over directions that have seen enough."""
    if not len(sums):
        return 0.0, 0
    variances, directions = np.linalg.eigh(covariance)
    kept = variances >= LEAST_VARIANCE
    along = directions[:, kept].T @ sums
    return float((along**2 / variances[kept]).sum()), int(kept.sum())
