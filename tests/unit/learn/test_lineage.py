"""Lineages: which examples a model is made of, against a model of branches that is written out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from offer_optimizer.core.control import Audit, Learning, Promotion, Quarantine, Rollback
from offer_optimizer.learn.lineage import END, START, Lineage, Range, Start, SteeringRecords

E1 = bytes(16)
AUDIT = Audit("ops", "", 0)


def rollback(to: int, cursor: int, ledger_time: int) -> Rollback:
    return Rollback("home", E1, to, cursor, 0, 0, AUDIT, ledger_time)


def gap(after: int, up_to: int) -> Range:
    return (after, 0), (up_to, END[1])


def lineage(
    records: Mapping[int, Rollback | Quarantine | Promotion], at: int, trained_to: int | None = None
) -> Lineage:
    steering = SteeringRecords()
    for position, record in records.items():
        steering.add(position, record)
    return steering.lineage("home", E1, at, trained_to)


def test_what_closed_between_a_version_and_the_rollback_to_it_is_left_out() -> None:
    records = {30: rollback(20, 200, 300)}
    assert lineage(records, 29) == Lineage()
    assert lineage(records, 30).gaps == (gap(200, 300),)


def test_a_rollback_behind_an_earlier_one_makes_that_void() -> None:
    """Version 10 knew nothing of the rollback at 30: only what follows it is left out."""
    records = {30: rollback(20, 200, 300), 50: rollback(10, 100, 500)}
    assert lineage(records, 60).gaps == (gap(100, 500),)


def test_a_rollback_to_a_version_from_behind_an_earlier_one_keeps_its_gap() -> None:
    records = {30: rollback(20, 200, 300), 50: rollback(40, 400, 500)}
    assert lineage(records, 60).gaps == (gap(200, 300), gap(400, 500))


def test_a_rollback_is_taken_back_by_a_rollback_to_the_abandoned_branch() -> None:
    records = {30: rollback(20, 200, 300), 50: rollback(29, 290, 500)}
    assert lineage(records, 60).gaps == (gap(290, 500),)


def test_a_rollback_to_the_initial_model_starts_over() -> None:
    records = {30: rollback(20, 200, 300), 50: rollback(0, 0, 500)}
    assert lineage(records, 60).gaps == (gap(0, 500),)


def test_quarantines_stay_through_rollbacks_and_promotions_do_not() -> None:
    quarantine = Quarantine("", 5, 9, "", "", AUDIT)
    promotion = Promotion("home", E1, "{}", 150, 7, uses_final=False, audit=AUDIT)
    records: dict[int, Rollback | Quarantine | Promotion] = {
        25: quarantine,
        28: promotion,
        30: rollback(20, 200, 300),
    }
    assert lineage(records, 29) == Lineage(Start(28, promotion), (), (quarantine,), 28)
    assert lineage(records, 30) == Lineage(None, (gap(200, 300),), (quarantine,), 25)


def test_what_needs_training_counts_up_to_where_the_model_was_trained_to() -> None:
    quarantine = Quarantine("home", 5, 9, "", "", AUDIT)
    elsewhere = replace(quarantine, placement_id="cart")
    promotion = Promotion("home", E1, "{}", 150, 7, uses_final=False, audit=AUDIT)
    records: dict[int, Rollback | Quarantine | Promotion] = {
        10: rollback(5, 50, 80),
        25: quarantine,
        26: elsewhere,
        28: promotion,
    }
    assert lineage(records, 40, 0) == Lineage(None, (gap(50, 80),), (), 0)
    assert lineage(records, 40, 27) == Lineage(None, (gap(50, 80),), (quarantine,), 25)
    assert lineage(records, 40) == Lineage(Start(28, promotion), (), (quarantine,), 28)


def test_a_freeze_of_all_overrules_each_and_one_placement_may_go_on_alone() -> None:
    steering = SteeringRecords()
    found = []
    for placement_id, frozen in (("home", True), ("", True), ("home", False), ("", False)):
        steering.add(1, Learning(placement_id, frozen, AUDIT))
        found.append((steering.is_frozen("home"), steering.is_frozen("cart")))
    assert found == [(True, False), (True, True), (False, True), (False, False)]


GAPS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5)


@given(GAPS, st.integers(0, 20), st.integers(0, 20))
@example([(3, 8), (5, 12)], 0, 20)
def test_ranges_are_what_no_gap_holds(gaps: list[tuple[int, int]], after: int, up_to: int) -> None:
    """Every close time is asked for itself: is it in a range, is it in a gap."""
    records = {100 + at: rollback(100 + at, first, last) for at, (first, last) in enumerate(gaps)}
    found = list(lineage(records, 200).ranges((after, 5), (up_to, 5)))
    assert found == sorted(found)
    for time in range(22):
        cursor = (time, 5)
        wanted = (after, 5) < cursor <= (up_to, 5) and not any(
            (first, 0) < cursor <= (last, END[1]) for first, last in gaps
        )
        assert any(low < cursor <= high for low, high in found) == wanted


@given(GAPS, GAPS, st.integers(0, 21))
def test_lineages_agree_only_where_both_learn_the_same(
    first: list[tuple[int, int]], second: list[tuple[int, int]], until: int
) -> None:
    one, other = (
        lineage({100 + at: rollback(100 + at, *pair) for at, pair in enumerate(gaps)}, 200)
        for gaps in (first, second)
    )
    cursor = (until, 5)

    def learned(found: Lineage) -> set[int]:
        ranges = list(found.ranges(START, cursor))
        return {time for time in range(22) if any(low < (time, 5) <= high for low, high in ranges)}

    if one.agrees(other, cursor):
        assert learned(one) == learned(other)
    # A gap in which nothing can have closed may stand between them, and then it is trained anew for nothing.
    assert one.agrees(one, cursor)


def test_a_quarantine_touches_no_model_that_closed_nothing_behind_its_start() -> None:
    quarantined = Lineage(quarantines=(Quarantine("home", 100, 200, "", "", AUDIT),), position=3)
    assert Lineage().agrees(quarantined, (100, 9))
    assert not Lineage().agrees(quarantined, (101, 0))
    assert quarantined.agrees(quarantined, (300, 0))
