"""Differences between policies on one log: paired by row, clustered by visitor, corrected when several.

What both policies owe to the same visitors cancels, so the interval of a difference is narrower than two
intervals side by side would make believe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.special import stdtr

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Log
from offer_optimizer.evaluate.accounts import Account, Claim
from offer_optimizer.evaluate.estimate import Estimate
from offer_optimizer.evaluate.estimators import paired_difference
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.replay import PolicyLike, Replay, Settings, settings_of
from offer_optimizer.evaluate.results import Comparison, Difference
from offer_optimizer.evaluate.target import Verdict


def compare(
    log: Log,
    first: PolicyLike,
    *others: PolicyLike,
    settings: Settings | None = None,
    **options: object,
) -> Comparison:
    """Return by how much a policy earns more a decision than each of some others on the same log.

    With several others, p-values are corrected by Holm's method and intervals hold together (Bonferroni).
    `options` are the fields of Settings, by name. Raises InvalidInput, and what reading the log may raise.
    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    if not others:
        raise InvalidInput("compare", "needs two policies, or more")
    replay = Replay(log, [first, *others], settings_of(settings, dict(options)))
    try:
        replay.run()
        one, *rest = replay.accounts
        pairs = [(one, other) for other in rest]
        return Comparison(tuple(differences(pairs, replay.claim)), replay.evaluation())
    finally:
        replay.close()


def differences(pairs: Sequence[tuple[Account, Account]], claim: Claim) -> list[Difference]:
    """Return the difference of each pair by each estimator that both have, corrected for the number of
    pairs.
    """
    count = len(pairs)
    together = replace(claim, confidence=1.0 - (1.0 - claim.confidence) / count)
    names = list(pairs[0][0].estimator_names())
    found: list[Difference] = []
    for name in names:
        estimates = [_difference(first, second, name, together) for first, second in pairs]
        freedom = pairs[0][0].partial(name).clusters.cluster_count - 1
        tested = [_p_value(freedom, estimate) for estimate in estimates]
        for (first, second), estimate, p, adjusted in zip(
            pairs, estimates, tested, holm(tested), strict=True
        ):
            texts = first.target.text, second.target.text
            found.append(Difference(*texts, name, estimate, p, adjusted, count))
    return found


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected by Holm's method; those that are None stay, and count as tests that were
    made.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(p * (len(p_values) - rank), 1.0))
        adjusted[index] = highest
    return adjusted


def _difference(first: Account, second: Account, name: str, claim: Claim) -> Estimate:
    if first.verdict is not second.verdict and Verdict.TRAJECTORY in (first.verdict, second.verdict):
        return _blank(
            f"{first.target.text} is judged by {first.verdict.value}, {second.target.text} by "
            f"{second.verdict.value}: these are not two values of one thing",
            claim,
        )
    parts = [account.partial(name) for account in (first, second)]
    refusals = [
        f"{account.target.text}: {why}"
        for account, part in zip((first, second), parts, strict=True)
        if (why := account.refusal(part, claim))
    ]
    if not all(part.support.row_count for part in parts):
        return _blank(refusals[0] if refusals else f"{name} has no figure for both", claim)
    # What the log supports was asked above, of whole policies: the sums alone don't know it.
    one, other = (replace(part, traits=replace(part.traits, needs_support=False)) for part in parts)
    force = claim.force or bool(refusals)
    try:
        found = paired_difference(one, other, claim.interval, claim.confidence, force=force, seed=claim.seed)
    except InvalidInput as error:
        return _blank(error.problem, claim)
    if not refusals:
        return found
    marked = replace(found, refused_reason=refusals[0], forced=True)
    return marked if claim.force else replace(marked, value=None, low=None, high=None, forced=False)


def _blank(reason: str, claim: Claim) -> Estimate:
    return Estimate(None, None, None, reason, interval=claim.interval, confidence=claim.confidence)


def _p_value(freedom: int, estimate: Estimate) -> float | None:
    """Return the two-sided p-value of no difference, by Student's t.

    None without a figure, and beside anytime-valid intervals: a p-value holds for one look.
    """
    error = estimate.standard_error
    if estimate.value is None or not error or freedom < 1 or estimate.interval is Interval.ANYTIME:
        return None
    return float(2.0 * stdtr(freedom, -abs(estimate.value / error)))
