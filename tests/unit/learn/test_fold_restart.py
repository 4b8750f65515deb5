"""The fold restarted anywhere, over histories that hypothesis makes up: nothing but the ledger decides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Reward
from offer_optimizer.learn.fold import Fold
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.sqlite import open_writer
from tests.unit.learn.worlds import (
    START_US,
    World,
    catalog,
    content_of,
    decision_of,
    feedback_of,
    placement,
)

T = START_US


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("decide"), st.integers(0, 4_000_000), st.booleans(), st.sampled_from(["", "a", "b"])
        ),
        st.tuples(
            st.just("hear"),
            st.integers(0, 12_000_000),
            st.integers(0, 12),
            st.sampled_from(["click", "shown", "dismiss", "scroll", "strange", "conversion"]),
        ),
        st.tuples(st.just("retract"), st.integers(0, 12_000_000), st.integers(0, 6), st.integers(0, 2)),
        st.tuples(
            st.just("hear_by_visitor"), st.integers(0, 12_000_000), st.integers(0, 3), st.sampled_from("abc")
        ),
        st.tuples(st.just("tick"), st.integers(-2_000_000, 8_000_000)),
        st.tuples(st.just("revise")),
    ),
    max_size=40,
)


def play(world: World, events: list[tuple[object, ...]]) -> None:
    """Bring events into a world; times are offsets from a clock that runs on."""
    clock_us, decisions, revision = T, 0, 1
    epoch = world.apply(1, catalog())
    for event in events:
        match event:
            case ("decide", int(offset_us), bool(deferred), str(visitor)):
                decisions += 1
                clock_us += 100_000
                world.decide(
                    decision_of(
                        decisions, clock_us + offset_us, epoch=epoch, revision=revision, deferred=deferred
                    ),
                    visitor,
                )
            case ("hear", int(offset_us), int(number), str(kind)):
                item_id = f"f{offset_us % 3}"
                world.hear(
                    feedback_of(
                        item_id, clock_us + offset_us, decision=number, kind=kind, occur_us=clock_us + 7
                    )
                )
            case ("retract", int(offset_us), int(number), int(name)):
                item = feedback_of(f"r{name}", clock_us + offset_us, decision=number, retracts=f"f{name}")
                world.hear(item)
            case ("hear_by_visitor", int(offset_us), int(number), str(visitor)):
                world.hear(feedback_of(f"f{number}", clock_us + offset_us), visitor)
            case ("tick", int(offset_us)):
                clock_us += max(offset_us, 0)
                world.tick(clock_us + min(offset_us, 0))
            case _:
                revision += 1
                formula = Reward(formula=f"sum.click * {revision}.0")
                trusts = revision % 2 == 0
                part = placement(
                    reward=formula,
                    trust_occur_time=trusts,
                    grace_s=2.0 if trusts else 0.0,
                    close_on=("conversion", "dismiss"),
                )
                epoch = world.apply(revision, catalog(part))


@given(EVENTS, st.sets(st.integers(1, 60)))
def test_a_fold_restarted_anywhere_equals_one_from_the_beginning(
    events: list[tuple[object, ...]], restarts: set[int]
) -> None:
    """Live, restarted at any records, and rebuilt: the same rows in every table."""
    live = World()
    play(live, events)
    connection = open_writer(None)
    tables = FoldTables.create(connection)
    fold = Fold(live.ledger, tables)
    for record in live.ledger.records():
        if record.position in restarts:
            fold = Fold(live.ledger, tables)
        fold.apply(record)
        fold.save_state()
    assert content_of(connection) == live.content()


@given(EVENTS)
def test_every_item_of_feedback_has_one_fate_and_every_decision_is_open_closed_or_orphaned(
    events: list[tuple[object, ...]],
) -> None:
    world = World()
    play(world, events)
    heard = sum(event[0] in ("hear", "hear_by_visitor", "retract") for event in events)
    decided = sum(event[0] == "decide" for event in events)
    content = world.content()
    assert len(content["fate"]) == heard == world.fold.counts.fates.total()
    assert len(content["open_decision"]) + len(content["closed"]) == decided
    for row in content["open_decision"]:
        assert row[10] > world.fold.time_us  # type: ignore[operator]
