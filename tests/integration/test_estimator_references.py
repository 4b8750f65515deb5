"""Figures made by others (see the README of the reference data) are reproduced by our estimators.

To 1e-6 where the definition is the same. Ours differ by design in three things, explained where they are
compared: Student's t instead of the normal quantile, what Clopper-Pearson counts, and reward models that are
cross-fitted, so where a reference fixes a reward model we take that one.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from offer_optimizer.evaluate.batch import Batch
from offer_optimizer.evaluate.claims import Bounds
from offer_optimizer.evaluate.estimators import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    MeanReward,
    Partial,
    SwitchDR,
)
from offer_optimizer.evaluate.intervals import Interval, student_t
from offer_optimizer.evaluate.intervals_guaranteed import clopper_pearson

ESTIMATORS: dict[str, Estimator] = {
    "ipw": IPS(),
    "snipw": SNIPS(),
    "dm": DM(),
    "dr": DR(),
    "sndr": SNDR(),
    "switch-dr": SwitchDR(10.0),
    "dr-os": DRos(100.0),
    "ipw_clip10": ClippedIPS(10.0),
}
DSJSON_FILES = {
    "cb_0.json": "dsjson_logs",
    "cb_100_0.json": "dsjson_logs",
    "cb_1000_0.json": "dsjson_logs",
    "dsjson_cb.json": "vw/inputs",
    "dsjson_cb_part1.json": "vw/inputs",
    "dsjson_cb_part2.json": "vw/inputs",
    "cb_features_w_zero_vals.dsjson": "vw/inputs",
    "cb_as_ccb.json": "vw/inputs",
}


def table_of(path: Path) -> list[dict[str, str]]:
    open_it: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with open_it(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def anonymous(count: int) -> NDArray[np.int64]:
    """Return visitors as a log without visitor ids has them."""
    return -1 - np.arange(count)


def assert_reproduced(batch: Batch, expected: dict[str, float], where: str) -> int:
    """Compare every estimator and diagnostic that the reference has; return how many."""
    compared = 0
    for name, estimator in ESTIMATORS.items():
        if name in expected:
            found = estimator.partial(batch).value
            assert found == pytest.approx(expected[name], rel=1e-6, abs=1e-12), (where, name)
            compared += 1
    partial = IPS().partial(batch)
    assert partial.support.ess == pytest.approx(expected["ess"], rel=1e-6), where
    assert partial.standard_error == pytest.approx(expected["ipw_se"], rel=1e-6), where
    if "w_max" in expected:
        assert partial.support.max_weight == pytest.approx(expected["w_max"], rel=1e-6), where
        assert partial.support.mean_weight == pytest.approx(expected["w_mean"], rel=1e-6), where
        mean = MeanReward().partial(batch).value
        assert mean == pytest.approx(expected["on_policy_mean_log"], rel=1e-6), where
    return compared


def test_a_randomised_e_mail_test(shared_data: Path | None) -> None:
    """Hillstrom: three rewards, six policies; q-hat is the arm's mean in this log, as in the reference."""
    if shared_data is None:
        return
    reference = json.loads((shared_data / "hillstrom" / "reference.json").read_text())["dev"]["policies"]
    table = table_of(shared_data / "hillstrom" / "hillstrom_dev.csv.gz")
    arms = {"No E-Mail": 0, "Womens E-Mail": 1, "Mens E-Mail": 2}
    arm, count = np.array([arms[row["segment"]] for row in table]), len(table)
    is_womens = np.array([row["womens"] == "1" and row["mens"] == "0" for row in table])
    by_rule = np.eye(3)[np.where(is_womens, 1, 2)]
    policies = {
        "uniform": np.full((count, 3), 1 / 3),
        "always_none": np.eye(3)[[0] * count],
        "always_womens": np.eye(3)[[1] * count],
        "always_mens": np.eye(3)[[2] * count],
        "rule_womens_only_buyers_get_womens_else_mens": by_rule,
        "rule_mixed_90_10_uniform": 0.9 * by_rule + 0.1 / 3,
    }
    compared = 0
    for key, expected in reference.items():
        reward_name, policy = key.split("|")
        reward = np.array([float(row[reward_name]) for row in table])
        pmf = policies[policy]
        means = np.array([reward[arm == action].mean() for action in range(3)])
        batch = Batch(
            reward=reward,
            propensity=np.full(count, 1 / 3),
            target=pmf[np.arange(count), arm],
            visitor=anonymous(count),
            predicted=means[arm],
            expected=pmf @ means,
        )
        compared += assert_reproduced(batch, expected, key)
        assert int((batch.target > 0.0).sum()) == expected["matched"]
        assert IPS().partial(batch).estimate().refused_reason == ""
        # With names for visitors 1,024 buckets tell the variance: within 4 of its own standard errors.
        named = Batch(reward, batch.propensity, batch.target, np.arange(count))
        bucketed = IPS().partial(named).standard_error
        assert bucketed == pytest.approx(expected["ipw_se"], rel=4 / np.sqrt(2 * 1023) * 1.2)
    assert compared == 18 * 5


def test_the_open_bandit_dataset(shared_data: Path | None) -> None:
    """Two logging policies, each judged by itself and the other, with the reference's q-hat by position."""
    if shared_data is None:
        return
    folder = shared_data / "obd" / "men"
    reference = json.loads((folder / "reference.json").read_text())

    def by_position(name: str) -> NDArray[np.float64]:
        rows = table_of(folder / name)
        table = np.zeros((34, 3))
        for row in rows:
            table[int(row["item_id"])] = [float(row[f"position_{place}"]) for place in (1, 2, 3)]
        return table

    targets = {"random": np.full((34, 3), 1 / 34), "bts": by_position("bts_action_dist.csv")}
    compared = 0
    for log in ("random", "bts"):
        rows = table_of(folder / f"{log}.csv.gz")
        item = np.array([int(row["item_id"]) for row in rows])
        place = np.array([int(row["position"]) - 1 for row in rows])
        said = by_position(f"qhat_{log}.csv")
        for target, pmf in targets.items():
            batch = Batch(
                reward=np.array([float(row["click"]) for row in rows]),
                propensity=np.array([float(row["propensity_score"]) for row in rows]),
                target=pmf[item, place],
                visitor=anonymous(len(rows)),
                predicted=said[item, place],
                expected=(pmf * said).sum(axis=0)[place],
            )
            key = f"men:{log}->{target}"
            compared += assert_reproduced(batch, reference[key], key)
    assert compared == 4 * 8


def test_a_supervised_table_turned_into_a_log(shared_data: Path | None) -> None:
    """Digits: a known true value, q-hat by arm, and Switch-DR and DRos with the reference's defaults."""
    if shared_data is None:
        return
    folder = shared_data / "multiclass"
    expected = json.loads((folder / "bandit_log_reference.json").read_text())["digits"]
    rows = table_of(folder / "digits_bandit_log.csv.gz")
    greedy = np.array([int(row["target_greedy_action"]) for row in rows])
    pmf = 0.9 * np.eye(10)[greedy] + 0.1 / 10
    action, said = np.array([int(row["action"]) for row in rows]), np.array(expected["qhat_per_action"])
    batch = Batch(
        reward=np.array([float(row["reward"]) for row in rows]),
        propensity=np.array([float(row["pscore"]) for row in rows]),
        target=pmf[np.arange(len(rows)), action],
        visitor=anonymous(len(rows)),
        predicted=said[action],
        expected=pmf @ said,
    )
    assert assert_reproduced(batch, expected, "digits") == 7
    # A few large weights carry the variance of some: then force shows a figure and marks it.
    truth = expected["ground_truth_target_value"]
    for estimator in (IPS(), SNIPS(), DR(), SNDR()):
        for interval in (Interval.NORMAL, Interval.BOOTSTRAP):
            estimate = estimator.partial(batch).estimate(interval, force=True)
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= truth <= estimate.high
            assert estimate.forced == bool(estimate.refused_reason)


def dsjson_batches(path: Path) -> dict[str, Batch]:
    """Return the log under the reference's three policies. Only single decisions are in these files."""
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    propensity = np.array([event["_label_probability"] for event in events])
    targets = {
        "logged": propensity,
        "baseline1": np.array([float(event["_label_Action"] == 1) for event in events]),
        "uniform": np.array([1.0 / len(event["a"]) for event in events]),
    }
    reward = np.array([-float(event["_label_cost"]) for event in events])
    return {
        name: Batch(reward, propensity, target, anonymous(len(events))) for name, target in targets.items()
    }


@pytest.mark.parametrize("name", DSJSON_FILES)
def test_dsjson_logs_as_vw_estimators_has_them(shared_data: Path | None, name: str) -> None:
    """IPS, SNIPS and the standard error of its Gaussian interval; ours uses t, wider by 6 / freedom at most.

    Not ours: mle and cressieread, empirical likelihoods over single rows, which neither merge in bounded
    memory nor know of visitors.
    """
    if shared_data is None:
        return
    reference = json.loads((shared_data / "dsjson_logs" / "estimator_reference.json").read_text())[name]
    for policy, batch in dsjson_batches(shared_data / DSJSON_FILES[name] / name).items():
        expected = reference[policy]
        assert IPS().partial(batch).value == pytest.approx(expected["ips"], rel=1e-6, abs=1e-12)
        if expected["snips"] is not None:
            assert SNIPS().partial(batch).value == pytest.approx(expected["snips"], rel=1e-6, abs=1e-12)
        if len(batch) < 2:
            continue
        partial, z = IPS().partial(batch), float(norm.ppf(0.975))
        low, high = partial.value - z * partial.standard_error, partial.value + z * partial.standard_error
        assert [low, high] == pytest.approx(expected["gaussian_ci"], rel=1e-6, abs=1e-12)
        assert 1.0 < student_t(partial.freedom) / z < 1.0 + 6.0 / partial.freedom


@pytest.mark.parametrize("name", ["cb_0.json", "cb_100_0.json", "cb_1000_0.json"])
def test_clopper_pearson_is_exact_where_vw_estimators_is_approximate(
    shared_data: Path | None, name: str
) -> None:
    """The same where all weights are 1. Else vw-estimators divides both counts by the largest weight.

    Then it takes for the variance of a row v (1 - v) times the largest weight w, where it is v (w - v): too
    narrow by sqrt((w - v) / (w - w v)), which tests/statistical measures. Ours counts, among all rows, those
    of the policy's choices that were rewarded.
    """
    if shared_data is None:
        return
    reference = json.loads((shared_data / "dsjson_logs" / "estimator_reference.json").read_text())[name]
    bounds = Bounds(0.0, 1.0)
    for policy, batch in dsjson_batches(shared_data / "dsjson_logs" / name).items():
        expected, partial = reference[policy]["clopper_pearson_ci"], IPS().partial(batch)
        largest = partial.support.max_weight
        theirs = clopper_pearson(partial.value * len(batch) / largest, len(batch) / largest)
        assert theirs == pytest.approx(expected, rel=1e-6, abs=1e-12)
        ours = partial.ends(Interval.CLOPPER_PEARSON, bounds=bounds)
        assert ours.low is not None
        assert ours.high is not None
        if largest == 1.0:
            assert (ours.low, ours.high) == pytest.approx(expected, rel=1e-6, abs=1e-12)
        elif partial.value > 0.0:
            assert ours.low < expected[0]
            assert ours.high >= min(expected[1], 1.0) - 1e-12
            wider = (ours.high - ours.low) / (expected[1] - expected[0])
            value = partial.value
            assert wider == pytest.approx(
                np.sqrt((largest - value) / (largest - largest * value)), rel=2.0 / np.sqrt(len(batch))
            )


def test_partial_results_of_a_reference_merge_to_the_same_figures(shared_data: Path | None) -> None:
    """In parts of 1,000 rows, as a stream would bring them."""
    if shared_data is None:
        return
    whole = dsjson_batches(shared_data / "dsjson_logs" / "cb_1000_0.json")["baseline1"]
    expected = json.loads((shared_data / "dsjson_logs" / "estimator_reference.json").read_text())
    total = Partial.empty()
    for part in np.split(np.arange(1000), 7 * np.arange(1, 100)):
        total += SNIPS().partial(
            Batch(whole.reward[part], whole.propensity[part], whole.target[part], whole.visitor[part])
        )
    assert total.value == pytest.approx(expected["cb_1000_0.json"]["baseline1"]["snips"], rel=1e-9)
