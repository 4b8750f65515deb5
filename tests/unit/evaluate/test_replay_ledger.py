"""Replay on our own ledger: its rewards, rewards made anew from feedback, its own catalog as target."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from offer_optimizer.evaluate.replay import evaluate
from offer_optimizer.evaluate.target import Verdict
from offer_optimizer.evaluate.target_catalog import CatalogPolicy
from tests.unit.evaluate.ledgers import HOME, Shop


@pytest.fixture(scope="module")
def log() -> LedgerRowsLog:
    """Return a ledger of 300 decisions, two a visitor, drawn as their pmf says."""
    shop, chance = Shop(), np.random.default_rng(6)
    for row in range(300):
        chosen = int(chance.choice(3, p=[0.5, 0.25, 0.25]))
        click = bool(chance.random() < (0.2, 0.6, 0.1)[chosen])
        shop.decide(f"v{row % 150}", chosen, click=click)
    shop.close()
    return LedgerRowsLog(shop.ledger, HOME)


def test_the_ledger_is_judged_as_it_is(log: LedgerRowsLog) -> None:
    rewards = np.concatenate([rows.reward for rows in log.batches()])
    found = evaluate(log, ["logged", "uniform", "always:save5"], estimators=["ips"], force=True)
    assert found.row_count == 300
    assert found["logged"]["ips"].value == pytest.approx(rewards.mean())
    assert found["uniform"].max_weight == pytest.approx(4 / 3)
    assert found["always:save5"].max_weight == pytest.approx(4.0)
    assert found["logged"].visitor_count == 150


def test_a_formula_makes_the_rewards_anew_from_feedback(log: LedgerRowsLog) -> None:
    own = evaluate(log, "logged", estimators=["ips"], force=True)["logged"]["ips"]
    anew = evaluate(log, "logged", reward="2.0 * count.click", estimators=["ips"], force=True)["logged"][
        "ips"
    ]
    assert own.value is not None
    assert anew.value == pytest.approx(2.0 * own.value)


def test_the_catalog_that_made_the_log_is_a_target_for_it(log: LedgerRowsLog) -> None:
    target = CatalogPolicy("own", log.catalogs[max(log.catalogs)], HOME)
    found = evaluate(log, target, estimators=["ips"], force=True).policies[0]
    assert found.verdict is Verdict.STATE_AS_LOGGED
    assert found.unsupported_share == 0.0
    assert found.mean_weight == pytest.approx(1.0, abs=0.15)
