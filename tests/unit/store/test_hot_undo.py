"""What was never recorded is taken out of the counters without a trace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.counting import CapEvent, Charge, Counting
from tests.unit.store.test_hot_state import ANN, NOW_US, Store, id_of, operations, recent


@given(operations, st.integers(0, 3))
def test_undone_is_as_if_it_had_never_been(steps: list[tuple[int, Counting]], undone: int) -> None:
    """Whatever was counted of others: by caps, budgets, request and visitor."""
    with_it, without_it = Store(), Store()
    one = Counting((CapEvent("x", NOW_US, 0),), (Charge("b", "2026-01-01", 0.1, 0),))
    for number, counting in [*steps, (undone, one)]:
        for store in (with_it, without_it)[: 1 if number == undone else 2]:
            state = store.change()
            state.remember(recent(number), b"q%d" % number, b"body")
            state.apply(id_of(number), ANN, counting, NOW_US)
            state.flush()
    state = with_it.change()
    state.undo(id_of(undone), ANN)
    state.flush()
    found, expected = with_it.read(), without_it.read()
    assert found.recent(id_of(undone)) is None
    assert found.find_request(b"q%d" % undone) is None
    assert found.newest_decision("home", ANN) == expected.newest_decision("home", ANN)
    for cap in ("x", "y"):
        times = sorted(found.event_times(cap, ANN, NOW_US)), sorted(expected.event_times(cap, ANN, NOW_US))
        assert times[0] == times[1]
    for budget in ("b", "d"):
        for period in ("2026-01-01", "2026-01-02"):
            assert found.spent(budget, period, NOW_US) == expected.spent(budget, period, NOW_US)
    left = [key for key, _ in with_it.values.scan(b"", b"\xff", 1000) if id_of(undone) in key]
    assert left == []
