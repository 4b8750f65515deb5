"""What a decision and an item of feedback do to the counters: the one text for deciders and for the fold.

Deciders bring things as they happen, the fold brings them in ledger order, the learner brings the cache what
it may have missed. They agree because nothing here depends on the order or the number of times: an item that
names its decision may come again, one addressed by visitor is noted, a decision is brought once.

What depends on time depends on stamps alone. By visitor and placement means the newest decision of that
visitor there that was made when the item was received, so that decisions drained before it, but made after
it, change nothing. What may still be seen in either order, and so differ until the cache is filled again: two
calls for one visitor at the same moment; items by visitor on either side of a merge that the learner has not
drained; one that was refused the lock and sent again after another decision was made for its visitor there.
"""

from __future__ import annotations

from collections.abc import Callable

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.counting import NOTHING_COUNTED, Limits
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.store.hot_cache import REPEAT_US, CacheTransaction, Recent

LimitsOf = Callable[[int], Limits | None]
"""The limits of a catalog revision; None where it is unknown."""


def is_counted(decision: Decision, catalog: Catalog) -> bool:
    """Return whether a decision has a part in the cache: it read counters, or it may be asked for again.

    One that read no counters was offered nothing that is limited, so it counts nothing.
    """
    return bool(decision.cap_counts or decision.budget_spent) or is_repeatable(decision, catalog)


def is_repeatable(decision: Decision, catalog: Catalog) -> bool:
    """Return whether its record has to be kept, because a repeat may get it: by request_id, or sticky."""
    placement = catalog.placement_by_id.get(decision.placement_id)
    return bool(decision.request_digest) or (placement is not None and placement.sticky_for_s > 0.0)


def recent_of(decision: Decision, catalog: Catalog, digest: bytes, record: bytes) -> Recent:
    """Return what is remembered of a decision; `record` is kept only where a repeat may ask for it."""
    return Recent(
        decision_id=decision.decision_id,
        placement_id=decision.placement_id,
        offer_id=chosen_offer_id(decision, catalog),
        visitor_digest=digest,
        time_us=decision.decide_time_us,
        deferred=decision.deferred,
        catalog_revision=decision.catalog_revision,
        record=record if is_repeatable(decision, catalog) else b"",
    )


def chosen_offer_id(decision: Decision, catalog: Catalog) -> str:
    """Return the offer in the first slot; empty when nothing was chosen."""
    if not decision.slots:
        return ""
    index = decision.eligible()[decision.slots[0].chosen]
    own = len(catalog.offers)
    return catalog.offers[index].id if index < own else decision.inline[index - own].offer_id


def count_decision(
    transaction: CacheTransaction,
    limits: Limits,
    recent: Recent,
    digests: tuple[bytes, bytes],
    *,
    may_repeat: bool,
) -> bool:
    """Count a decision, unless it is remembered already; return whether it was not.

    `digests` are of request_id and body; `may_repeat` is what `is_repeatable` says.
    """
    if transaction.recent(recent.decision_id) is not None:
        return False
    count_new_decision(transaction, limits, recent, digests, may_repeat=may_repeat)
    return True


def count_new_decision(
    transaction: CacheTransaction,
    limits: Limits,
    recent: Recent,
    digests: tuple[bytes, bytes],
    *,
    may_repeat: bool,
) -> None:
    """Count a decision that nobody can have counted before: who makes it does.

    It is remembered where something may still come of it: a repeat, or feedback that counts. Of any other
    only events that stay are known, which may be set again, so nothing is missed; and under a revision whose
    caps count decisions alone, feedback by visitor finds an older decision of another revision, or none.
    """
    if recent.offer_id:
        counting = limits.of_decision(
            recent.offer_id, recent.placement_id, recent.time_us, deferred=recent.deferred
        )
        if counting.events or counting.charges:
            transaction.apply(recent.decision_id, recent.visitor_digest, counting, recent.time_us)
    if may_repeat or recent.deferred or limits.hear_feedback:
        transaction.remember(recent, *digests)


def count_feedback(
    transaction: CacheTransaction,
    limits_of: LimitsOf,
    feedback: Feedback,
    digest: bytes,
    *,
    in_order: bool = False,
) -> bool:
    """Count an item for the decision it belongs to; return whether it has one that is remembered.

    `digest` is the visitor's where the item is addressed by visitor. Counted are items about the first slot,
    received within 30 minutes of the decision, by the limits of the decision's own catalog revision. A cache
    that isn't whole may lack a visitor's newest decision: then only who brings everything `in_order` may say
    which one is meant, and the item is left to them. What takes something back counts nothing, and gives
    nothing back: who has bought has bought.
    """
    if feedback.retracts_feedback_id:
        return False
    time_us = feedback.receive_time_us
    if feedback.decision_id:
        recent = transaction.recent(feedback.decision_id)
    elif digest and (in_order or transaction.is_whole):
        recent = transaction.newest_decision(feedback.placement_id, digest, time_us)
    else:
        return False
    if recent is None or time_us - recent.time_us >= REPEAT_US:
        return False
    if not feedback.decision_id and transaction.saw_feedback(
        digest, feedback.placement_id, feedback.feedback_id, time_us
    ):
        return True
    limits = limits_of(recent.catalog_revision)
    if limits is None or not recent.offer_id or feedback.slot:
        return True
    counting = limits.of_feedback(
        recent.offer_id,
        recent.placement_id,
        feedback.kind,
        time_us,
        deferred=recent.deferred,
        decide_time_us=recent.time_us,
    )
    if counting != NOTHING_COUNTED:
        transaction.apply(recent.decision_id, recent.visitor_digest, counting, time_us)
    return True
