"""Other rewards than the log's own: CEL over what came in, without what was taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.outcome import FatedFeedback, Outcome
from offer_optimizer.evaluate.replay import evaluate
from offer_optimizer.evaluate.rewards import rewarded
from tests.unit.evaluate.capped_world import capped_log
from tests.unit.evaluate.memory_log import MemoryLog, make_log


def item(
    kind: str, value: float = 0.0, fate: Fate = Fate.APPLIED, name: str = "", retracts: str = ""
) -> FatedFeedback:
    feedback = Feedback(name or kind, b"", "", 0, kind, value, 5_000_000, retracts_feedback_id=retracts)
    return FatedFeedback(feedback, fate)


OUTCOMES = (
    Outcome(feedback=(item("click"), item("conversion", 30.0))),
    Outcome(feedback=(item("click", fate=Fate.LATE),)),
    Outcome(feedback=(item("click", fate=Fate.DUPLICATE), item("conversion", 9.0, Fate.INVALID))),
    Outcome(feedback=(item("click", name="c1"), item("click", name="c2", retracts="c1"))),
    Outcome(),
)


@pytest.fixture
def log() -> MemoryLog:
    """Return five decisions of our own service, and what came of each."""
    whole = capped_log(np.random.default_rng(1), 5, 3)
    first = next(replace(whole, batch_rows=5).batches())
    return replace(whole, rows=replace(first, outcomes=OUTCOMES))


def test_a_formula_reads_what_counts(log: MemoryLog) -> None:
    """Late feedback counts; doubled, invalid and retracted feedback does not."""
    rows = next(rewarded(log, "count.click + 0.1 * sum.conversion").batches())
    assert rows.reward.tolist() == pytest.approx([4.0, 1.0, 0.0, 0.0, 0.0])


def test_a_formula_reads_the_delay(log: MemoryLog) -> None:
    rows = next(rewarded(log, "delay_s.click").batches())
    assert rows.reward.tolist() == [5.0, 4.0, 0.0, 0.0, 0.0]


def test_the_system_behind_a_formula_stays_known(log: MemoryLog) -> None:
    assert rewarded(log, "count.click").catalogs == log.catalogs  # type: ignore[attr-defined]


@pytest.mark.parametrize("reward", ["count.click >", "count.click > 0.0"], ids=["broken", "no-number"])
def test_a_formula_that_makes_no_reward_is_an_error(log: MemoryLog, reward: str) -> None:
    with pytest.raises(InvalidInput, match="reward"):
        rewarded(log, reward)


def test_a_log_without_feedback_has_only_its_own_reward(log: MemoryLog) -> None:
    with pytest.raises(InvalidInput, match="which this log does not have"):
        evaluate(replace(log, rows=replace(log.rows, outcomes=None)), "logged", reward="count.click")
    with pytest.raises(InvalidInput, match="no reward but its own"):
        rewarded(make_log(np.random.default_rng(1), 10), "count.click")


def test_a_function_s_reward_must_be_finite(log: MemoryLog) -> None:
    with pytest.raises(InvalidInput, match="not finite"):
        next(rewarded(log, lambda rows: np.full(len(rows), np.nan)).batches())
    with pytest.raises(InvalidInput, match="shape"):
        next(rewarded(log, lambda rows: np.zeros(1)).batches())
