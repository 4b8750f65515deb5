"""What a run brought, and what follows from it: rewards with intervals, the learning curve, the verdict.

Pure: everything here is arithmetic on the record of a run and on the shop's truth. Rewards count only the
feedback that was handed over inside the attribution window, as the service does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.demo import shop
from offer_optimizer.demo.catalog import BASELINE, LEARNED, PLACEMENTS, UNIFORM
from offer_optimizer.demo.intervals import Difference, Mean, clustered_mean, subtract
from offer_optimizer.demo.traffic import Traffic

CURVE_BINS: Final = 12


@dataclass(frozen=True)
class Run:
    """The record of one run, one entry a decision in the order of the plan. All arrays have shape (n,).

    `visit` and `offer` are indices into the traffic and shop.OFFER_IDS, `offer` is -1 where nothing could be
    answered; `decide_s` counts from the start; `reward` is what arrived in the window; `answered_by_client`
    marks the answers that the client gave itself because the service had not answered in time.
    """

    traffic: Traffic
    visit: NDArray[np.int64]
    offer: NDArray[np.int64]
    decide_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    answered_by_client: NDArray[np.bool_]
    reward: NDArray[np.float64]
    late_feedback_count: int
    model_version_count: int
    last_model_position: int

    @cached_property
    def visitor(self) -> NDArray[np.int64]:
        """Who each decision was for."""
        return self.traffic.visitor[self.visit]

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Expected reward of every offer at every decision: shape (n, offers)."""
        known: dict[tuple[str, ...], list[float]] = {}
        rows = []
        for visit in self.visit.tolist():
            who = self.traffic.visits[visit]
            key = who.traits()
            if key not in known:
                known[key] = [shop.true_value(who, offer) for offer in shop.OFFER_IDS]
            rows.append(known[key])
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(shop.OFFER_IDS))

    @cached_property
    def chose_best(self) -> NDArray[np.bool_]:
        """Whether the offer shown was the best possible one for that visitor."""
        shown = np.where(self.offer < 0, 0, self.offer)
        value = np.take_along_axis(self.values, shown[:, None], axis=1)[:, 0]
        best: NDArray[np.bool_] = (value >= self.values.max(axis=1) - 1e-12) & (self.offer >= 0)
        return best

    def at(self, placement_id: str) -> NDArray[np.bool_]:
        """Return which decisions were made at a placement."""
        chosen: NDArray[np.bool_] = self.traffic.placement[self.visit] == PLACEMENTS.index(placement_id)
        return chosen


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One stretch of the run: its middle, rewards by placement, share of best offers when learned."""

    middle_s: float
    reward: dict[str, Mean]
    best_share: Mean


@dataclass(frozen=True, slots=True)
class Results:
    """What the report shows. Latencies in milliseconds."""

    learned: Mean
    learned_last_third: Mean
    uniform: Mean
    baseline: Mean
    best_fixed_offer: str
    best_fixed: Mean
    best_possible: Mean
    over_uniform: Difference
    over_baseline: Difference
    best_share_last_third: Mean
    curve: tuple[CurvePoint, ...]
    latency_ms_p50: float
    latency_ms_p90: float
    latency_ms_p99: float
    latency_ms_p999: float
    duration_s: float
    decision_count: int
    answered_by_client_count: int
    late_feedback_count: int
    model_version_count: int
    last_model_position: int

    @property
    def learned_best(self) -> bool:
        """Whether the learned policy beat both others with confidence: both intervals lie above zero."""
        return self.over_uniform.is_above_zero() and self.over_baseline.is_above_zero()


def summarise(run: Run) -> Results:
    """Work out everything the report shows. A run needs at least one decision."""
    learned, uniform, baseline = (run.at(placement) for placement in PLACEMENTS)
    duration_s = float(run.decide_s.max())
    last_third = learned & (run.decide_s >= duration_s * 2 / 3)
    rewards = {LEARNED: learned, UNIFORM: uniform, BASELINE: baseline}
    means = {placement: _mean(run, run.reward, rows) for placement, rows in rewards.items()}
    fixed = int(run.values[learned].mean(axis=0).argmax()) if learned.any() else 0
    latency_ms = np.percentile(run.latency_s * 1000.0, [50, 90, 99, 99.9])
    return Results(
        learned=means[LEARNED],
        learned_last_third=_mean(run, run.reward, last_third),
        uniform=means[UNIFORM],
        baseline=means[BASELINE],
        best_fixed_offer=shop.OFFER_IDS[fixed],
        best_fixed=_mean(run, run.values[:, fixed], learned),
        best_possible=_mean(run, run.values.max(axis=1), learned),
        over_uniform=subtract(means[LEARNED], means[UNIFORM]),
        over_baseline=subtract(means[LEARNED], means[BASELINE]),
        best_share_last_third=_mean(run, run.chose_best.astype(np.float64), last_third),
        curve=learning_curve(run),
        latency_ms_p50=float(latency_ms[0]),
        latency_ms_p90=float(latency_ms[1]),
        latency_ms_p99=float(latency_ms[2]),
        latency_ms_p999=float(latency_ms[3]),
        duration_s=duration_s,
        decision_count=len(run.visit),
        answered_by_client_count=int(run.answered_by_client.sum()),
        late_feedback_count=run.late_feedback_count,
        model_version_count=run.model_version_count,
        last_model_position=run.last_model_position,
    )


def learning_curve(run: Run) -> tuple[CurvePoint, ...]:
    """Cut the run into CURVE_BINS equal stretches of time and summarise each."""
    edges = np.linspace(0.0, float(run.decide_s.max()), CURVE_BINS + 1)
    stretch = np.clip(np.searchsorted(edges, run.decide_s, side="right") - 1, 0, CURVE_BINS - 1)
    points = []
    for index in range(CURVE_BINS):
        rows = stretch == index
        points.append(
            CurvePoint(
                middle_s=float(edges[index] + edges[index + 1]) / 2,
                reward={
                    placement: _mean(run, run.reward, rows & run.at(placement)) for placement in PLACEMENTS
                },
                best_share=_mean(run, run.chose_best.astype(np.float64), rows & run.at(LEARNED)),
            )
        )
    return tuple(points)


def _mean(run: Run, values: NDArray[np.float64], rows: NDArray[np.bool_]) -> Mean:
    return clustered_mean(values[rows], run.visitor[rows])
