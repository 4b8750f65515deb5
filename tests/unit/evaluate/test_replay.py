"""Replaying a log: the same figures whatever the batches, refusals that stay, results that convert."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offer_optimizer.core.errors import InvalidInput, NotFound
from offer_optimizer.core.log import LogRows
from offer_optimizer.evaluate import Evaluation, compare, evaluate
from offer_optimizer.evaluate.comparison import holm
from offer_optimizer.evaluate.expectations import Expectations, GivenFunction
from offer_optimizer.evaluate.replay import Progress
from offer_optimizer.evaluate.target import TargetRows
from tests.unit.evaluate.memory_log import MemoryLog, make_log

RULE = "cel:context.x > 5 ? 'a' : 'b'"


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return make_log(np.random.default_rng(4), 6000)


@pytest.fixture(scope="module")
def found(log: MemoryLog) -> Evaluation:
    return evaluate(log, [RULE, "always:c", "always:z"], estimators=["ips", "snips", "dr", "dm"])


@pytest.mark.parametrize("batch_rows", [1, 77, 6000])
def test_figures_do_not_depend_on_batches(log: MemoryLog, found: Evaluation, batch_rows: int) -> None:
    policies = [RULE] if batch_rows == 1 else [RULE, "always:c"]
    rows = 600 if batch_rows == 1 else 6000
    part = replace(log, rows=_first(log, rows), batch_rows=batch_rows)
    whole = replace(log, rows=_first(log, rows), batch_rows=1000)
    one = evaluate(part, policies, estimators=["ips", "dr"]).to_dict()
    other = evaluate(whole, policies, estimators=["ips", "dr"]).to_dict()
    assert _flat(one) == pytest.approx(_flat(other))


def _first(log: MemoryLog, count: int) -> LogRows:
    from tests.unit.evaluate.memory_log import cut

    return cut(log.rows, 0, count)


def _flat(found: object) -> list[float]:
    if isinstance(found, dict):
        return [number for value in found.values() for number in _flat(value)]
    return [float(found)] if isinstance(found, int | float) else []


def test_ips_is_the_mean_of_weighted_rewards(log: MemoryLog, found: Evaluation) -> None:
    x, rows = np.asarray(log.rows.contexts.column("x")), log.rows
    weight = 3.0 * (rows.chosen == np.where(x > 5, 0, 1))
    assert found[RULE]["ips"].value == pytest.approx(float((weight * rows.reward).mean()))
    assert found[RULE]["snips"].value == pytest.approx(float((weight * rows.reward).sum() / weight.sum()))
    assert found[RULE].ess == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_the_log_is_read_twice_only_where_a_model_is_fitted(log: MemoryLog) -> None:
    once, twice = replace(log, readings=0), replace(log, readings=0)
    evaluate(once, RULE, estimators=["ips"])
    evaluate(twice, RULE, estimators=["dr"])
    assert (once.readings, twice.readings) == (1, 2)


def test_results_convert_to_the_shape_that_the_command_prints(found: Evaluation) -> None:
    said = json.loads(json.dumps(found.to_dict()))
    assert list(said) == ["rows", "policies"]
    assert said["rows"] == 6000
    assert list(said["policies"]) == [RULE, "always:c", "always:z"]
    for policy in said["policies"].values():
        assert list(policy) == ["ess", "max_weight", "unsupported_share", "refused", "estimates"]
        assert list(policy["estimates"]) == ["ips", "snips", "dr", "dm"]
        assert all(list(one) == ["value", "low", "high"] for one in policy["estimates"].values())
    assert said["policies"][RULE]["refused"] is None
    assert "no offer 'z'" in said["policies"]["always:z"]["refused"]
    assert said["policies"]["always:z"]["estimates"]["ips"] == {"value": None, "low": None, "high": None}


def test_tables_have_a_row_for_each_policy_and_estimator(found: Evaluation) -> None:
    table = found.to_table()
    assert len(table) == 12
    assert {"policy", "estimator", "value", "low", "high", "ess", "refused_reason"} <= table[0].keys()


def test_printing_tells_figures_and_refusals(found: Evaluation) -> None:
    text = str(found)
    assert RULE in text
    assert "refused: the log has no offer 'z'" in text


def test_names_that_are_not_there_are_an_error(found: Evaluation) -> None:
    with pytest.raises(NotFound, match="no policy 'x'"):
        found["x"]
    with pytest.raises(NotFound, match="there are ips"):
        found[RULE]["mrdr"]


def test_force_gives_what_is_refused_and_marks_it(log: MemoryLog) -> None:
    small = replace(log, rows=_first(log, 200))
    refused, forced = (
        evaluate(small, "always:b", estimators=["ips"], force=force).policies[0] for force in (False, True)
    )
    assert refused["ips"].value is None
    assert forced["ips"].value is not None
    assert forced["ips"].forced
    assert forced.refused == refused.refused
    assert forced.to_dict()["refused"]


def test_a_policy_may_be_a_function(log: MemoryLog) -> None:
    def half(rows: LogRows) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        return np.tile([0.5, 0.5, 0.0], (len(rows), 1))

    assert evaluate(log, half, estimators=["ips"])["half"].max_weight == pytest.approx(1.5)
    with pytest.raises(InvalidInput, match=r"sum to 0\.5"):
        evaluate(log, lambda rows: 0.5 * half(rows), estimators=["ips"])


def test_a_reward_may_be_a_function(log: MemoryLog) -> None:
    doubled = evaluate(log, "logged", reward=lambda rows: 2.0 * rows.reward, estimators=["ips"])
    assert doubled["logged"]["ips"].value == pytest.approx(2.0 * log.rows.reward.mean())
    with pytest.raises(InvalidInput, match="no reward but its own"):
        evaluate(log, "logged", reward="count.click")


def test_a_reward_model_may_be_a_function(log: MemoryLog) -> None:
    """With a model that is always right about nothing, dr is ips."""
    nothing = evaluate(
        log, RULE, estimators=["ips", "dr"], reward_model=lambda rows: np.zeros(rows.offers.shape)
    )
    assert nothing[RULE]["dr"].value == pytest.approx(nothing[RULE]["ips"].value)


def test_expectations_are_weighted_by_what_the_target_would_do(log: MemoryLog) -> None:
    """A target may name offers of its own order, here two of three; what it leaves out adds nothing."""
    rows = _first(log, 10)
    values = np.tile([0.1, 0.2, 0.4], (10, 1))
    expected = Expectations(rows, GivenFunction(lambda _: values))
    offers = np.tile(np.array([2, 0, -1], dtype=np.int32), (10, 1))
    followed = TargetRows(offers, np.tile([0.75, 0.25, 0.0], (10, 1)), np.zeros(10), np.zeros(10))
    assert expected.under(followed) == pytest.approx(0.75 * 0.4 + 0.25 * 0.1)
    assert expected.predicted == pytest.approx(values[0][rows.chosen])


def test_a_log_whose_choices_do_not_follow_its_pmf_is_refused(log: MemoryLog) -> None:
    """It claims to have chosen `a` nine times of ten, and chose all alike."""
    pmf = np.tile(np.array([0.9, 0.05, 0.05], dtype=np.float32), (6000, 1))
    propensity = pmf[np.arange(6000), log.rows.chosen].astype(np.float64)
    lying = replace(log, rows=replace(log.rows, pmf=pmf, propensity=propensity))
    assert (
        "not those with which was chosen" in evaluate(lying, "logged", estimators=["ips"]).policies[0].refused
    )


def test_progress_is_told_to_the_last_row(log: MemoryLog) -> None:
    told: list[Progress] = []
    evaluate(log, RULE, estimators=["dr"], progress=told.append)
    assert told[-1] == Progress(2, 2, 6000, 6000)
    assert told[5] == Progress(1, 2, 6000, None)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"estimators": ["mips"]}, "estimator"),
        ({"estimators": []}, "estimators"),
        ({"estimators": ["ips", "ips"]}, "estimators"),
        ({"interval": "exact"}, "interval"),
        ({"confidence": 1.0}, "confidence"),
        ({"reward_model": "forest"}, "reward_model"),
        ({"estimatorz": ["ips"]}, "estimatorz"),
    ],
    ids=["unknown", "none", "twice", "interval", "confidence", "model", "option"],
)
def test_settings_that_are_none_are_an_error(log: MemoryLog, options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        evaluate(log, "logged", **({"estimators": ["dr"]} | options))


def test_a_learned_policy_has_a_curve(log: MemoryLog) -> None:
    found = evaluate(log, "vw:bits=12,exploration=epsilon,epsilon=0.05", estimators=["snips"]).policies[0]
    assert found.curve[-1].end_row == 6000
    early, late = found.curve[0].value, found.curve[-1].value
    assert early is not None
    assert late is not None
    assert found["snips"].value is not None
    assert found["snips"].value > log.rows.reward.mean() + 0.1


def test_a_difference_is_narrower_than_two_intervals(log: MemoryLog) -> None:
    found = compare(log, RULE, "cel:context.x > 6 ? 'a' : 'b'", estimators=["ips", "dr"])
    one, other = (result["ips"] for result in found.evaluation.policies)
    paired = found["ips"].estimate
    assert paired.value == pytest.approx((one.value or 0.0) - (other.value or 0.0))
    assert (paired.width or 9.0) < 0.7 * ((one.width or 0.0) + (other.width or 0.0))


def test_several_differences_are_corrected_together(log: MemoryLog) -> None:
    single = compare(log, RULE, "always:a", estimators=["ips"]).differences[0]
    both = compare(log, RULE, "always:a", "always:b", estimators=["ips"]).differences
    assert both[0].p_value == pytest.approx(single.p_value)
    assert both[0].comparison_count == 2
    assert (both[0].estimate.width or 0.0) > (single.estimate.width or 9.0)
    assert (both[0].p_adjusted or 0.0) >= (both[0].p_value or 1.0)


def test_a_difference_with_a_refused_policy_is_refused(log: MemoryLog) -> None:
    found = compare(log, RULE, "always:z", estimators=["ips"])["ips"].estimate
    assert found.value is None
    assert found.refused_reason.startswith("always:z: the log has no offer")


def test_where_another_offer_was_certain_there_is_no_support(log: MemoryLog) -> None:
    """A log without pmfs shows at least that: the mean weight alone let a tenth without support pass."""
    is_sure = np.arange(6000) % 20 == 0
    rows = replace(
        log.rows,
        pmf=None,
        propensity=np.where(is_sure, 1.0, log.rows.propensity),
        chosen=np.where(is_sure, 1, log.rows.chosen),
    )
    found = evaluate(replace(log, rows=rows), ["always:a", "always:b"], estimators=["ips"], force=True)
    assert found["always:a"].unsupported_share == pytest.approx(0.05)
    assert "could not have chosen 5.00%" in found["always:a"].refused
    assert found["always:b"].unsupported_share == 0.0
    assert any("probability of the chosen offer alone" in note for note in found.notes)


def test_how_well_choices_follow_their_pmfs_is_told(log: MemoryLog) -> None:
    rows = replace(log.rows, pmf=np.full(log.rows.offers.shape, 1 / 3, np.float32))
    notes = evaluate(replace(log, rows=rows), "uniform", estimators=["ips"]).notes
    assert any(note.startswith("Choices follow the logged probabilities with p = ") for note in notes)


def test_doubly_robust_of_what_was_logged_is_the_mean_that_was_earned() -> None:
    """Also where the log keeps no pmf: offers differ in worth and were chosen unevenly among the others."""
    chance = np.random.default_rng(2)
    log = make_log(chance, 4000)
    pmf = np.array([0.7, 0.25, 0.05])
    chosen = chance.choice(3, 4000, p=pmf)
    rows = replace(
        log.rows, chosen=chosen, propensity=pmf[chosen], reward=(chosen == 0) + 0.1 * chance.random(4000)
    )
    found = evaluate(replace(log, rows=rows), "logged", estimators=["dr", "mean"]).policies[0]
    assert found["dr"].value == pytest.approx(found["mean"].value)
    assert found["dr"].low == pytest.approx(found["mean"].low)


def test_rows_that_know_no_visitor_are_told(log: MemoryLog) -> None:
    """Though the log knows the others: an empty column would make every interval too narrow in silence."""
    some = replace(log.rows, visitor=np.where(np.arange(6000) < 10, -1 - np.arange(6000), log.rows.visitor))
    notes = evaluate(replace(log, rows=some), "uniform", estimators=["ips"]).notes
    assert any(note.startswith("10 of 6,000 rows don't say whose they are") for note in notes)


def test_holm_is_the_textbook_s() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, None, 0.8]) == [1.0, None, 1.0]
