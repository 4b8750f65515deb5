"""Logged decisions as hypothesis draws them, or as a test wants them, and logs of them in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from offer_optimizer.core.catalog import Budget, Cap, Catalog, Offer, OfferType, Placement
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    ExclusionReason,
    InlineCandidate,
    ModelVersion,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.core.history import History
from offer_optimizer.core.outcome import FatedFeedback, LoggedDecision, Outcome
from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.formats.parquet_files import Source
from offer_optimizer.formats.parquet_write import ParquetLogWriter

HOME: Final = "home"
OFFERS: Final = ("msg", "save5", "nothing")
CATALOG: Final = Catalog(
    offers=tuple(
        Offer(id=offer_id, type=OfferType.MESSAGE, attributes=Features(numbers=(("cost", float(index)),)))
        for index, offer_id in enumerate(OFFERS)
    ),
    placements=(Placement(id=HOME, offers=OFFERS), Placement(id="other", offers=OFFERS)),
    caps=(Cap(id="few", limit=2, interruptions=True),),
    budgets=(Budget(id="pot", limit=10.0),),
)
HISTORY: Final = History(catalogs={1: CatalogRevision(1, "text", 5, CATALOG)})
START_US: Final = 1_780_000_000_000_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.filter(bool)
numbers = st.floats(-1e9, 1e9)
times = st.integers(0, 2**53)
digests = st.one_of(st.just(b""), st.binary(min_size=16, max_size=16))


@st.composite
def features(draw: st.DrawFn) -> Features:
    """Draw features of all three types, no name in two of them."""
    found = sorted(draw(st.lists(names, unique=True, max_size=6)))
    tags = [(name, tuple(sorted(draw(st.sets(texts, max_size=3))))) for name in found[2::3]]
    return Features(
        tuple((name, draw(texts)) for name in found[0::3]),
        tuple((name, draw(numbers)) for name in found[1::3]),
        tuple(tags),
    )


def _pmf(draw: st.DrawFn, count: int) -> Any:  # noqa: ANN401  (an array)
    values = draw(st.lists(st.floats(0.0, 1.0, width=32), min_size=count, max_size=count))
    return np.array(values, dtype=np.float32)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Draw a decision of the small catalog with every field that can be set."""
    inline = tuple(InlineCandidate(draw(names), draw(features())) for _ in range(draw(st.integers(0, 2))))
    pool = len(OFFERS) + len(inline)
    candidates = tuple(draw(st.lists(st.integers(0, pool - 1), unique=True, max_size=pool)))
    excluded = tuple(n for n in range(len(candidates)) if draw(st.booleans()))
    eligible = len(candidates) - len(excluded)
    slot_count = draw(st.integers(0, 2)) if eligible else 0
    positions = st.integers(0, eligible - 1)
    return Decision(
        decision_id=draw(st.binary(min_size=16, max_size=16)),
        decide_time_us=draw(times),
        catalog_revision=1,
        placement_id=HOME,
        candidates=candidates,
        excluded=excluded,
        exclusion_reasons=tuple(int(draw(st.sampled_from(ExclusionReason))) for _ in excluded),
        slots=tuple(
            SlotChoice(_pmf(draw, eligible), draw(positions), draw(st.floats(0, 1)))
            for _ in range(slot_count)
        ),
        context=draw(features()),
        model_version=draw(st.none() | st.builds(ModelVersion, st.binary(min_size=16, max_size=16), times)),
        reason=draw(st.sampled_from(Reason)),
        deferred=draw(st.booleans()),
        holdout=draw(st.booleans()),
        ramp=draw(st.floats(0, 1)),
        floor=draw(st.floats(0, 1)),
        baseline=draw(st.none() | positions) if eligible else None,
        draw_salt_id=draw(st.integers(0, 2**31)),
        consent=draw(st.sampled_from(Consent)),
        model_pmf=_pmf(draw, eligible) if eligible and draw(st.booleans()) else None,
        holdout_u=draw(st.none() | st.floats(0, 1)),
        cap_counts=draw(st.sampled_from([(), ((0, 3),)])),
        budget_spent=draw(st.sampled_from([(), ((0, 1.5),)])),
        inline=inline,
        excluded_by_caller=tuple(draw(st.lists(names, max_size=2))),
        request_digest=draw(digests),
        body_digest=draw(digests),
        imported=draw(st.booleans()),
        erased=draw(st.booleans()),
    )


@st.composite
def logged_decisions(draw: st.DrawFn) -> LoggedDecision:
    """Draw a decision with an outcome."""
    decision = draw(decisions())
    rewards = st.none() | numbers
    outcome = Outcome(
        status=draw(st.sampled_from(["OPEN", "LEARNED", "NOT_LEARNABLE"])),
        close_time_us=draw(st.none() | times),
        reward_learned=draw(rewards),
        reward_final=draw(rewards),
        is_clipped=draw(st.booleans()),
        weight=draw(st.floats(0, 100)),
        feedback=tuple(draw(fated(decision)) for _ in range(draw(st.integers(0, 2)))),
    )
    return LoggedDecision(draw(times), draw(st.none() | times), decision, outcome)


@st.composite
def fated(draw: st.DrawFn, decision: Decision) -> FatedFeedback:
    """Draw an item of feedback on a decision, by its id or by visitor and placement."""
    by_visitor = draw(st.booleans())
    item = Feedback(
        feedback_id=draw(names),
        decision_id=b"" if by_visitor else decision.decision_id,
        placement_id=decision.placement_id if by_visitor else "",
        slot=draw(st.integers(0, 3)),
        kind=draw(names),
        value=draw(numbers),
        receive_time_us=draw(times),
        occur_time_us=draw(st.none() | times),
        retracts_feedback_id=draw(texts),
        source=draw(texts),
    )
    return FatedFeedback(item, draw(st.sampled_from(Fate)))


def logged(number: int, *, outcome: Outcome | None = None, **changes: Any) -> LoggedDecision:  # noqa: ANN401
    """Return row `number`: a decision over all offers by visitor `number` // 2, a reward of `number`."""
    pmf = np.array([0.5, 0.25, 0.25], dtype=np.float32)
    chosen = number % 3
    parts: dict[str, Any] = {
        "decision_id": number.to_bytes(16, "big"),
        "decide_time_us": START_US + number,
        "catalog_revision": 1,
        "placement_id": HOME,
        "candidates": (0, 1, 2),
        "excluded": (),
        "exclusion_reasons": (),
        "slots": (SlotChoice(pmf, chosen, float(pmf[chosen])),),
        "context": Features(categories=(("device", "mobile"),), numbers=(("age", float(number)),)),
        "model_version": ModelVersion(bytes(16), 7),
        "reason": Reason.MODEL,
        "deferred": False,
        "holdout": False,
        "ramp": 1.0,
        "floor": 0.02,
        "baseline": 0,
        "draw_salt_id": 1,
        "consent": Consent.FULL,
    }
    decision = Decision(**(parts | changes))
    closed = Outcome("LEARNED", START_US + number + 10, float(number), float(number))
    return LoggedDecision(number + 1, 100 + number // 2, decision, closed if outcome is None else outcome)


def written(rows: Sequence[LoggedDecision], placement_id: str = HOME) -> bytes:
    """Return a file of rows."""
    sink = io.BytesIO()
    writer = ParquetLogWriter(sink, placement_id, HISTORY.catalogs)
    for row in rows:
        writer.add(row)
    writer.close()
    return sink.getvalue()


def read(*files: bytes, placement_id: str | None = None, history: History | None = HISTORY) -> ParquetLog:
    """Return the log in some files."""
    sources = [Source(f"file {n}", lambda data=data: io.BytesIO(data)) for n, data in enumerate(files)]  # type: ignore[misc]
    return ParquetLog("a test", sources, placement_id, history)
