"""Kinds of intervals, and from a standard error to those of two of them. Pure arithmetic; knows no visitors.

NORMAL and BOOTSTRAP are for one look at a time that was fixed beforehand, and hold as visitors become many.
ANYTIME holds at every look at once, however often somebody looks and whenever they stop, and is about half as
wide again for it. EMPIRICAL_BERNSTEIN and CLOPPER_PEARSON are guaranteed at any number of visitors, for one
look, where their assumptions hold: see evaluate.intervals_guaranteed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scipy.special import stdtrit

from offer_optimizer.core.errors import InvalidInput

CONFIDENCE: Final = 0.95
"""Every interval is two-sided at this level unless told otherwise."""
TIGHTEST_AT: Final = 2000.0
"""Visitors at which the anytime-valid interval is tightest: 3.0 standard errors against 1.96; between 400 and
200,000 it stays under 3.7."""


class Interval(StrEnum):
    """What an interval promises, and how it is made."""

    NORMAL = "normal"
    BOOTSTRAP = "bootstrap"
    EMPIRICAL_BERNSTEIN = "empirical-bernstein"
    CLOPPER_PEARSON = "clopper-pearson"
    ANYTIME = "anytime"

    @property
    def is_guaranteed(self) -> bool:
        """Whether it holds at any number of visitors, without the central limit theorem."""
        return self in (Interval.EMPIRICAL_BERNSTEIN, Interval.CLOPPER_PEARSON)

    @property
    def assumption(self) -> str:
        """What it assumes, as a sentence for people; `Estimate.assumes` adds the numbers."""
        return _ASSUMPTIONS[self]


_ASSUMPTIONS: Final = {
    Interval.NORMAL: "Visitors are independent and many; one look, at a time fixed beforehand.",
    Interval.BOOTSTRAP: "Visitors are independent and many; one look, at a time fixed beforehand.",
    Interval.EMPIRICAL_BERNSTEIN: (
        "Visitors are independent; rewards, weights and decisions a visitor keep within the stated bounds; "
        "one look, at a time fixed beforehand."
    ),
    Interval.CLOPPER_PEARSON: (
        "Visitors are independent and decide once; rewards are 0 or 1; one look, at a time fixed beforehand."
    ),
    Interval.ANYTIME: "Visitors are independent and many; as many looks as wanted.",
}


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of an interval and what it rests on; or None and why it does not hold.

    `refused_reason` is empty where there is an interval, and where a figure may go without one: then
    `assumes` says why.
    """

    low: float | None
    high: float | None
    assumes: str = ""
    refused_reason: str = ""

    @classmethod
    def none(cls, why: str) -> Ends:
        """Return that no interval belongs to the figure, which may stand alone."""
        return cls(None, None, why)

    @classmethod
    def refused(cls, reason: str) -> Ends:
        """Return why the interval that was asked for does not hold here."""
        return cls(None, None, "it would not hold", reason)


def half_width(
    interval: Interval,
    standard_error: float,
    visitor_count: int,
    freedom: float,
    confidence: float = CONFIDENCE,
) -> float:
    """Return half of the width of an interval, NORMAL or ANYTIME; infinite where `freedom` is below 1.

    `freedom` are the degrees of freedom of the standard error: clusters less one. Raises InvalidInput for
    another kind.
    """
    if interval not in (Interval.NORMAL, Interval.ANYTIME):
        raise InvalidInput("interval", f"{interval} is not made from a standard error: use normal or anytime")
    if freedom < 1.0 or visitor_count < 1:
        return math.inf
    if interval is Interval.NORMAL:
        return student_t(freedom, confidence) * standard_error
    return anytime_factor(visitor_count, confidence) * standard_error


def student_t(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Return the two-sided quantile of Student's t."""
    return float(stdtrit(freedom, 0.5 + confidence / 2.0))


def anytime_factor(visitor_count: float, confidence: float = CONFIDENCE) -> float:
    """Return by how many standard errors an estimate may be off, at all numbers of visitors together.

    sqrt((1 + 1 / x) * ln((1 + x) / alpha^2)) with x = t * rho^2: an asymptotic confidence sequence with the
    normal mixture's boundary, rho chosen once for TIGHTEST_AT. Assumes that visitors are independent, with
    finite variance, that the first look comes late enough for the central limit theorem (the thresholds of
    evaluate.support see to that), and that the estimate moves as a mean over arriving visitors does. Where
    they come back that is an approximation: tests/statistical measures what becomes of alpha then.
    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit theory and
    asymptotic confidence sequences", theorem 2.2, and appendix B for rho; arXiv:2103.06476.
    """
    alpha = 1.0 - confidence
    log_term = -2.0 * math.log(alpha)
    x = visitor_count * (log_term + math.log(log_term + 1.0)) / TIGHTEST_AT
    return math.sqrt((1.0 + 1.0 / x) * (math.log1p(x) + log_term))


def welch_freedom(first: float, first_freedom: float, second: float, second_freedom: float) -> float:
    """Return the degrees of freedom of a difference of two estimates with these standard errors.

    Source: Welch 1947, "The generalization of Student's problem", Biometrika 34.
    """
    a, b = first**2, second**2
    if a + b == 0.0:
        return min(first_freedom, second_freedom)
    if min(first_freedom, second_freedom) < 1.0:
        return 0.0
    return (a + b) ** 2 / (a**2 / first_freedom + b**2 / second_freedom)
