"""A decision as the service, the ledger and the evaluators see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.consent import Consent as Consent  # noqa: PLC0414  (a part of every decision)
from offer_optimizer.core.features import Features

Pmf32 = NDArray[np.float32]
Pmf64 = NDArray[np.float64]


class Reason(IntEnum):
    """Why a decision is what it is. Numbers are stored: never change one."""

    MODEL = 1
    BASELINE = 2
    HOLDOUT = 3
    NO_ELIGIBLE_OFFER = 4
    MODEL_UNAVAILABLE = 5
    NO_CONSENT = 6
    UNRECORDED = 7


class ExclusionReason(IntEnum):
    """Why a candidate was not eligible. Numbers are stored: never change one."""

    NOT_LIVE = 1
    NOT_STARTED = 2
    ENDED = 3
    CALLER_EXCLUDED = 4
    PLACEMENT_RULE = 5
    RULE = 6
    RULE_ERROR = 7
    COUNTERS_UNREADY = 8
    CAPPED = 9
    BUDGET_SPENT = 10
    BUDGET_PACED = 11


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Which model was asked: the policy epoch (16 bytes) and the ledger position it had reached."""

    epoch: bytes
    position: int

    def __str__(self) -> str:
        return f"{self.epoch.hex()}:{self.position}"


@checked_dataclass(frozen=True, slots=True)
class SlotChoice:
    """One filled position: the served pmf over the eligible (float32, as stored) and what was drawn."""

    pmf: Pmf32
    chosen: int
    propensity: float


@dataclass(frozen=True, slots=True)
class InlineCandidate:
    """An offer given with the request; candidates index past the catalog's offers into these."""

    offer_id: str
    attributes: Features


@checked_dataclass(frozen=True, slots=True)
class Decision:
    """One choice made for one visitor at one placement.

    `candidates` are indices into the offers of the catalog revision; `excluded` are positions in
    `candidates`, ascending; the eligible are what remains, in order. `slots` is empty where nothing
    was eligible. `baseline` is the position of the baseline offer among the eligible, or None.
    `cap_counts` and `budget_spent` hold (index in the catalog, value read) of what limits the candidates;
    `holdout_u` is the visitor's number where a holdout is declared; the digests are of request_id and body.
    `imported`: somebody else made it, and it was taken over from their log. Its draw can't be derived again,
    its pmf may be known at the chosen offer alone, and no cap or budget ever counts it.
    `erased`: its visitor was erased, and with them the context (core.redaction).
    """

    decision_id: bytes
    decide_time_us: int
    catalog_revision: int
    placement_id: str
    candidates: tuple[int, ...]
    excluded: tuple[int, ...]
    exclusion_reasons: tuple[int, ...]
    slots: tuple[SlotChoice, ...]
    context: Features
    model_version: ModelVersion | None
    reason: Reason
    deferred: bool
    holdout: bool
    ramp: float
    floor: float
    baseline: int | None
    draw_salt_id: int
    consent: Consent
    model_pmf: Pmf32 | None = None
    holdout_u: float | None = None
    cap_counts: tuple[tuple[int, int], ...] = ()
    budget_spent: tuple[tuple[int, float], ...] = ()
    inline: tuple[InlineCandidate, ...] = ()
    excluded_by_caller: tuple[str, ...] = ()
    request_digest: bytes = b""
    body_digest: bytes = b""
    imported: bool = False
    erased: bool = False

    def eligible(self) -> tuple[int, ...]:
        """Return the catalog indices of the eligible offers, in order."""
        if not self.excluded:
            return self.candidates
        dropped = set(self.excluded)
        return tuple(offer for position, offer in enumerate(self.candidates) if position not in dropped)

    def is_learnable(self) -> bool:
        """Return whether learning and estimators may use it: drawn by the policy, with full consent."""
        return self.reason is Reason.MODEL and self.consent is Consent.FULL and bool(self.slots)
