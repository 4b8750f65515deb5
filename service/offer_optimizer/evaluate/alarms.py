"""The alarms of the learning loop: what each is called, what probably causes it, and what to do about it.

Names are stable: callers and scripts switch on them. docs/operations.md has this table word for word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Advice:
    """What is seen when an alarm sounds, why it probably does, and what helps."""

    sign: str
    likely_cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that looks wrong: its name, the placement (empty: all of them), and what was seen."""

    name: str
    placement_id: str
    message: str

    @property
    def advice(self) -> Advice:
        """What probably causes it, and what to do."""
        return ADVICE[self.name]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "name": self.name,
            "placement": self.placement_id,
            "message": self.message,
            "likely_cause": self.advice.likely_cause,
            "remedy": self.advice.remedy,
        }


ADVICE: Final[Mapping[str, Advice]] = {
    "file_damaged": Advice(
        "A file of the data directory is not what was written to it, and the loop stops there.",
        "The disk or the memory changed it, or somebody did.",
        "`offer-optimizer doctor --data DIR` names every damaged file and what to do about it. Deciders go "
        "on with what they have; nothing that was recorded is dropped until somebody says so.",
    ),
    "storage_refused": Advice(
        "In the last minute the disk did not take decisions, feedback or a sync, and has not since; or it "
        "does not give the ledger.",
        "The disk is full, read-only, stalled or broken.",
        "Free space, or look at the disk (`dmesg`). Decisions are answered from the baseline meanwhile and "
        "feedback is refused, so senders keep it; all goes on by itself once the disk does.",
    ),
    "disk_low": Advice(
        "Less than 256 MiB are free where the data directory lies.",
        "The ledger grows by what is decided; the archive, snapshots or other programs share the disk.",
        "Free space, or move old days out of the ledger: `serve --keep-days N`. A full disk refuses feedback "
        "first, then learning stops.",
    ),
    "learner_lag": Advice(
        "The oldest record that waits for the learner is older than 60 s.",
        "The learner is down or restarting again and again, its disk is full or slow, or more comes in than "
        "it can take.",
        "Look for `learner_round_failed` and restarts in the log; free disk space; then decisions per second "
        "against what one learner takes.",
    ),
    "ledger_time_stopped": Advice(
        "Windows that should have closed more than 60 s ago are open although nothing waits to be "
        "drained, or ledger time is more than 60 s ahead of the clock.",
        "The machine's clock jumped by more than a minute, so that attribution waits; or the "
        "learner is down.",
        "Look for `clock_jumped` in the log. Put the clock right, or accept the new time: "
        "`offer-optimizer clock accept`. A restart accepts nothing.",
    ),
    "model_stale": Advice(
        "Examples closed more than 10 minutes ago are not in the model that is served.",
        "The learner can't publish: the model is not finite, does not load elsewhere, or the disk is full.",
        "Look for `model_not_published` and `snapshot_unusable` in the log; until then the last good model "
        "serves.",
    ),
    "learning_frozen": Advice(
        "Learning has been frozen for more than 24 hours.",
        "Somebody froze it and did not resume; what closes meanwhile is never learned.",
        "Resume learning, or take the placement's policy down to its baseline on purpose.",
    ),
    "thinning_active": Advice(
        "Silent decisions are learned with a probability below 1.",
        "More decisions close than the learner can take, so silence is sampled and weighted: unbiased, but "
        "noisier.",
        "Nothing, if it passes. If it stays: fewer placements that learn, or a faster machine.",
    ),
    "no_traffic": Advice(
        "A full hour without any decision, where the same hour of every earlier day had at least 20.",
        "The pages no longer call this service, or the placement was renamed or removed from them.",
        "Ask who released what before the last decision; check the client's errors and its target.",
    ),
    "model_unavailable": Advice(
        "More than 1 in 100 decisions of the last hours were the baseline because no model could be used.",
        "The snapshot of the model is damaged or of another release.",
        "Look for `snapshot_refused` in the log of the deciders; `rebuild --check` says whether it can be "
        "derived again.",
    ),
    "counters_unready": Advice(
        "More than 1 in 100 decisions of the last hours left out an offer because counters could "
        "not be read.",
        "The hot cache is being filled again and again, or its lock is held by a process that hangs.",
        "Look for restarts and `cache` in the log; free memory for the cache; check that its "
        "folder is local.",
    ),
    "unknown_feedback": Advice(
        "More than 5 in 100 items of feedback name a decision that was never made.",
        "Callers send ids of another environment, of decisions that were answered without an id, "
        "or cut them.",
        "Compare the ids that are sent with those that Decide returned; send by visitor and placement where "
        "ids are not kept.",
    ),
    "late_feedback": Advice(
        "More than 1 in 10 items of feedback come after their window has closed.",
        "The window is shorter than what it should measure, or senders queue feedback for long.",
        "Lengthen `window` of the placement, or send sooner. Late items count in the final reward, not in "
        "what was learned.",
    ),
    "unattributed_feedback": Advice(
        "More than half of the feedback finds no decision of its visitor.",
        "The visitor ids of feedback are not those that Decide was given, or all events of the "
        "site are sent.",
        "Use one pseudonymous id in both calls; call MergeVisitor at login; send only what may belong to a "
        "decision.",
    ),
    "conflicting_feedback": Advice(
        "More than 1 in 100 items repeat a feedback_id with another content.",
        "Two senders make the same ids, or a sender counts its ids from the start again.",
        "Make feedback_id unique within its decision, for example from the event's own id.",
    ),
    "duplicate_feedback": Advice(
        "More than 1 in 5 items were already there.",
        "Two senders send the same events, or one retries calls that had succeeded.",
        "Nothing is counted twice. Find the second sender; raise its timeout if it retries.",
    ),
    "invalid_feedback": Advice(
        "More than 1 in 100 items have a kind that the catalog does not declare, or a slot that "
        "there is not.",
        "A kind was renamed or never declared; or a sender repeats itself: one decision takes 10,000 items.",
        "Declare the kind under `kinds`, or correct the sender.",
    ),
    "join_rate_fell": Advice(
        "The share of feedback that finds its decision fell by more than a tenth.",
        "A release changed how ids are kept or sent, or a window was shortened.",
        "See which of unknown, late and unattributed grew, and what was released then.",
    ),
    "rewards_missing": Advice(
        "Fewer decisions were answered by feedback, at the same age, than on earlier days: less "
        "than 7 in 10.",
        "A kind of feedback is no longer sent, or the site itself changed.",
        "Compare the kinds that arrive with earlier days; check the sender's errors. Freeze "
        "learning until it is back: silence teaches that nothing works.",
    ),
    "rewards_late": Advice(
        "Feedback comes later after its decision than on earlier days.",
        "A queue, a batch job or a tracking script between the site and this service is behind.",
        "Look at the sender's backlog. If it is to stay so, lengthen `window`.",
    ),
    "only_silence": Advice(
        "Windows close, and not one decision was answered by feedback that can earn a reward.",
        "Feedback is not sent at all, is sent elsewhere, or by ids that do not join.",
        "Send one item by hand and look at it with `offer-optimizer explain`; check the feedback alarms.",
    ),
    "reward_clipped": Advice(
        "More than 1 in 20 rewards lie outside of the declared range.",
        "`min` and `max` of the reward are too narrow, or values come in another unit.",
        "Widen the range in the catalog (a new policy epoch begins), or correct the values.",
    ),
    "reward_failed": Advice(
        "More than 1 in 100 closed decisions have no reward because the formula failed.",
        "The formula reads an attribute that an offer does not have, or divides by nothing.",
        "Guard it with `has(offer.NAME)`, or give the offers the attribute.",
    ),
    "offer_not_activated": Advice(
        "Feedback `shown` hardly ever comes for one offer, while it does for the others.",
        "The page fails to render this offer, or its tracking is broken.",
        "Open the page with this offer; correct its template or tracking. Until then: "
        "`offer-optimizer offer disable`.",
    ),
    "exploration_collapsed": Advice(
        "The model's decisions leave less than 1 in 200 to other offers than the likeliest.",
        "`floor` is nearly 0: nothing new is learned, and no other policy can be judged on this log.",
        "Raise `floor` of the placement.",
    ),
    "exploration_uniform": Advice(
        "The model spreads its choices as evenly as chance although it has learned from thousands "
        "of examples.",
        "Rewards don't depend on the offer as far as the model can see: all earn the same, or the reward is "
        "constant.",
        "Look at the offers in `offer-optimizer report`; check the reward formula and the "
        "context's features.",
    ),
    "draws_off": Advice(
        "Other offers than the likeliest were chosen more often, or less, than the logged pmfs say.",
        "Decisions are not drawn from what is logged: logged propensities are wrong.",
        "Run `offer-optimizer verify`; do not trust reports on this time; report it as a fault.",
    ),
}
"""Every alarm there is."""
