"""The fold's tables: what is due, what is open, what was learned, in one order."""

from __future__ import annotations

import pytest

from offer_optimizer.core.feedback import Fate
from offer_optimizer.store.fold_tables import ClosedDecision, CloseStatus, FoldTables
from offer_optimizer.store.open_tables import GRACE_US, JoinedFeedback, OpenDecision
from offer_optimizer.store.sqlite import open_writer, transaction

EPOCH = bytes(16)


@pytest.fixture
def tables() -> FoldTables:
    return FoldTables.create(open_writer(None))


def opened(position: int, close_time_us: int = 100) -> OpenDecision:
    times = (0, close_time_us, close_time_us)
    return OpenDecision(position, bytes([position]), 7, "home", 1, 1, EPOCH, True, True, *times)


def closed(
    position: int, close_time_us: int = 100, status: CloseStatus = CloseStatus.LEARNED
) -> ClosedDecision:
    return ClosedDecision("home", EPOCH, close_time_us, position, status, 0.5, False)


def test_what_is_opened_is_found_by_position_and_id_until_it_is_closed(tables: FoldTables) -> None:
    tables.open(opened(1))
    assert tables.open_at(1) == tables.find_open(b"\1") == opened(1)
    tables.close(closed(1))
    assert tables.open_at(1) is tables.find_open(b"\1") is None
    assert tables.closed_at(1) == closed(1)


def test_what_is_due_comes_by_close_time_then_position(tables: FoldTables) -> None:
    for position, time_us in ((1, 30), (2, 10), (3, 30), (4, 31)):
        tables.open(opened(position, time_us))
    assert [decision.position for decision in tables.due(30, 9)] == [2, 1, 3]
    assert [decision.position for decision in tables.due(30, 2)] == [2, 1]


def test_lessons_are_those_learned_between_two_cursors_in_closing_order(tables: FoldTables) -> None:
    rows = [(5, 10), (1, 20), (3, 20), (2, 30)]
    for position, time_us in rows:
        tables.close(closed(position, time_us))
    tables.close(closed(4, 20, CloseStatus.NOT_ACTIVATED))

    def found(after: tuple[int, int], up_to: tuple[int, int] | None, limit: int = 9) -> list[int]:
        return [lesson.position for lesson in tables.lessons("home", EPOCH, after, up_to, limit)]

    assert found((0, 0), None) == [5, 1, 3, 2]
    assert found((20, 1), None) == [3, 2]
    assert found((10, 5), (20, 3)) == [1, 3]
    assert found((0, 0), (0, 0)) == []
    assert found((0, 0), None, 2) == [5, 1]
    assert tables.lessons("other", EPOCH, (0, 0), None, 9) == []
    assert tables.lessons("home", b"?" * 16, (0, 0), None, 9) == []


@pytest.mark.parametrize(
    ("cursor", "known"), [((10, 5), True), ((10, 4), False), ((11, 5), False), ((20, 4), False)]
)
def test_a_close_cursor_is_known_if_it_names_a_lesson(
    tables: FoldTables, cursor: tuple[int, int], known: bool
) -> None:
    tables.close(closed(5, 10))
    tables.close(closed(4, 20, CloseStatus.NOT_LEARNABLE))
    assert tables.has_lesson("home", EPOCH, cursor) is known


def test_ids_by_visitor_are_spent_until_the_grace_ends_and_ids_by_decision_go(tables: FoldTables) -> None:
    tables.open(opened(1, 100))
    tables.join(JoinedFeedback(2, 1, "by visitor", 7, "home", "click", 1.0, 5))
    tables.join(JoinedFeedback(3, 1, "by decision", None, "home", "click", 1.0, 5))
    tables.close(closed(1, 100))
    assert tables.joined(1) == []
    assert tables.find_spent(7, "home", "by visitor") == 2
    assert tables.find_spent(7, "home", "by decision") is None
    assert tables.find_spent(7, "cart", "by visitor") is None
    tables.forget(100 + GRACE_US - 1)
    assert tables.find_spent(7, "home", "by visitor") == 2
    tables.forget(100 + GRACE_US)
    assert tables.find_spent(7, "home", "by visitor") is None


def test_feedback_of_a_decision_comes_in_ledger_order_whatever_its_ids(tables: FoldTables) -> None:
    for position, name in ((4, "a"), (2, "z"), (3, "m")):
        tables.join(JoinedFeedback(position, 1, name, None, "home", "click", 1.0, 5))
    assert [item.position for item in tables.joined(1)] == [2, 3, 4]


def test_fates_are_kept_and_counted(tables: FoldTables) -> None:
    for position, fate in ((1, Fate.APPLIED), (2, Fate.LATE), (3, Fate.APPLIED)):
        tables.note_fate(position, fate, 9)
    assert tables.fate_counts() == {Fate.APPLIED: 2, Fate.LATE: 1}
    assert (tables.fate_of(2), tables.fate_of(4)) == (Fate.LATE, None)
    assert tables.feedback_of(9) == [(1, Fate.APPLIED), (2, Fate.LATE), (3, Fate.APPLIED)]


def test_making_the_tables_again_neither_changes_nor_commits_anything() -> None:
    """A transaction that failed halfway must not become durable by starting over."""
    connection = open_writer(None)
    FoldTables.create(connection)
    with pytest.raises(RuntimeError), transaction(connection):  # noqa: PT012  (rolled back whole)
        FoldTables(connection).set_state("position", 9)
        FoldTables.create(connection)
        raise RuntimeError
    assert FoldTables(connection).state("position") == 0
