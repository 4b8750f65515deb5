"""What the ledger says of decisions, as arrays: which rows, who, what they earned, and what was eligible."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.control import Thinning
from offer_optimizer.core.decision import Consent, Reason
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.evaluate import ledger_log
from offer_optimizer.evaluate.ledger_log import LedgerLog, LogChunk
from offer_optimizer.store.fold_tables import CloseStatus
from tests.unit.evaluate.ledgers import HOME, OFFERS, SECOND_US, Shop, catalog, inline, placement

ALL_TIME = (0, 2**60)


def read(
    shop: Shop, start_us: int = 0, end_us: int = 2**60, limit: int = 10_000
) -> tuple[LedgerLog, LogChunk]:
    log = LedgerLog(shop.ledger, HOME, start_us, end_us, limit)
    (chunk,) = log.chunks()
    return log, chunk


def test_rows_say_who_was_shown_what_with_which_probability_and_what_it_earned() -> None:
    shop = Shop()
    shop.decide("ann", 0, click=True)
    shop.decide("bob", 1)
    # Without "msg" its position moves: what is stored counts among the eligible.
    shop.decide("ann", 0, pmf=(0.75, 0.25), excluded=(0,), click=True)
    shop.close()
    log, chunk = read(shop)
    ids = np.array(log.vocabulary.ids)
    rows = chunk.rows
    assert ids[rows.chosen].tolist() == ["save5", "save5", "msg"]  # the newest comes first
    assert rows.propensity.tolist() == [0.75, 0.25, 0.5]
    assert rows.reward.tolist() == [1.0, 0.0, 1.0]
    assert rows.visitor[0] == rows.visitor[2] != rows.visitor[1]
    assert [ids[offers[offers >= 0]].tolist() for offers in rows.offers] == [
        ["save5", "nothing"],
        ["msg", "save5", "nothing"],
        ["msg", "save5", "nothing"],
    ]
    assert rows.pmf.tolist() == [[0.75, 0.25, 0.0], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]
    assert ids[rows.baseline].tolist() == ["nothing"] * 3
    assert chunk.is_interruption.tolist() == [True] * 3
    assert rows.model_pmf is None


def test_estimators_get_only_what_a_policy_drew_with_full_consent_and_was_active() -> None:
    shop = Shop()
    shop.decide("ann", 0, click=True)
    shop.decide("ann", 2, reason=Reason.HOLDOUT, pmf=(0.0, 0.0, 1.0), click=True)
    shop.decide("ann", 2, reason=Reason.MODEL_UNAVAILABLE, pmf=(0.0, 0.0, 1.0))
    shop.decide("ann", 0, consent=Consent.SERVE_ONLY, click=True)
    shop.decide("ann", 0, deferred=True)
    shop.decide("ann", slots=(), reason=Reason.NO_ELIGIBLE_OFFER, baseline=None)
    shop.close()
    shop.decide("ann", 0)
    _, chunk = read(shop)
    assert len(chunk) == 7
    assert len(chunk.rows) == 1
    assert chunk.is_open.tolist() == [True] + [False] * 6
    assert chunk.is_counted.tolist() == [False, True, False, True, True, True, True]
    assert chunk.reward.tolist() == [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    assert chunk.is_interruption[1:].tolist() == [False, True, True, False, False, True]
    assert chunk.chosen[1] == -1


def test_rewards_are_final_and_thinned_rows_count_as_any_other() -> None:
    """Unweighted: their true reward is known. That learning left them out concerns learning alone."""
    shop = Shop()
    shop.world.add(Thinning(HOME, 1e-9))
    shop.decide("ann", 0, click=True)
    thinned = shop.decide("bob", 0)
    end_us = shop.close()
    item = Feedback("late", thinned.decision_id, "", 0, "click", 0.5, end_us)
    assert shop.world.hear(item) is Fate.LATE
    shop.world.tick(end_us + 1)
    assert shop.world.fold.counts.closed[CloseStatus.THINNED] == 1
    _, chunk = read(shop)
    assert chunk.is_counted.all()
    assert chunk.reward.tolist() == chunk.rows.reward.tolist() == [0.5, 1.0]


def test_a_decision_without_a_visitor_id_is_a_visitor_of_its_own() -> None:
    shop = Shop()
    shop.decide("")
    shop.decide("")
    shop.decide("ann")
    shop.close()
    _, chunk = read(shop)
    assert len(set(chunk.visitor.tolist())) == 3
    assert (chunk.visitor < 0).tolist() == [False, True, True]


def test_visitors_who_were_merged_are_one_also_in_what_was_written_before() -> None:
    """Ann and bob became cid, and cid became dan: one visitor; eve stays another."""
    shop = Shop()
    for name in ("ann", "bob", "cid", "dan", "eve"):
        shop.decide(name)
    for from_name, into_name in (("ann", "bob"), ("bob", "cid"), ("cid", "dan")):
        merge = shop.ledger.merge_visitors(from_name.encode(), into_name.encode())
        assert merge is not None
        shop.world.take(shop.ledger.append_body(merge))
    shop.decide("ann")
    shop.close()
    _, chunk = read(shop)
    after, eve, *others = chunk.visitor.tolist()
    assert set(others) == {after}
    assert eve != after


def test_the_range_is_of_decide_times_and_half_open() -> None:
    shop = Shop(step_us=500)
    times = [shop.decide(f"v{number}").decide_time_us for number in range(20)]
    shop.close()
    _, chunk = read(shop, times[3], times[17])
    assert chunk.decide_time_us.tolist() == times[3:17][::-1]
    assert not list(LedgerLog(shop.ledger, HOME, times[-1] + 1, times[-1] + SECOND_US, 10).chunks())


def test_only_the_placement_asked_for_is_read() -> None:
    shop = Shop()
    shop.decide("ann")
    shop.decide("ann", placement_id="other")
    shop.close()
    assert len(read(shop)[1]) == 1


def test_chunks_add_up_to_the_whole_and_the_limit_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_log, "CHUNK_ROWS", 7)
    shop = Shop()
    times = [shop.decide(f"v{number}").decide_time_us for number in range(30)]
    shop.close()

    def times_of(limit: int) -> tuple[list[int], bool]:
        log = LedgerLog(shop.ledger, HOME, *ALL_TIME, limit)
        found = [time for chunk in log.chunks() for time in chunk.decide_time_us.tolist()]
        return found, log.is_cut

    assert times_of(100) == (times[::-1], False)
    assert times_of(30) == (times[::-1], False)
    assert times_of(29) == (times[:0:-1], True)
    assert times_of(10) == (times[:19:-1], True)
    assert times_of(14) == (times[:15:-1], True)


def test_inline_offers_are_known_by_their_ids_and_always_interrupt() -> None:
    shop = Shop()
    for given in (("x", "y"), ("y", "x")):
        shop.decide("ann", 1, pmf=(0.5, 0.5), candidates=(3, 4), inline=inline(*given), baseline=None)
    shop.close()
    log, chunk = read(shop)
    assert np.array(log.vocabulary.ids)[chunk.rows.chosen].tolist() == ["x", "y"]
    assert chunk.is_interruption.all()
    assert chunk.rows.baseline.tolist() == [-1, -1]


def test_the_holdout_is_that_of_the_decisions_own_revision() -> None:
    shop = Shop(catalog(holdout=0.1))
    shop.decide("ann", holdout_u=0.05)
    own = placement(holdout=0.3)
    shop.apply(Catalog(offers=OFFERS, placements=(own,), holdout=0.1))
    shop.decide("ann", holdout_u=0.7)
    shop.decide("")
    shop.close()
    _, chunk = read(shop)
    assert chunk.scope == (HOME, HOME, "*")
    assert chunk.holdout_share.tolist() == [0.3, 0.3, 0.1]
    assert np.isnan(chunk.holdout_u).tolist() == [True, False, False]


def test_the_models_own_pmf_is_there_where_it_was_logged() -> None:
    shop = Shop()
    shop.decide("ann", ramp=0.5, model_pmf=np.array([0.125, 0.75, 0.125], dtype=np.float32))
    shop.decide("bob")
    shop.close()
    _, chunk = read(shop)
    assert chunk.rows.model_pmf is not None
    assert np.isnan(chunk.rows.model_pmf[0]).all()
    assert chunk.rows.model_pmf[1].tolist() == [0.125, 0.75, 0.125]
    assert chunk.rows.shadowed().tolist() == [False, True]
