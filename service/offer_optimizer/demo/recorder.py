"""The record of a run while it is made: one row a planned visit, written by threads, read by the display.

Every cell has one writer: the worker that decided the visit or, for `reward`, whoever hands feedback over.
`decide_s` is written last, so a row with a time is whole but for feedback still to come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offer_optimizer.demo import shop
from offer_optimizer.demo.catalog import BASELINE, LEARNED, PLACEMENTS, UNIFORM
from offer_optimizer.demo.results import Run
from offer_optimizer.demo.traffic import Traffic

ROLLING_S = 15.0
"""What the display calls "lately"; rewards lag by the attribution window."""

_FEEDBACK_REWARD = {
    offer: {
        "click": shop.reward(offer, click=True, conversion=False, dismiss=False),
        "conversion": shop.reward(offer, click=False, conversion=True, dismiss=False),
        "dismiss": shop.reward(offer, click=False, conversion=False, dismiss=True),
    }
    for offer in shop.OFFER_IDS
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How the run goes. Rewards and shares are over the last ROLLING_S; NaN where nothing is known yet."""

    elapsed_s: float
    decision_count: int
    decisions_per_s: float
    reward: dict[str, float]
    best_share: float
    latency_ms_p50: float
    latency_ms_p99: float
    model_version_count: int
    answered_by_client_count: int


class Recorder:
    """Collects decisions and the feedback that came in time."""

    def __init__(self, traffic: Traffic) -> None:
        """Make room for every planned visit."""
        count = len(traffic)
        self._traffic = traffic
        self._offer = np.full(count, -1, dtype=np.int64)
        self._decide_s = np.full(count, -1.0)
        self._latency_s = np.zeros(count)
        self._answered_by_client = np.zeros(count, dtype=np.bool_)
        self._best = np.zeros(count, dtype=np.bool_)
        self._reward = np.zeros(count)
        self._late_count = 0
        self._model_versions: set[str] = set()
        self._last_position = 0
        self._best_offers: dict[tuple[str, ...], frozenset[str]] = {}

    def add_decision(
        self,
        visit: int,
        *,
        at_s: float,
        latency_s: float,
        offer_id: str | None,
        by_client: bool,
        model_version: str,
    ) -> None:
        """Record an answer; `at_s` is when it came, from the start of the run."""
        if offer_id is not None:
            self._offer[visit] = shop.OFFER_IDS.index(offer_id)
            self._best[visit] = offer_id in self._find_best(visit)
        self._latency_s[visit] = latency_s
        self._answered_by_client[visit] = by_client
        if model_version and self._traffic.placement[visit] == PLACEMENTS.index(LEARNED):
            self._note_model(model_version)
        self._decide_s[visit] = at_s

    def add_feedback(self, visit: int, kind: str, *, after_s: float) -> None:
        """Record feedback handed over `after_s` seconds after its decision; late feedback earns nothing."""
        if after_s >= shop.WINDOW_S:
            self._late_count += 1
            return
        self._reward[visit] += _FEEDBACK_REWARD[shop.OFFER_IDS[int(self._offer[visit])]][kind]

    def progress(self, now_s: float) -> Progress:
        """Look at the run `now_s` seconds after its start."""
        done = self._decide_s >= 0.0
        lately = self._decide_s >= max(0.0, now_s - ROLLING_S)
        closed_by_s = now_s - shop.WINDOW_S
        closed = (self._decide_s >= max(0.0, closed_by_s - ROLLING_S)) & (self._decide_s < closed_by_s)
        learned = self._rows(LEARNED)
        latency_ms = self._latency_s[lately] * 1000.0
        return Progress(
            elapsed_s=now_s,
            decision_count=int(done.sum()),
            decisions_per_s=float(lately.sum()) / max(1e-9, min(now_s, ROLLING_S)),
            reward={
                place: _mean(self._reward[closed & self._rows(place)])
                for place in (LEARNED, UNIFORM, BASELINE)
            },
            best_share=_mean(self._best[lately & learned].astype(np.float64)),
            latency_ms_p50=float(np.percentile(latency_ms, 50)) if len(latency_ms) else float("nan"),
            latency_ms_p99=float(np.percentile(latency_ms, 99)) if len(latency_ms) else float("nan"),
            model_version_count=len(self._model_versions),
            answered_by_client_count=int((self._answered_by_client & done).sum()),
        )

    def finish(self) -> Run:
        """Return the run, without the visits that were planned but never came."""
        visit = np.flatnonzero(self._decide_s >= 0.0)
        return Run(
            traffic=self._traffic,
            visit=visit,
            offer=self._offer[visit],
            decide_s=self._decide_s[visit],
            latency_s=self._latency_s[visit],
            answered_by_client=self._answered_by_client[visit],
            reward=self._reward[visit],
            late_feedback_count=self._late_count,
            model_version_count=len(self._model_versions),
            last_model_position=self._last_position,
        )

    def _rows(self, placement_id: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        rows: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
        rows = self._traffic.placement == PLACEMENTS.index(placement_id)
        return rows

    def _note_model(self, model_version: str) -> None:
        if model_version not in self._model_versions:
            self._model_versions.add(model_version)
            self._last_position = max(self._last_position, int(model_version.rpartition(":")[2]))

    def _find_best(self, visit: int) -> frozenset[str]:
        who = self._traffic.visits[visit]
        traits = who.traits()
        found = self._best_offers.get(traits)
        if found is None:
            value = {offer: shop.true_value(who, offer) for offer in shop.OFFER_IDS}
            top = max(value.values())
            found = frozenset(offer for offer in shop.OFFER_IDS if value[offer] >= top - 1e-12)
            self._best_offers[traits] = found
        return found


def _mean(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(values.mean()) if len(values) else float("nan")
