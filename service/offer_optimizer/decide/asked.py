"""One request with everything looked up that neither counters nor chance decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.decision import Consent
from offer_optimizer.core.errors import UnknownPlacement
from offer_optimizer.core.features import EMPTY, Features, show
from offer_optimizer.decide.counters import NO_COUNTERS, Counters
from offer_optimizer.decide.funnel import Funnel, FunnelPlan, Question
from offer_optimizer.decide.prepared import PreparedCatalog, PreparedPlacement
from offer_optimizer.decide.repeats import request_digests
from offer_optimizer.decide.requests import DecideInput


@checked_dataclass(frozen=True, slots=True)
class Asked:
    """A request under the catalog in force. `digest` is the visitor's, empty without id or consent.

    `may_repeat` says whether an earlier decision could be the answer, `needs_cache` whether the hot cache has
    a part in it: a merged visitor keeps the arm of the known one.
    """

    request: DecideInput
    prepared: PreparedCatalog
    placement: PreparedPlacement
    plan: FunnelPlan
    consent: Consent
    context: Features
    digest: bytes
    digests: tuple[bytes, bytes]
    sticky_us: int
    may_repeat: bool
    needs_cache: bool
    only_counts: bool

    def known_as(self, digest: bytes) -> Asked:
        """Return the same for the visitor that this one was merged into."""
        return self if digest == self.digest else replace(self, digest=digest)

    def funnel(self, counters: Counters | None, now_us: int) -> Funnel:
        """Derive the funnel with these counters."""
        own, left_out = self.placement, self.request.exclude_offer_ids
        if own.funnel is not None and self.plan is own.plan and not left_out:
            return own.funnel
        question = Question(now_us, self.context, left_out, counters, has_visitor=bool(self.digest))
        return self.plan.derive(question)

    def without_counters(self) -> Counters | None:
        """Return what stands in for counters that could not be read: nothing is missing where none limits."""
        return None if self.plan.is_limited else NO_COUNTERS


def look_up(request: DecideInput, prepared: PreparedCatalog, digest_of: Callable[[str], bytes]) -> Asked:
    """Look a request up. Raises UnknownPlacement."""
    placement = prepared.placements.get(request.placement_id)
    if placement is None:
        raise UnknownPlacement("placement", f"{show(request.placement_id)} is not in the catalog")
    consent = placement.consent_default if request.consent is Consent.UNSPECIFIED else request.consent
    hides = consent is Consent.NONE
    digest = b"" if hides or not request.visitor_id else digest_of(request.visitor_id)
    plan = placement.plan
    if request.candidates:
        candidates = prepared.maker.inline(placement.placement, request.candidates)
        own = placement.placement
        plan = FunnelPlan(candidates, prepared.maker.rule(own.eligible), prepared.limits, own.baseline)
    # Without consent no trace of the context is kept, not even in the digest of the body.
    told = replace(request, context=EMPTY) if hides else request
    digests = request_digests(told, digest) if request.request_id else (b"", b"")
    may_repeat = bool(request.request_id or (placement.sticky_us and digest))
    return Asked(
        request=request,
        prepared=prepared,
        placement=placement,
        plan=plan,
        consent=consent,
        context=EMPTY if hides else request.context,
        digest=digest,
        digests=digests,
        sticky_us=placement.sticky_us,
        may_repeat=may_repeat,
        needs_cache=plan.is_limited or may_repeat or bool(digest and placement.holdout.share),
        only_counts=bool(digest and plan.caps)
        and not (may_repeat or request.deferred or prepared.limits.hear_feedback),
    )
