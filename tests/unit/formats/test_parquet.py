"""The Parquet log: what goes in comes out, and its batches say what the rows say."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.decision import Consent, Decision, InlineCandidate, Reason
from offer_optimizer.core.errors import DamagedFile, InvalidInput
from offer_optimizer.core.features import Features
from offer_optimizer.core.history import History
from offer_optimizer.core.outcome import LoggedDecision, Outcome
from tests.unit.formats.logged import HISTORY, OFFERS, START_US, logged, logged_decisions, read, written


def plain(value: object) -> str:
    """Return a text that says everything, arrays included, to the last bit."""
    with np.printoptions(floatmode="unique"):
        return repr(value)


@given(st.lists(logged_decisions(), min_size=1, max_size=2))
def test_logged_decisions_come_back_as_they_were(rows: list[LoggedDecision]) -> None:
    found = list(read(written(rows)).rows())
    assert [plain(row) for row in found] == [plain(row) for row in rows]
    assert all(slot.pmf.dtype == np.float32 for row in found for slot in row.decision.slots)


@given(st.lists(logged_decisions(), min_size=1, max_size=3))
def test_batches_have_what_a_model_drew_and_what_it_earned(rows: list[LoggedDecision]) -> None:
    usable = [
        row
        for row in rows
        if row.decision.is_learnable()
        and row.outcome.status != "OPEN"
        and row.outcome.reward_final is not None
    ]
    log = read(written(rows))
    batches = list(log.batches())
    assert sum(len(batch) for batch in batches) == len(usable)
    if not batches:
        return
    (batch,) = batches
    ids = log.vocabulary.ids
    assert batch.decisions is not None
    assert [plain(decision) for decision in batch.decisions] == [plain(row.decision) for row in usable]
    for number, row in enumerate(usable):
        names = [*OFFERS, *(inline.offer_id for inline in row.decision.inline)]
        eligible = [names[index] for index in row.decision.eligible()]
        slot = row.decision.slots[0]
        offers = batch.offers[number]
        assert [ids[offer] for offer in offers if offer >= 0] == eligible
        assert ids[batch.chosen[number]] == eligible[slot.chosen]
        assert batch.propensity[number] == slot.propensity
        assert batch.reward[number] == row.outcome.reward_final
        assert batch.pmf is not None
        assert batch.pmf[number][: len(eligible)].tolist() == slot.pmf.tolist()
        assert not batch.pmf[number][len(eligible) :].any()
        assert batch.contexts.features(number) == row.decision.context
        assert batch.time_us[number] == row.decision.decide_time_us


def test_a_reading_is_the_same_every_time_and_across_files() -> None:
    files = [written([logged(n) for n in range(6)]), written([logged(n) for n in range(6, 9)])]
    log = read(*files)
    first = [batch.reward.tolist() for batch in log.batches()]
    assert first == [batch.reward.tolist() for batch in log.batches()]
    assert [reward for batch in first for reward in batch] == [float(n) for n in range(9)]
    assert log.has_visitors


def test_contexts_are_columns() -> None:
    rows = [logged(0), logged(1, context=Features(categories=(("device", "tv"), ("plan", "pro"))))]
    (batch,) = read(written(rows)).batches()
    assert batch.contexts.names() == ["age", "device", "plan"]
    assert batch.contexts.column("device") == ["mobile", "tv"]
    assert batch.contexts.column("plan") == ["", "pro"]
    ages = batch.contexts.column("age")
    assert isinstance(ages, np.ndarray)
    assert ages[0] == 0.0
    assert np.isnan(ages[1])
    with pytest.raises(KeyError):
        batch.contexts.column("absent")


def test_attributes_are_the_catalogs_or_the_requests() -> None:
    given_inline = (InlineCandidate("msg", Features(numbers=(("cost", 9.0),))),)
    rows = [
        logged(0, excluded=(0,), exclusion_reasons=(6,)),
        logged(1, candidates=(3,), inline=given_inline, slots=(logged(0).decision.slots[0],)),
    ]
    rows[0] = replace(rows[0], decision=_with_two(rows[0].decision))
    rows[1] = replace(rows[1], decision=_with_one(rows[1].decision))
    (batch,) = read(written(rows)).batches()
    assert batch.attributes is not None
    costs = [[dict(offer.numbers)["cost"] for offer in row] for row in batch.attributes]
    assert costs == [[1.0, 2.0], [9.0]]
    (alone,) = read(written(rows), history=None).batches()
    assert alone.attributes is None


def _with_two(decision: Decision) -> Decision:
    slot = replace(decision.slots[0], pmf=np.array([0.5, 0.5], dtype=np.float32), chosen=0, propensity=0.5)
    return replace(decision, slots=(slot,), baseline=None)


def _with_one(decision: Decision) -> Decision:
    slot = replace(decision.slots[0], pmf=np.array([1.0], dtype=np.float32), chosen=0, propensity=1.0)
    return replace(decision, slots=(slot,), baseline=None)


def test_what_is_left_out_is_said() -> None:
    rows = [
        logged(0),
        logged(1, outcome=Outcome()),
        logged(2, reason=Reason.HOLDOUT, holdout=True),
        logged(3, consent=Consent.SERVE_ONLY),
        logged(4, outcome=Outcome("NOT_ACTIVATED", START_US)),
    ]
    log = read(written(rows))
    (batch,) = log.batches()
    assert batch.reward.tolist() == [0.0]
    assert log.notes == [
        "2 decisions left out: holdout, baseline, no full consent, or nothing eligible",
        "1 decisions left out: their window is open",
        "1 decisions left out: never shown, or their reward could not be made",
    ]


def test_a_visitor_goes_by_the_newest_key_and_nobody_is_somebody_of_their_own() -> None:
    history = History(catalogs=HISTORY.catalogs, merged={100: 500})
    rows = [logged(0), logged(2), replace(logged(4), visitor_key=None)]
    (batch,) = read(written(rows), history=history).batches()
    assert batch.visitor.tolist() == [500, 101, -5]


def test_one_of_several_placements_has_to_be_named() -> None:
    files = [written([logged(0)]), written([logged(1, placement_id="other")], "other")]
    with pytest.raises(InvalidInput, match="home, other"):
        read(*files)
    with pytest.raises(InvalidInput, match="absent is not in a test, which holds home, other"):
        read(*files, placement_id="absent")
    (batch,) = read(*files, placement_id="other").batches()
    assert batch.reward.tolist() == [1.0]


def test_a_file_that_another_tool_wrote_anew_reads_as_its_rows_say() -> None:
    table = pq.read_table(io.BytesIO(written([logged(0), logged(1, placement_id="home")])))
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), sink)
    (batch,) = read(sink.getvalue()).batches()
    assert batch.reward.tolist() == [0.0, 1.0]


def test_what_is_not_a_log_of_ours_is_refused_with_its_name() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"position": [1]}), sink)
    with pytest.raises(DamagedFile, match="file 0: is not a Parquet log of ours: no column decision_id"):
        read(sink.getvalue())
    with pytest.raises(DamagedFile, match="file 0: is not a readable Parquet file"):
        read(written([logged(0)])[:-50])


def test_a_decision_of_another_placement_is_not_written() -> None:
    with pytest.raises(ValueError, match="a decision of other in a log of home"):
        written([logged(0, placement_id="other")])
