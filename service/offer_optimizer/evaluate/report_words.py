"""What estimators, intervals and verdicts assume, in words for people who decide by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.target import Verdict

VERDICT_WORDS: Final[Mapping[Verdict, str]] = {
    Verdict.ONE_STEP: (
        "one decision is changed at a time. Caps, budgets and the coming back of visitors are as they were "
        "logged."
    ),
    Verdict.STATE_AS_LOGGED: (
        "the catalog's rules, caps and budgets act on the counters that the log read. If every decision "
        "changed, the counters would be others."
    ),
    Verdict.TRAJECTORY: (
        "all decisions of a visitor are changed together, so caps fill as they would have. What other "
        "visitors are shown changes nothing for this one; budgets and other placements are as logged."
    ),
}

ESTIMATOR_WORDS: Final[Mapping[str, str]] = {
    "mean": "what was earned as it was logged; it says nothing of another policy.",
    "ips": "right on average where the logged probabilities are right. Large weights make it jump.",
    "snips": "like ips, divided by the weights that fell: steadier, and off by little in small logs.",
    "clipped-ips": "weights are cut at a limit: steadier, and off by at most the bias that is printed.",
    "dm": "what a model of rewards says. As right as the model, and no more: it has no interval.",
    "dr": "a model of rewards, put right by weighted decisions: right where either the logged probabilities "
    "or the model are, and steadier than ips where the model is good.",
    "sndr": "like dr, divided by the weights that fell.",
    "switch-dr": "like dr, with the model alone where weights are large; off by at most the printed bias.",
    "dros": "like dr with large weights shrunk; off by at most the bias that is printed.",
}

INTERVAL_WORDS: Final[Mapping[Interval, str]] = {
    Interval.NORMAL: (
        "hold for one look at a time fixed beforehand, with many visitors that are independent of each other."
    ),
    Interval.BOOTSTRAP: (
        "made by drawing visitors again; they hold like normal ones, and follow a skew that those ignore."
    ),
    Interval.EMPIRICAL_BERNSTEIN: (
        "hold for any number of visitors, given the range of rewards; they are wide by nature."
    ),
    Interval.CLOPPER_PEARSON: (
        "hold for any number of visitors who bring one decision each; they are wide by nature."
    ),
    Interval.ANYTIME: (
        "hold however often somebody looks and whenever they stop; about half as wide again for it."
    ),
}
