"""The report on one placement: what it earned, what the service added, and what each offer is worth.

Every figure is an estimate with an interval or a refusal with its reason. Rewards are those that were
learned, of decisions whose windows have closed. What is said of an offer or the model is one step: caps,
budgets and the coming back of visitors are as they were logged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Reason
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.clusters import Floats
from offer_optimizer.evaluate.estimators import DR, IPS, Estimate, Partial
from offer_optimizer.evaluate.ledger_log import LedgerLog, LogChunk
from offer_optimizer.evaluate.reward_model import RewardModel, RewardSums
from offer_optimizer.evaluate.rows import always
from offer_optimizer.evaluate.shadow import Shadow, ShadowSums
from offer_optimizer.evaluate.uplift import Arms, Uplift, mean_rewards
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.moved import what_was_moved

ROW_LIMIT: Final = 500_000
"""Decisions of one report: the newest. At 20 offers they take some 200 MB and 45 s on one core."""


@dataclass(frozen=True, slots=True)
class OfferReport:
    """What is known of one offer.

    `observed_mean_not_causal` is the mean reward where it was shown: who sees it is no accident. The values
    are of showing it wherever it was eligible, over the `eligible_count` decisions where it was:
    `value_if_shown` by DR, `value_if_shown_ips` by IPS; both from decisions that estimators may use.
    """

    offer_id: str
    decision_count: int
    eligible_count: int
    observed_mean_not_causal: Estimate
    value_if_shown: Estimate
    value_if_shown_ips: Estimate


@dataclass(frozen=True, slots=True)
class PlacementReport:
    """What is known of one placement in [start_us, end_us). Times are microseconds since the epoch.

    `decision_count` is of all decisions; `open_count` of those whose window is open, `left_out_count` of
    those that were never shown or had no reward; what remains is `counted_count`. `learnable_count` of them
    were drawn with full consent. `interruptions_per_reward` says how often somebody is interrupted for one
    unit of reward. `is_cut`: there were more decisions than a report reads, and `start_us` is the oldest
    one's that was.
    """

    placement_id: str
    start_us: int
    end_us: int
    is_cut: bool
    decision_count: int
    open_count: int
    left_out_count: int
    counted_count: int
    learnable_count: int
    anonymous_count: int
    reasons: dict[str, int]
    reward: Estimate
    interruption_count: int
    interruptions_per_reward: Estimate
    uplift: Estimate
    treated: Estimate
    holdout: Estimate
    offers: tuple[OfferReport, ...]
    shadow: Shadow | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return asdict(self)


def report(
    ledger: Ledger, placement_id: str, start_us: int, end_us: int, row_limit: int = ROW_LIMIT
) -> PlacementReport:
    """Report on the decisions of a placement made in [start_us, end_us), microseconds since the epoch.

    Reads at most `row_limit` decisions, the newest. Raises UnknownPlacement. Of days that retention moved
    out the ledger has a few left, which are no fair sample: then `start_us` is behind them.
    """
    moved = what_was_moved(ledger)
    if moved is not None:
        start_us = max(start_us, moved.time_us)
    log = LedgerLog(ledger, placement_id, start_us, end_us, row_limit)
    newest = log.catalogs[max(log.catalogs)] if log.catalogs else None
    if not any(placement_id in catalog.placement_by_id for catalog in log.catalogs.values()):
        raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
    chunks = list(log.chunks())
    if log.is_cut:
        start_us = min(int(chunk.decide_time_us.min()) for chunk in chunks)
    reward, interruptions = _traffic(chunks)
    uplift = _uplift(chunks)
    reasons = Counter(Reason(number).name for chunk in chunks for number in chunk.reason.tolist())
    listed = _listed(log, newest, placement_id)
    model = _reward_model(chunks, len(log.vocabulary))
    return PlacementReport(
        placement_id=placement_id,
        start_us=start_us,
        end_us=end_us,
        is_cut=log.is_cut,
        decision_count=sum(map(len, chunks)),
        open_count=sum(int(chunk.is_open.sum()) for chunk in chunks),
        left_out_count=sum(int((~chunk.is_open & ~chunk.is_counted).sum()) for chunk in chunks),
        counted_count=sum(int(chunk.is_counted.sum()) for chunk in chunks),
        learnable_count=sum(len(chunk.rows) for chunk in chunks),
        anonymous_count=sum(int((chunk.visitor < 0).sum()) for chunk in chunks),
        reasons=dict(sorted(reasons.items())),
        reward=reward.estimate(),
        interruption_count=sum(int((chunk.is_interruption & chunk.is_counted).sum()) for chunk in chunks),
        interruptions_per_reward=_rate(interruptions),
        uplift=uplift.difference,
        treated=uplift.treated,
        holdout=uplift.holdout,
        offers=tuple(_offer(chunks, offer_id, number, model) for offer_id, number in listed),
        shadow=_shadow(chunks, model, log.vocabulary.ids),
    )


def _traffic(chunks: list[LogChunk]) -> tuple[Partial, Partial]:
    """Return reward a decision, and interruptions a unit of reward."""
    reward, interruptions = Partial.empty(), Partial.empty()
    for chunk in chunks:
        reward += mean_rewards(chunk.visitor, chunk.reward, chunk.is_counted)
        ones = np.ones(len(chunk))
        batch = Batch(chunk.reward, ones, ones, chunk.visitor)
        shown = chunk.is_interruption.astype(np.float64)
        interruptions += Partial.of(batch, shown, chunk.reward, chunk.is_counted, needs_support=False)
    return reward, interruptions


def _rate(interruptions: Partial) -> Estimate:
    """Return interruptions a unit of reward; refused where the reward may as well be nothing or below."""
    rate = interruptions.estimate()
    if rate.value is not None and rate.low is not None and (rate.low <= 0.0 or rate.value <= 0.0):
        reason = "the reward is too small or too uncertain to divide by"
        return Estimate(None, None, None, reason, row_count=rate.row_count, visitor_count=rate.visitor_count)
    return rate


def _uplift(chunks: list[LogChunk]) -> Uplift:
    shares: set[float] = set()
    scopes: set[str] = set()
    for chunk in chunks:
        assigned = np.flatnonzero(~np.isnan(chunk.holdout_u))
        shares.update(chunk.holdout_share[assigned].tolist())
        scopes.update(chunk.scope[index] for index in assigned)
    if not shares:
        refused = "no holdout was declared, or no visitor had an id"
        return Arms(0.0, 0.0).uplift(refused)
    arms = Arms(min(shares), max(shares))
    for chunk in chunks:
        number: Floats = np.where(chunk.is_counted, chunk.holdout_u, np.nan)
        arms.add(chunk.visitor, chunk.reward, number)
    if len(scopes) > 1:
        return arms.uplift("the holdout changed from the catalog's to the placement's own: shorten the range")
    return arms.uplift()


def _reward_model(chunks: list[LogChunk], offer_count: int) -> RewardModel:
    nobody = np.empty(0, np.int64)
    sums = RewardSums.of(nobody, nobody, np.empty(0), offer_count)
    for chunk in chunks:
        sums += chunk.rows.rewards(offer_count)
    return sums.fit()


def _listed(log: LedgerLog, newest: Catalog | None, placement_id: str) -> list[tuple[str, int]]:
    """Return offers to report on: what was eligible in the log, then what the catalog in force adds."""
    ids = list(log.vocabulary.ids)
    placement = newest.placement_by_id.get(placement_id) if newest else None
    known = set(ids)
    ids += [offer_id for offer_id in (placement.offers if placement else ()) if offer_id not in known]
    return [(offer_id, number) for number, offer_id in enumerate(ids)]


def _offer(chunks: list[LogChunk], offer_id: str, number: int, model: RewardModel) -> OfferReport:
    observed, by_dr, by_ips = Partial.empty(), Partial.empty(), Partial.empty()
    decisions = 0
    for chunk in chunks:
        shown = chunk.chosen == number
        decisions += int(shown.sum())
        shown &= chunk.is_counted
        if shown.any():
            observed += mean_rewards(chunk.visitor, chunk.reward, shown)
        eligible = (chunk.rows.offers == number).any(axis=1)
        if eligible.any():
            batch = always(chunk.rows, number, model)
            by_dr += DR().partial(batch, eligible)
            by_ips += IPS().partial(batch, eligible)
    return OfferReport(
        offer_id=offer_id,
        decision_count=decisions,
        eligible_count=by_dr.support.row_count,
        observed_mean_not_causal=observed.estimate(),
        value_if_shown=by_dr.estimate(),
        value_if_shown_ips=by_ips.estimate(),
    )


def _shadow(chunks: list[LogChunk], model: RewardModel, offer_ids: list[str]) -> Shadow | None:
    sums = ShadowSums()
    for chunk in chunks:
        sums.add(chunk.rows, chunk.categories, model)
    return sums.shadow(offer_ids)
