"""A whole system as a target: what of it a log can judge, and what not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offer_optimizer.core.catalog import Budget, Cap, Catalog, Window
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.comparison import compare
from offer_optimizer.evaluate.replay import evaluate
from offer_optimizer.evaluate.results import PolicyResult
from offer_optimizer.evaluate.target import Verdict
from offer_optimizer.evaluate.target_catalog import CatalogPolicy, catalog_policy
from tests.unit.evaluate.capped_world import PLACEMENT, capped_log, catalog
from tests.unit.evaluate.memory_log import MemoryLog, make_log


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return capped_log(np.random.default_rng(3), 500, 2)


def judge(log: MemoryLog, target: Catalog, verdict: Verdict | None = None) -> PolicyResult:
    return evaluate(log, CatalogPolicy("new", target, PLACEMENT, verdict), estimators=["ips"]).policies[0]


def test_the_log_s_own_catalog_has_weights_of_one(log: MemoryLog) -> None:
    found = judge(log, catalog(2))
    assert found.verdict is Verdict.STATE_AS_LOGGED
    assert found.ess == pytest.approx(len(log.rows), rel=1e-5)
    assert found["ips"].value == pytest.approx(log.rows.reward.mean(), rel=1e-5)


def test_a_paused_offer_leaves_its_share_to_the_others(log: MemoryLog) -> None:
    paused = catalog(2)
    offers = tuple(
        offer.model_copy(update={"status": "PAUSED"}) if offer.id == "message-b" else offer
        for offer in paused.offers
    )
    found = judge(log, catalog(2, offers=offers))
    chose_it = log.rows.chosen == 2
    assert found.weights.counts[0] == chose_it.sum()
    assert found.refused == ""


def test_a_new_cap_on_decisions_is_counted_again_from_the_log(log: MemoryLog) -> None:
    """Under another id the log has no counts, so they are taken from its decisions: the same ones."""
    renamed = catalog(1, caps=(Cap(id="other", limit=1, offers=("coupon",)),))
    # The log's cap is gone, but what it excluded the new one excludes too.
    same, other = judge(log, catalog(1)), judge(log, renamed)
    assert other.verdict is Verdict.TRAJECTORY
    assert other["ips"].value == pytest.approx(same["ips"].value)
    assert other["ips"].value is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"caps": (Cap(id="shown", limit=1, offers=("coupon",), count_on="shown"),)}, "counts on shown"),
        ({"budgets": (Budget(id="money", limit=5.0, offers=("coupon",)),)}, "budget money is new"),
    ],
    ids=["cap-on-shown", "new-budget"],
)
def test_what_the_log_did_not_count_has_no_verdict(
    log: MemoryLog, changes: dict[str, Any], reason: str
) -> None:
    caps = (*catalog(2).caps, *changes.get("caps", ()))
    found = judge(log, catalog(2, **(changes | {"caps": caps})))
    assert reason in found.refused


def test_a_cap_with_another_window_counts_otherwise(log: MemoryLog) -> None:
    """An hour's window forgets: what the log excluded it allows, so it is looser and refused."""
    cap = Cap(id="coupons", limit=2, offers=("coupon",), window=Window(rolling_s=60.0))
    found = judge(log, catalog(2, caps=(cap,)))
    assert "looser than the log" in found.refused
    assert "counts otherwise" in found.refused


def test_the_horizon_is_told_and_kept(log: MemoryLog) -> None:
    found = evaluate(
        log, CatalogPolicy("new", catalog(1), PLACEMENT), estimators=["ips"], horizon=2
    ).policies[0]
    assert found.row_count == 2 * found.visitor_count
    assert any("first 2 decisions" in note for note in found.notes)


def test_a_trajectory_is_compared_with_the_log_s_own(log: MemoryLog) -> None:
    found = compare(log, CatalogPolicy("new", catalog(1), PLACEMENT), "logged", estimators=["snips"])
    assert found["snips"].estimate.value is not None
    assert {result.verdict for result in found.evaluation.policies} == {Verdict.TRAJECTORY}


def test_a_trajectory_is_not_compared_with_one_step(log: MemoryLog) -> None:
    found = compare(log, CatalogPolicy("new", catalog(1), PLACEMENT), "uniform", estimators=["snips"])
    assert "not two values of one thing" in found["snips"].estimate.refused_reason


def test_one_step_estimators_are_refused_in_trajectories(log: MemoryLog) -> None:
    found = evaluate(log, CatalogPolicy("new", catalog(1), PLACEMENT), estimators=["dm", "ips"]).policies[0]
    assert "defined for one step" in found["dm"].refused_reason
    assert found["ips"].value is not None


def test_a_thinned_log_has_no_trajectory(log: MemoryLog) -> None:
    """What was thinned out is missing from the products, and from the counts of caps."""
    thinned = replace(log, rows=replace(log.rows, weight=np.full(len(log.rows), 2.0)))
    found = judge(thinned, catalog(1))
    assert found["ips"].value is None
    assert "thinned" in found.refused
    assert judge(thinned, catalog(1), Verdict.STATE_AS_LOGGED).refused == ""


def test_rows_out_of_order_are_an_error(log: MemoryLog) -> None:
    rows = replace(log.rows, decisions=list(log.rows.decisions or ())[::-1])
    backwards = MemoryLog(rows, log.vocabulary, catalogs=log.catalogs)
    with pytest.raises(InvalidInput, match="order of time"):
        judge(backwards, catalog(1))


def test_a_foreign_log_can_t_judge_a_system() -> None:
    with pytest.raises(InvalidInput, match="needs a log of this service"):
        judge(make_log(np.random.default_rng(1)), catalog(1))


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("nowhere.yaml", "write catalog:FILE#PLACEMENT"),
        ("nowhere.yaml#home@later", "write catalog:FILE#PLACEMENT"),
        ("nowhere.yaml#home", "can't be read"),
    ],
    ids=["no-placement", "no-verdict", "no-file"],
)
def test_a_text_that_names_no_system_is_an_error(argument: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        catalog_policy(f"catalog:{argument}", argument)


def test_the_example_catalog_is_a_target() -> None:
    path = Path(__file__).parents[3] / "examples" / "catalog.yaml"
    found = catalog_policy("text", f"{path}#home-hero@state")
    assert found.verdict is Verdict.STATE_AS_LOGGED
    assert found.placement_id == "home-hero"
