"""Our ledger as a log: what was learned, in that order, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.control import Thinning
from offer_optimizer.core.decision import Consent, Reason
from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate import ledger_rows
from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from tests.unit.evaluate.ledgers import HOME, SECOND_US, Shop, catalog


def test_rows_are_what_was_learned_with_everything_that_replay_needs() -> None:
    shop = Shop()
    first = shop.decide("ann", 1, click=True, context=Features((("city", "Bern"),)))
    shop.decide("bob", 2, reason=Reason.HOLDOUT, holdout_u=0.1)
    shop.decide("cid", 0, consent=Consent.SERVE_ONLY)
    second = shop.decide("ann", 1, pmf=(0.25, 0.75), excluded=(0,))
    shop.close()
    shop.decide("dan", 0)  # its window stays open
    log = LedgerRowsLog(shop.ledger, HOME)
    (rows,) = log.batches()
    assert [found.decision_id for found in rows.decisions or []] == [first.decision_id, second.decision_id]
    assert list(rows.decision_ids or []) == [format_decision_id(d.decision_id) for d in (first, second)]
    assert rows.reward.tolist() == [1.0, 0.0]
    assert rows.visitor[0] == rows.visitor[1] >= 0
    names = [[log.vocabulary.ids[offer] for offer in row if offer >= 0] for row in rows.offers.tolist()]
    assert names == [["msg", "save5", "nothing"], ["save5", "nothing"]]
    assert [log.vocabulary.ids[offer] for offer in rows.chosen] == ["save5", "nothing"]
    np.testing.assert_array_equal(rows.pmf, [[0.5, 0.25, 0.25], [0.25, 0.75, 0.0]])
    assert rows.propensity.tolist() == [0.25, 0.75]
    assert rows.contexts.column("city") == ["Bern", ""]
    assert rows.time_us.tolist() == [first.decide_time_us, second.decide_time_us]


def test_epochs_are_merged_in_closing_order_and_read_in_short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_rows, "BATCH_ROWS", 7)
    shop = Shop()
    made = [shop.decide(f"v{at}") for at in range(20)]
    shop.apply(catalog(window_s=5.0))
    made += [shop.decide(f"v{at}") for at in range(20)]
    shop.close()
    batches = list(LedgerRowsLog(shop.ledger, HOME).batches())
    assert max(map(len, batches)) == 7
    found = [decision.decision_id for rows in batches for decision in rows.decisions or []]
    # The later twenty have the shorter window: they were learned first.
    assert found == [decision.decision_id for decision in made[20:] + made[:20]]


def test_decisions_that_close_at_one_instant_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_rows, "BATCH_ROWS", 3)
    shop = Shop(step_us=0)
    made = [shop.decide("ann").decision_id for _ in range(10)]
    shop.close()
    found = [
        one.decision_id for rows in LedgerRowsLog(shop.ledger, HOME).batches() for one in rows.decisions or []
    ]
    assert found == made


def test_rewards_are_final_ones_of_all_or_those_that_were_learned() -> None:
    shop = Shop()
    shop.world.add(Thinning(HOME, 0.25))
    late = [shop.decide("ann", click=at < 20) for at in range(60)][-1]
    shop.close()
    shop.world.hear(Feedback("late", late.decision_id, "", 0, "click", 1.0, shop.now_us + 60 * SECOND_US))
    shop.world.tick(shop.now_us + 120 * SECOND_US)
    (final,) = LedgerRowsLog(shop.ledger, HOME).batches()
    assert len(final) == 60
    assert final.weight is None
    assert final.reward.sum() == 21.0
    (learned,) = LedgerRowsLog(shop.ledger, HOME, reward="reward_learned").batches()
    assert len(learned) < 45
    assert learned.reward.sum() == 20.0
    assert learned.weight is not None
    assert set(learned.weight[learned.reward == 0.0].tolist()) == {4.0}
    assert set(learned.weight[learned.reward == 1.0].tolist()) == {1.0}


def test_a_log_does_not_grow_while_it_is_read() -> None:
    shop = Shop()
    shop.decide("ann")
    shop.close()
    log = LedgerRowsLog(shop.ledger, HOME)
    shop.now_us += 60 * SECOND_US
    shop.decide("bob")
    shop.close()
    assert sum(len(rows) for rows in log.batches()) == 1
    assert sum(len(rows) for rows in LedgerRowsLog(shop.ledger, HOME).batches()) == 2


def test_a_range_of_times_takes_its_beginning_and_not_its_end() -> None:
    shop = Shop()
    times = [shop.decide("ann").decide_time_us for _ in range(5)]
    shop.close()
    log = LedgerRowsLog(shop.ledger, HOME, times[1], times[3])
    assert [time for rows in log.batches() for time in rows.time_us.tolist()] == times[1:3]


def test_an_unknown_placement_is_told_from_an_empty_one() -> None:
    shop = Shop()
    assert list(LedgerRowsLog(shop.ledger, "other").batches()) == []
    with pytest.raises(NotFound, match="'shop' is not in the ledger; there are: home, other"):
        LedgerRowsLog(shop.ledger, "shop")
