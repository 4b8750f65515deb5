"""The report's figures follow from the record of a run, and the verdict can go both ways."""

import numpy as np
import pytest
from rich.console import Console

from offer_optimizer.demo import shop
from offer_optimizer.demo.catalog import LEARNED
from offer_optimizer.demo.recorder import Recorder
from offer_optimizer.demo.report import render_report, state_verdict
from offer_optimizer.demo.results import CURVE_BINS, Results, summarise
from offer_optimizer.demo.traffic import Traffic, plan_traffic


def show(traffic: Traffic, choose: dict[int, str]) -> Results:
    """Run the plan at 100 a second with one offer a placement; "best" stands for the best possible."""
    recorder = Recorder(traffic)
    for visit, who in enumerate(traffic.visits):
        offer = choose[int(traffic.placement[visit])]
        if offer == "best":
            offer = max(shop.OFFER_IDS, key=lambda candidate: shop.true_value(who, candidate))
        recorder.add_decision(
            visit,
            at_s=visit / 100,
            latency_s=0.001 * (1 + visit % 100),
            offer_id=offer,
            by_client=visit == 0,
            model_version=f"ab:{visit // 1000}",
        )
        for answer in traffic.answers(visit, offer):
            recorder.add_feedback(visit, answer.kind, after_s=answer.delay_s)
    return summarise(recorder.finish())


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return plan_traffic(20_000, 2)


@pytest.fixture(scope="module")
def learned(traffic: Traffic) -> Results:
    return show(traffic, {0: "best", 1: "free-shipping", 2: shop.BASELINE_OFFER})


def test_the_best_possible_policy_passes_the_gate(learned: Results) -> None:
    """The seed is fixed: it either passes for good or never."""
    assert learned.learned_best
    assert state_verdict(learned).startswith("Learning paid")


def test_a_policy_like_the_baseline_fails_the_gate(traffic: Traffic) -> None:
    results = show(traffic, {0: shop.BASELINE_OFFER, 1: "free-shipping", 2: shop.BASELINE_OFFER})
    assert not results.learned_best
    assert "did not beat" in state_verdict(results)
    assert "baseline" in state_verdict(results).splitlines()[0]


def test_beating_one_of_two_is_not_enough(traffic: Traffic) -> None:
    results = show(traffic, {0: "best", 1: "nothing", 2: "best"})
    assert results.over_uniform.is_above_zero()
    assert not results.over_baseline.is_above_zero()
    assert not results.learned_best
    assert state_verdict(results).splitlines()[0] == "Learning did not beat baseline with confidence."


def test_a_short_run_that_fails_is_told_to_be_longer(traffic: Traffic) -> None:
    long = show(traffic, {0: "nothing", 1: "nothing", 2: "nothing"})
    short = show(plan_traffic(500, 2), {0: "nothing", 1: "nothing", 2: "nothing"})
    assert "only 500 decisions" in state_verdict(short)
    assert "only" not in state_verdict(long)


def test_the_best_possible_is_the_mean_of_the_best_true_values(traffic: Traffic, learned: Results) -> None:
    rows = [visit for visit in range(len(traffic)) if traffic.placement[visit] == 0]
    best = [max(shop.true_value(traffic.visits[visit], offer) for offer in shop.OFFER_IDS) for visit in rows]
    assert learned.best_possible.value == pytest.approx(np.mean(best))
    assert learned.best_possible.decision_count == len(rows)
    assert learned.best_fixed_offer == "size-guide"
    assert learned.best_share_last_third.value == 1.0


def test_latencies_and_counts_by_hand(learned: Results) -> None:
    assert learned.latency_ms_p50 == pytest.approx(50.5, abs=0.5)
    assert learned.latency_ms_p99 == pytest.approx(99.0, abs=1.0)
    assert learned.answered_by_client_count == 1
    assert learned.decision_count == 20_000
    assert learned.model_version_count == 20
    assert learned.last_model_position == 19


def test_the_curve_holds_every_decision_once(learned: Results) -> None:
    assert len(learned.curve) == CURVE_BINS
    assert sum(mean.decision_count for point in learned.curve for mean in point.reward.values()) == 20_000
    assert (
        sum(point.reward[LEARNED].decision_count for point in learned.curve) == learned.learned.decision_count
    )


def test_late_feedback_earns_nothing_and_is_counted() -> None:
    traffic = plan_traffic(1, 1)
    recorder = Recorder(traffic)
    recorder.add_decision(
        0, at_s=0.0, latency_s=0.001, offer_id="coupon-20", by_client=False, model_version=""
    )
    recorder.add_feedback(0, "click", after_s=0.5)
    recorder.add_feedback(0, "conversion", after_s=shop.WINDOW_S)
    run = recorder.finish()
    assert run.reward.tolist() == [1.0]
    assert run.late_feedback_count == 1
    recorder.add_feedback(0, "conversion", after_s=2.999)
    assert recorder.finish().reward.tolist() == [6.0]


def test_progress_waits_for_windows_to_close() -> None:
    traffic = plan_traffic(300, 1)
    recorder = Recorder(traffic)
    for visit in range(300):
        recorder.add_decision(
            visit, at_s=visit / 100, latency_s=0.002, offer_id="nothing", by_client=False, model_version="a:1"
        )
    assert np.isnan(recorder.progress(3.0).reward[LEARNED])
    assert recorder.progress(4.0).reward[LEARNED] == 0.0
    assert recorder.progress(3.0).decisions_per_s == pytest.approx(100.0)
    assert recorder.progress(3.0).latency_ms_p99 == pytest.approx(2.0)


def test_the_report_fits_eighty_columns(learned: Results) -> None:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(render_report(learned))
    text = capture.get()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for word in ("learned", "uniform", "baseline", "best fixed", "best possible", "p99"):
        assert word in text
