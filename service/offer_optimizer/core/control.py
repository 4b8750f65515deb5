"""What people and the learner decide about learning: the records that steer it, kept in the ledger.

Everything a model depends on beside decisions and feedback is one of these, so that a rebuild sees it too.
Times are microseconds since the epoch; an empty `placement_id` means all placements.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Audit:
    """Who asked for a change, why, and when."""

    actor: str
    reason: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Learning:
    """Learning stops (`frozen`) or goes on: what closes while it is frozen is never learned."""

    placement_id: str
    frozen: bool
    audit: Audit


@dataclass(frozen=True, slots=True)
class Rollback:
    """The model of an epoch goes back to the version (`policy_epoch`, `model_position`).

    That version had learned `learned_count` examples, up to the close cursor. What closed behind it up to
    `ledger_time_us`, when the rollback took effect, is not learned again.
    """

    placement_id: str
    policy_epoch: bytes
    model_position: int
    close_time_us: int
    close_position: int
    learned_count: int
    audit: Audit
    ledger_time_us: int = 0
    """Set by the learner, who knows it."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What is not to be learned: decisions made in [start_us, end_us), of one offer if `offer_id` is given.

    With a `source`: instead the decisions with feedback that this source sent, received in the interval.
    """

    placement_id: str
    start_us: int
    end_us: int
    offer_id: str
    source: str
    audit: Audit


@dataclass(frozen=True, slots=True)
class Promotion:
    """The model of an epoch starts from the placement's history up to a close cursor, scored by its reward.

    `uses_final` says whether late and retracted feedback counts.
    """

    placement_id: str
    policy_epoch: bytes
    description: str
    close_time_us: int
    close_position: int
    uses_final: bool
    audit: Audit


@dataclass(frozen=True, slots=True)
class ClockAccepted:
    """The wall clock had jumped and is taken as it is: windows close by it again."""

    audit: Audit


@dataclass(frozen=True, slots=True)
class Thinning:
    """What closes in silence is learned with this probability, in (0, 1], weighted by its inverse."""

    placement_id: str
    probability: float


@dataclass(frozen=True, slots=True)
class Retention:
    """Records up to `position` were moved out of the ledger; a base snapshot stands for them."""

    position: int
    base_sha256: bytes


@dataclass(frozen=True, slots=True)
class Erasure:
    """A visitor was erased: `decision_count` decisions lost context and key. Nothing here tells who.

    Models go on from the base snapshot of `base_position` as it was rewritten then; `base_sha256` is empty
    where nothing was found, and the base is what it was, and where others went in the same transaction: the
    last of their records names the base that is without all of them.
    """

    base_position: int
    base_sha256: bytes
    decision_count: int
    audit: Audit


@dataclass(frozen=True, slots=True)
class ShadowPolicy:
    """A policy is judged beside a placement's own from ledger time `time_us` on, on what closes behind it.

    Judged are decisions of `incumbent_epoch`, learned are all, and of both `share` (in (0, 1]). A second
    record of the same epochs changes the share alone; another epoch on either side begins anew.
    """

    placement_id: str
    name: str
    policy_epoch: bytes
    description: str
    incumbent_epoch: bytes
    share: float
    time_us: int


Control = Learning | Rollback | Quarantine | Promotion | ClockAccepted
"""What people ask for, through a control segment."""
Steering = Control | Thinning | Retention | Erasure | ShadowPolicy
"""All that steers learning, as the ledger keeps it."""
