"""Stories as text for people: one renderer for the API, `explain` and `ledger show`. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from offer_optimizer.core.decision import Reason
from offer_optimizer.core.features import Features, show
from offer_optimizer.core.feedback import Fate
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.story import Story, StoryCandidate
from offer_optimizer.store.fold_tables import CloseStatus

_CERTAIN = {
    Reason.BASELINE: "the placement runs its pure baseline",
    Reason.HOLDOUT: "the visitor is held out and gets the baseline",
    Reason.MODEL_UNAVAILABLE: "no usable model was loaded, so the baseline was shown",
    Reason.NO_CONSENT: "the visitor's consent allows the baseline only",
}
_FATES = {
    CloseStatus.LEARNED: "learned",
    CloseStatus.NOT_ACTIVATED: "deferred and never shown: no reward, not learned",
    CloseStatus.THINNED: "silent and left out of learning by lot; others stand for it",
    CloseStatus.NOT_LEARNABLE: "not learned",
    CloseStatus.FROZEN: "not learned: learning was frozen",
    CloseStatus.REWARD_FAILED: "the reward formula failed: no reward, not learned",
}


def summarize(story: Story) -> str:
    """Return a few sentences: what was chosen, whether that was explored, and what came of it."""
    chosen = story.chosen
    dropped = len(story.candidates) - len(story.eligible)
    funnel = f"{len(story.eligible)} of {len(story.candidates)} candidates were eligible"
    if chosen is None:
        return f"Nothing was shown: {funnel}, and there was no baseline to show. {_outcome(story)}"
    return (
        f"{chosen.offer_id}: {how_chosen(story, chosen)}. "
        f"{funnel}{'' if dropped else ', none was excluded'}. {_outcome(story)}"
    )


def how_chosen(story: Story, chosen: StoryCandidate) -> str:
    """Return how the choice came about: "explored, p = 0.04"."""
    if story.reason is not Reason.MODEL:
        return f"{_CERTAIN.get(story.reason, story.reason.name)}, p = 1"
    if len(story.eligible) == 1:
        verdict = "the only eligible offer"
    else:
        verdict = "explored" if story.is_explored else "the most likely offer"
    return f"{verdict}, p = {_short(chosen.probability)}"


def _origin(story: Story) -> str:
    """Return whose decision it was, where it was not ours."""
    return ", imported: another system drew it" if story.is_imported else ""


def describe_story(story: Story) -> str:
    """Return the whole story, a fact a line."""
    lines = [
        f"decision   {format_decision_id(story.decision_id)} (ledger position {story.position})",
        f"made       {describe_time(story.decide_time_us)} at {story.placement_id}",
        f"catalog    revision {story.catalog_revision}",
        f"visitor    {_visitor(story)}",
        f"reason     {story.reason.name}{', deferred' if story.is_deferred else ''}{_origin(story)}",
        f"model      {story.model_version or 'none'}",
        f"mix        {_mix(story)}",
        f"holdout    {_holdout(story)}",
        f"context    {describe_features(story.context)}",
        *_counters(story),
        "candidates",
        *(_candidate(story, candidate) for candidate in story.candidates),
        *_contributions(story),
        *(f"today      {remark}" for remark in story.model_remarks),
        *_feedback(story),
        f"reward     {_reward(story)}",
        f"in short   {summarize(story)}",
    ]
    return "\n".join(lines)


def describe_features(features: Features) -> str:
    """Return features as one line."""
    parts = [f"{name}={value}" for name, value in features.categories]
    parts += [f"{name}={number:g}" for name, number in features.numbers]
    parts += [f"{name}={{{', '.join(values)}}}" for name, values in features.tags]
    return ", ".join(parts) if parts else "none"


def describe_time(time_us: int) -> str:
    """Return a time in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(time_us / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _short(probability: float) -> str:
    """Return a probability with two digits that count; what is not certain is never rounded up to 1."""
    text = f"{probability:.2g}"
    return text if text != "1" or probability >= 1.0 else f"{math.floor(probability * 1e6) / 1e6:g}"


def _visitor(story: Story) -> str:
    return f"{'known by a random key' if story.has_visitor else 'none'}, consent {story.consent.name}"


def _mix(story: Story) -> str:
    parts = [
        f"ramp {story.ramp:g}",
        f"floor {story.floor:g}",
        f"baseline {story.baseline_offer_id or 'none'}",
    ]
    if story.chosen is not None:
        parts.append(f"draw salt {story.draw_salt_id}")
    if story.draw_number is not None:
        parts.append(f"draw {story.draw_number:.6f}")
    return ", ".join(parts)


def _holdout(story: Story) -> str:
    if story.holdout_u is None:
        return "none declared, or a visitor without an id" if not story.is_held_out else "held out"
    side = "held out" if story.is_held_out else "treated"
    return f"{side}: number {story.holdout_u:.6f}, share {story.holdout_share:g}"


def _counters(story: Story) -> list[str]:
    caps = [f"  cap {read.cap_id}: {read.count} of {read.limit}" for read in story.cap_reads]
    budgets = [
        f"  budget {read.budget_id}: {read.spent:g} of {read.limit:g} spent" for read in story.budget_reads
    ]
    return ["counters", *caps, *budgets] if caps or budgets else ["counters   none read"]


def _candidate(story: Story, candidate: StoryCandidate) -> str:
    name = f"  {candidate.offer_id:<32}"
    if candidate.exclusion is not None:
        return f"{name} excluded: {candidate.exclusion.name}"
    if story.chosen is None:
        return f"{name} eligible"
    alone = (
        f" (model alone {candidate.model_probability:.6f})" if candidate.model_probability is not None else ""
    )
    how = f"  <- chosen: {how_chosen(story, candidate)}" if candidate.is_chosen else ""
    return f"{name} p = {candidate.probability:.6f}{alone}{how}"


def _contributions(story: Story) -> list[str]:
    found = story.contributions
    if found is None:
        return []
    head = (
        f"features   what each adds to the model's probability of this offer, {found.probability:.6f}, by "
        f"today's model {found.version}"
    )
    if found.version != story.model_version:
        head += " (not the one that decided)"
    lines = [f"  {one.feature:<32} {one.change:+.6f}" for one in found.largest]
    return [head, *(lines or ["  nothing that it was told changes it"])]


def _feedback(story: Story) -> list[str]:
    lines = []
    for told in story.feedback:
        delay_s = (told.item.receive_time_us - story.decide_time_us) / 1e6
        item = told.item
        back = f", takes back {show(item.retracts_feedback_id)}" if item.retracts_feedback_id else ""
        lines.append(f"  {item.kind} {item.value:g} after {delay_s:.3f} s{back}: {told.fate.name}")
    return ["feedback", *lines] if lines else ["feedback   none"]


def _reward(story: Story) -> str:
    closing = story.closing
    if closing is None:
        return "window still open"
    reward = "none" if closing.reward is None else f"{closing.reward:g}"
    final = "" if closing.moved_to is None else f"; finally {closing.moved_to:g}"
    return f"{reward} ({_FATES[closing.status]}), closed {describe_time(closing.close_time_us)}{final}"


def _outcome(story: Story) -> str:
    told_of = [told.item for told in story.feedback if told.fate is Fate.APPLIED]
    taken_back = {item.retracts_feedback_id for item in told_of}
    applied = [
        item.kind for item in told_of if not item.retracts_feedback_id and item.feedback_id not in taken_back
    ]
    heard = f"Feedback so far: {', '.join(applied)}" if applied else "No feedback so far"
    closing = story.closing
    if closing is None:
        return f"{heard}; the window is still open."
    heard = heard.replace(" so far", "")
    if closing.reward is None:
        return f"{heard}; {_FATES[closing.status]}."
    moved_to = closing.moved_to
    final = "" if moved_to is None else f" With what came late or was taken back: {moved_to:g}."
    return f"{heard}; reward {closing.reward:g}, {_FATES[closing.status]}.{final}"
