"""A story tells what the ledger holds of a decision, and nothing that it does not hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import draw
from offer_optimizer.core.catalog import Budget, Cap, Catalog
from offer_optimizer.core.control import Thinning
from offer_optimizer.core.decision import ExclusionReason, InlineCandidate, Pmf32, Reason, SlotChoice
from offer_optimizer.core.errors import NotFound
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate
from offer_optimizer.evaluate.story import Story, tell
from offer_optimizer.evaluate.story_text import describe_story, how_chosen, summarize
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Salt
from offer_optimizer.store.fold_tables import CloseStatus
from tests.unit.api.fakes import STORY
from tests.unit.learn.worlds import (
    PLACEMENT,
    START_US,
    WINDOW_US,
    World,
    catalog,
    decision_of,
    feedback_of,
    placement,
)

T = START_US
EPOCH = epoch_of(placement()).id
DRAW = Salt(1, "draw", bytes(range(32)))


def limited() -> Catalog:
    """Return a catalog with a cap, a budget and a holdout."""
    parts = catalog()
    return parts.model_copy(
        update={
            "caps": (
                Cap(id="calm", limit=2, interruptions=True),
                Cap(id="save5-once", limit=1, offers=("save5",)),
            ),
            "budgets": (Budget(id="purse", limit=100.0, offers=("save5",)),),
            "holdout": 0.1,
        }
    )


@pytest.fixture
def world() -> World:
    made = World()
    made.apply(1, limited())
    made.take(made.ledger.append_body(DRAW))
    made.take(made.ledger.append_body(Salt(1, "holdout", bytes(32))))
    return made


def told(world: World, number: int) -> Story:
    return tell(world.ledger, world.tables, number.to_bytes(16, "big"))


def pmf_of(*probabilities: float) -> Pmf32:
    return np.array(probabilities, dtype=np.float32)


def test_a_decision_that_is_not_drained_is_not_found_and_the_text_says_when_it_will_be(world: World) -> None:
    with pytest.raises(NotFound, match="every 100 ms"):
        told(world, 9)


def test_the_funnel_is_told_in_order_with_reasons_and_probabilities(world: World) -> None:
    world.decide(
        replace(
            decision_of(1, T, epoch=EPOCH),
            excluded=(1,),
            exclusion_reasons=(int(ExclusionReason.CAPPED),),
            slots=(SlotChoice(pmf_of(0.96, 0.04), 1, 0.04),),
            model_pmf=pmf_of(0.98, 0.02),
            cap_counts=((0, 1), (1, 1)),
            budget_spent=((0, 12.5),),
        )
    )
    story = told(world, 1)
    assert [(c.offer_id, c.exclusion, c.is_chosen) for c in story.candidates] == [
        ("msg", None, False),
        ("save5", ExclusionReason.CAPPED, False),
        ("nothing", None, True),
    ]
    assert [c.probability for c in story.candidates] == pytest.approx([0.96, 0.0, 0.04])
    assert story.candidates[1].model_probability is None
    assert story.candidates[2].model_probability == pytest.approx(0.02)
    assert [(read.cap_id, read.count, read.limit) for read in story.cap_reads] == [
        ("calm", 1, 2),
        ("save5-once", 1, 1),
    ]
    assert [(read.budget_id, read.spent, read.limit) for read in story.budget_reads] == [
        ("purse", 12.5, 100.0)
    ]
    assert "explored, p = 0.04" in summarize(story)


def test_an_offer_given_inline_is_told_by_its_own_id(world: World) -> None:
    attributes = Features(numbers=(("cost", 3.0),))
    world.decide(
        replace(
            decision_of(1, T, epoch=EPOCH),
            candidates=(3, 4),
            inline=(InlineCandidate("mine", attributes), InlineCandidate("msg", Features())),
            slots=(SlotChoice(pmf_of(0.5, 0.5), 0, 0.5),),
        )
    )
    story = told(world, 1)
    assert [(c.offer_id, c.attributes) for c in story.candidates] == [
        ("mine", attributes),
        ("msg", Features()),
    ]


def test_the_draw_can_be_repeated_from_what_is_told(world: World) -> None:
    decision = decision_of(1, T, epoch=EPOCH)
    world.decide(decision)
    story = told(world, 1)
    assert story.draw_salt_id == 1
    assert story.draw_number == draw.uniform(DRAW.salt, PLACEMENT, decision.decision_id, 0)


@pytest.mark.parametrize(
    ("probabilities", "chosen", "is_explored"),
    [((0.5, 0.25, 0.25), 0, False), ((0.5, 0.25, 0.25), 2, True), ((0.375, 0.25, 0.375), 2, False)],
)
def test_explored_means_that_something_was_more_likely(
    world: World, probabilities: tuple[float, ...], chosen: int, is_explored: bool
) -> None:
    slot = SlotChoice(pmf_of(*probabilities), chosen, probabilities[chosen])
    world.decide(replace(decision_of(1, T, epoch=EPOCH), slots=(slot,)))
    story = told(world, 1)
    assert story.is_explored is is_explored
    assert ("explored, p = 0.25" in describe_story(story)) is is_explored


def test_an_offer_without_an_alternative_is_told_as_the_only_one(world: World) -> None:
    only = replace(
        decision_of(1, T, epoch=EPOCH),
        excluded=(0, 1),
        exclusion_reasons=(1, 1),
        slots=(SlotChoice(pmf_of(1.0), 0, 1.0),),
        baseline=0,
    )
    world.decide(only)
    assert summarize(told(world, 1)).startswith("nothing: the only eligible offer, p = 1.")


@given(st.floats(0.0, 1.0, exclude_min=True, exclude_max=True))
def test_what_is_neither_certain_nor_impossible_never_reads_as_if_it_were(probability: float) -> None:
    candidates = tuple(replace(c, probability=probability) for c in STORY.candidates if c.exclusion is None)
    story = replace(STORY, candidates=candidates)
    read = float(how_chosen(story, candidates[0]).rpartition("p = ")[2])
    assert 0.0 < read < 1.0
    assert read == pytest.approx(probability, rel=0.06)


def test_a_held_out_visitor_is_told_as_such(world: World) -> None:
    held = replace(
        decision_of(1, T, epoch=EPOCH, reason=Reason.HOLDOUT),
        slots=(SlotChoice(pmf_of(1.0, 0.0, 0.0), 0, 1.0),),
        holdout=True,
        holdout_u=0.05,
    )
    world.decide(held, "visitor")
    story = told(world, 1)
    assert (story.is_held_out, story.holdout_u, story.holdout_share) == (True, 0.05, 0.1)
    assert "held out: number 0.050000, share 0.1" in describe_story(story)
    assert "held out and gets the baseline, p = 1" in summarize(story)
    assert not story.is_explored


def test_a_placements_own_holdout_takes_precedence() -> None:
    world = World()
    world.apply(1, limited().model_copy(update={"placements": (placement(holdout=0.25),)}))
    world.decide(decision_of(1, T, epoch=EPOCH))
    assert told(world, 1).holdout_share == 0.25


def test_every_item_of_feedback_is_told_with_its_fate(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("f", T + 1, decision=1))
    world.hear(feedback_of("f", T + 2, decision=1))
    world.hear(feedback_of("f", T + 3, decision=1, value=2.0))
    story = told(world, 1)
    assert [one.fate for one in story.feedback] == [Fate.APPLIED, Fate.DUPLICATE, Fate.CONFLICTING]
    assert story.closing is None
    assert "window still open" in describe_story(story)


def test_once_closed_the_reward_is_told(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("f", T + 1, decision=1, value=0.75))
    world.tick(T + WINDOW_US)
    closing = told(world, 1).closing
    assert closing is not None
    assert (closing.status, closing.reward, closing.close_time_us) == (
        CloseStatus.LEARNED,
        0.75,
        T + WINDOW_US,
    )
    assert closing.final == 0.75


def test_what_came_late_and_what_was_taken_back_is_told_with_the_final_reward(world: World) -> None:
    world.hear(feedback_of("early", T, decision=1, value=0.25))
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("buy", T + 1, decision=1, value=0.5))
    world.tick(T + WINDOW_US)
    world.hear(feedback_of("refund", T + WINDOW_US, decision=1, retracts="buy"))
    world.tick(T + WINDOW_US + 1)
    story = told(world, 1)
    assert [one.fate for one in story.feedback] == [Fate.APPLIED, Fate.APPLIED, Fate.LATE]
    assert story.closing is not None
    assert (story.closing.reward, story.closing.final) == (0.75, 0.25)
    text = describe_story(story)
    assert "takes back 'buy': LATE" in text
    assert "finally 0.25" in text
    assert summarize(story).endswith("learned. With what came late or was taken back: 0.25.")


def test_what_was_taken_back_in_time_is_not_called_feedback(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.hear(feedback_of("buy", T + 1, decision=1))
    world.hear(feedback_of("refund", T + 2, decision=1, retracts="buy"))
    assert "No feedback so far" in summarize(told(world, 1))


def test_a_thinned_decision_has_its_reward_and_says_why_it_was_not_learned(world: World) -> None:
    world.add(Thinning(PLACEMENT, 1e-9))
    world.decide(decision_of(1, T, epoch=EPOCH))
    world.tick(T + WINDOW_US)
    story = told(world, 1)
    assert story.closing is not None
    assert (story.closing.status, story.closing.reward) == (CloseStatus.THINNED, 0.125)
    assert "left out of learning by lot" in describe_story(story)


def test_a_deferred_decision_that_was_never_shown_has_no_reward_rather_than_nought(world: World) -> None:
    world.decide(decision_of(1, T, epoch=EPOCH, deferred=True))
    world.tick(T + WINDOW_US)
    story = told(world, 1)
    assert story.closing is not None
    assert story.closing.reward is None
    assert "never shown" in describe_story(story)


def test_where_nothing_could_be_shown_the_story_says_so(world: World) -> None:
    nothing = replace(
        decision_of(1, T, epoch=EPOCH, reason=Reason.NO_ELIGIBLE_OFFER),
        excluded=(0, 1, 2),
        exclusion_reasons=(1, 2, 4),
        slots=(),
        baseline=None,
    )
    world.decide(nothing)
    story = told(world, 1)
    assert (story.chosen, story.draw_number, story.baseline_offer_id) == (None, None, "")
    assert summarize(story).startswith("Nothing was shown: 0 of 3 candidates were eligible")
    assert "excluded: CALLER_EXCLUDED" in describe_story(story)
