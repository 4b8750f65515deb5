"""Stories to messages. Pure."""

from __future__ import annotations

from typing import cast

from offer_optimizer.api.times import timestamp
from offer_optimizer.core.features import Features
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.contributions import Contributions
from offer_optimizer.evaluate.story import Story, StoryCandidate, StoryFeedback
from offer_optimizer.evaluate.story_text import describe_story, summarize
from offer_optimizer.v1 import offer_service_pb2 as pb


def explain_response(story: Story) -> pb.ExplainResponse:
    """Build the reply."""
    response = pb.ExplainResponse(
        decision_id=format_decision_id(story.decision_id),
        placement=story.placement_id,
        decide_time=timestamp(story.decide_time_us),
        # The numbers are the same in the API and in the ledger; a test compares them.
        reason=cast("pb.DecisionReason", int(story.reason)),
        consent=cast("pb.Consent", int(story.consent)),
        deferred=story.is_deferred,
        candidates=[_candidate(candidate) for candidate in story.candidates],
        explored=story.is_explored,
        context=_features(story.context),
        catalog_revision=story.catalog_revision,
        model_version="" if story.model_version is None else str(story.model_version),
        cap_counts=[
            pb.ExplainedCount(cap_id=read.cap_id, count=read.count, limit=read.limit)
            for read in story.cap_reads
        ],
        budgets=[
            pb.ExplainedSpent(budget_id=read.budget_id, spent=read.spent, limit=read.limit)
            for read in story.budget_reads
        ],
        mix=pb.ExplainedMix(ramp=story.ramp, floor=story.floor, baseline_offer_id=story.baseline_offer_id),
        holdout=pb.ExplainedHoldout(
            held_out=story.is_held_out, share=story.holdout_share, number=story.holdout_u
        ),
        summary=summarize(story),
        text=describe_story(story),
        model_remarks=story.model_remarks,
    )
    if story.chosen is not None:
        response.draw.CopyFrom(pb.ExplainedDraw(salt_id=story.draw_salt_id, number=story.draw_number))
    if story.contributions is not None:
        response.contributions.CopyFrom(_contributions(story.contributions))
    _add_outcome(response, story)
    return response


def explained_feedback(told: StoryFeedback) -> pb.ExplainedFeedback:
    """Return what became of one item of feedback."""
    return pb.ExplainedFeedback(
        feedback_id=told.item.feedback_id,
        kind=told.item.kind,
        value=told.item.value,
        receive_time=timestamp(told.item.receive_time_us),
        fate=told.fate.name.lower(),
    )


def _candidate(candidate: StoryCandidate) -> pb.ExplainedCandidate:
    return pb.ExplainedCandidate(
        offer_id=candidate.offer_id,
        exclusion_reason="" if candidate.exclusion is None else candidate.exclusion.name,
        probability=candidate.probability,
        chosen=candidate.is_chosen,
        model_probability=candidate.model_probability,
    )


def _features(features: Features) -> pb.Features:
    return pb.Features(
        categories=dict(features.categories),
        numbers=dict(features.numbers),
        tags={name: pb.Tags(values=values) for name, values in features.tags},
    )


def _contributions(found: Contributions) -> pb.ExplainedContributions:
    return pb.ExplainedContributions(
        model_version=str(found.version),
        probability=found.probability,
        contributions=[pb.Contribution(feature=one.feature, change=one.change) for one in found.largest],
    )


def _add_outcome(response: pb.ExplainResponse, story: Story) -> None:
    response.feedback.extend(map(explained_feedback, story.feedback))
    closing = story.closing
    if closing is None:
        response.fate = "open"
        return
    response.fate = closing.status.name.lower()
    response.close_time.CopyFrom(timestamp(closing.close_time_us))
    if closing.reward is not None:
        response.reward_learned = closing.reward
    if closing.final is not None:
        response.reward_final = closing.final
