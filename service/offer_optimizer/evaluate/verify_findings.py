"""What verify reports: which check, what is wrong, how often, and the first decisions where it is.

What always holds: findings of one problem are one line, however many decisions have it; a check that judged
nothing says so by its count of zero. It knows nothing of how anything is derived.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from offer_optimizer.core.ids import format_decision_id

IDS_KEPT: Final = 5
"""Decision ids that a finding names: enough to look at, few enough to print."""


class Check(StrEnum):
    """What is checked, in the order of the table. Values are printed and part of the JSON output."""

    RECORD = "record"
    CANDIDATES = "candidates"
    EXCLUSIONS = "exclusions"
    BASELINE = "baseline"
    MIX_SETTINGS = "ramp_and_floor"
    HOLDOUT = "holdout"
    REASON = "reason"
    CONSENT = "consent"
    PMF = "pmf"
    FLOOR = "floor"
    MIX = "mix"
    PURE = "pure_answers"
    DRAW = "draw"
    PROPENSITY = "propensity"
    RECOUNT = "recount"
    LEARNED = "learned"
    INVERSE_PROPENSITY = "inverse_propensity"
    CHOICES = "choices"
    CALIBRATION = "calibration"
    ACTIVATION = "activation"


MEANING: Final[dict[Check, str]] = {
    Check.RECORD: "names a known catalog revision, placement, salt and offers",
    Check.CANDIDATES: "the placement's offers in order, or the inline ones",
    Check.EXCLUSIONS: "each with its first reason, and nobody else",
    Check.BASELINE: "the first eligible one of the list, else nothing",
    Check.MIX_SETTINGS: "ramp and floor as the catalog says",
    Check.HOLDOUT: "number below the share, and the reason there and only there",
    Check.REASON: "the reason that consent, holdout, mix and eligible give",
    Check.CONSENT: "without consent neither visitor nor context is kept",
    Check.PMF: "one probability for each eligible offer, sum 1",
    Check.FLOOR: "every probability at least floor / n",
    Check.MIX: "baseline, model and floor mixed as logged (ramp below 1)",
    Check.PURE: "the baseline with propensity 1",
    Check.DRAW: "the salt's draw walks to the choice",
    Check.PROPENSITY: "the pmf at the choice, renormalised",
    Check.RECOUNT: "caps on `decide` count what the ledger has; hard budgets hold",
    Check.LEARNED: "only what the policy drew, with full consent, and was shown",
    Check.INVERSE_PROPENSITY: "sum of 1/p of an offer equals its traffic (statistical)",
    Check.CHOICES: "offers are chosen as often as their pmfs say (statistical)",
    Check.CALIBRATION: "so are rare and frequent choices alike (statistical)",
    Check.ACTIVATION: "whether a deferred decision is shown doesn't depend on the offer (statistical)",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect of one decision: `what` is the same for all of its kind, `detail` tells this one."""

    check: Check
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, how many decisions have it, the first of them, and the detail of the very first."""

    check: Check
    what: str
    count: int
    decision_ids: tuple[str, ...]
    detail: str

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        named = ", ".join(self.decision_ids) or "none to name"
        return f"{self.check}: {self.what}{detail}: {self.count} decision(s): {named}"


@dataclass
class _Tally:
    detail: str
    count: int = 0
    decision_ids: list[str] = field(default_factory=list)


class Findings:
    """Collects problems and counts what was judged."""

    def __init__(self) -> None:
        self.judged: Counter[Check] = Counter()
        self._tallies: dict[tuple[Check, str], _Tally] = {}

    def note(self, problem: Problem, decision_ids: tuple[bytes, ...], count: int = 1) -> None:
        """Add a problem of one decision, or of `count` decisions of which some are named."""
        tally = self._tallies.setdefault((problem.check, problem.what), _Tally(problem.detail))
        tally.count += count
        for decision_id in decision_ids[: max(IDS_KEPT - len(tally.decision_ids), 0)]:
            # A damaged id has another length, and is shown as it is.
            is_whole = len(decision_id) == 16
            tally.decision_ids.append(format_decision_id(decision_id) if is_whole else decision_id.hex())

    def listed(self) -> tuple[Finding, ...]:
        """Return one finding a problem, in the order of the checks."""
        order = list(Check)
        found = [
            Finding(check, what, tally.count, tuple(tally.decision_ids), tally.detail)
            for (check, what), tally in self._tallies.items()
        ]
        return tuple(sorted(found, key=lambda finding: order.index(finding.check)))
