"""The catalog: offers, placements, feedback kinds. One document, validated whole, immutable once built."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from offer_optimizer.core import limits
from offer_optimizer.core.features import Features


class OfferType(StrEnum):
    """What an offer is. NOTHING shows nothing and is free of every cap."""

    MESSAGE = "MESSAGE"
    COUPON = "COUPON"
    CONTENT = "CONTENT"
    SERVICE = "SERVICE"
    NOTHING = "NOTHING"


class OfferStatus(StrEnum):
    """Only LIVE offers are eligible."""

    DRAFT = "DRAFT"
    LIVE = "LIVE"
    PAUSED = "PAUSED"
    RETIRED = "RETIRED"


class Part(BaseModel):
    """What every part of the document has in common: strict, closed to unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)


Id = Annotated[
    str, Field(min_length=1, max_length=limits.NAME_BYTES, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]


class Kind(Part):
    """A custom kind of feedback."""

    id: Id
    unit: str = ""
    description: str = ""


class Offer(Part):
    """What can be shown. `attributes` is canonical; `payload` is text, or JSON of a mapping.

    `like` is the id of another offer of the catalog, which it is said to resemble; "" for none.
    """

    id: Id
    type: OfferType
    status: OfferStatus = OfferStatus.LIVE
    payload: str = ""
    description: str = ""
    group: str = ""
    eligible: str = ""
    start_time_us: int | None = None
    end_time_us: int | None = None
    attributes: Features = Features()
    like: str = ""


class Window(Part):
    """Over what a cap counts: a rolling length in seconds, a calendar period in a zone, or for ever."""

    rolling_s: Annotated[float, Field(gt=0.0, le=limits.WINDOW_MAX_S)] | None = None
    period: Literal["day", "week", "month"] | None = None
    zone: str = "UTC"


class Cap(Part):
    """How often a visitor may meet something. docs/design.md, section 12, says what counts.

    Limits the offers named, those of the groups named, or with `interruptions` every offer but NOTHING;
    counts and acts at `placements` only, all where that is empty. `count_on` is decide, shown or a kind of
    feedback.
    """

    id: Id
    limit: Annotated[int, Field(ge=1, le=limits.CAP_LIMIT)]
    offers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    interruptions: bool = False
    placements: tuple[str, ...] = ()
    count_on: str = "decide"
    window: Window = Window()


class Budget(Part):
    """How much all visitors may use together, in uses or in money (a use costs the attribute `cost`)."""

    id: Id
    limit: Annotated[float, Field(gt=0.0, le=limits.NUMBER_MAGNITUDE)]
    unit: Literal["uses", "money"] = "uses"
    offers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    period: Literal["total", "day"] = "total"
    zone: str = "UTC"
    pacing: Literal["none", "even"] = "none"
    count_on: str = "decide"
    hard: bool = False


class PolicyChoice(Part):
    """Which registered policy a placement runs, with its options."""

    name: str = "auto"
    options: dict[str, Any] = Field(default_factory=dict)


class Reward(Part):
    """How feedback becomes a number. `formula` is CEL; results are clipped to [min, max].

    `default` is the reward of silence: of a decision without feedback other than shown and not_shown.
    """

    formula: str = "count.click > 0.0 || count.conversion > 0.0 ? 1.0 : 0.0"
    min: float = 0.0
    max: float = 1.0
    default: float = 0.0


class ShadowGate(Part):
    """When a shadow is promoted without being asked about: its gain is above `margin`, for certain.

    Judged by the lower end of the confidence sequence of the difference to the incumbent, in rewards a
    decision, after `visitors` visitors at the soonest.
    """

    margin: float = 0.0
    visitors: Annotated[int, Field(ge=limits.GATE_VISITORS_LEAST)] = 1000


class ShadowChoice(Part):
    """A policy that learns beside the placement's own, is judged on its traffic and never served.

    `share` of closed decisions are judged and learned, weighted by its inverse; the learner lowers it while
    the shadow can't keep up. Without a `gate` only a command promotes it.
    """

    name: Id
    policy: PolicyChoice
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    gate: ShadowGate | None = None


class Placement(Part):
    """Where something is shown: its candidates, its baseline, its policy, its reward and its window.

    `trust_occur_time`: what decides the window is when feedback occurred, as its sender says; it counts if it
    arrives within `grace_s` behind the window. Feedback of a kind in `close_on` ends the window at once.
    `expected_reward` says by offer id what one is expected to earn until there are examples of it.
    """

    id: Id
    description: str = ""
    offers: tuple[str, ...]
    baseline: tuple[str, ...] = ()
    policy: PolicyChoice = PolicyChoice()
    ramp: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    floor: Annotated[float, Field(ge=0.0, le=1.0)] = 0.02
    window_s: Annotated[float, Field(ge=limits.WINDOW_MIN_S, le=limits.WINDOW_MAX_S)] = 1800.0
    reward: Reward = Reward()
    consent_default: Literal["FULL", "SERVE_ONLY", "NONE"] = "FULL"
    eligible: str = ""
    holdout: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    sticky_for_s: Annotated[float, Field(ge=0.0, le=limits.REPEAT_S)] = 0.0
    trust_occur_time: bool = False
    grace_s: Annotated[float, Field(ge=0.0, le=limits.GRACE_MAX_S)] = 0.0
    close_on: tuple[str, ...] = ()
    shadows: tuple[ShadowChoice, ...] = ()
    # Left out where there is none: so catalogs are stored as they were.
    expected_reward: dict[str, float] = Field(default_factory=dict, exclude_if=lambda given: not given)


class Catalog(Part):
    """A whole catalog. Offers keep the order of the document: their index is what decisions store."""

    version: Literal[1] = 1
    kinds: tuple[Kind, ...] = ()
    offers: tuple[Offer, ...]
    placements: tuple[Placement, ...]
    caps: tuple[Cap, ...] = ()
    budgets: tuple[Budget, ...] = ()
    holdout: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0

    @cached_property
    def offer_index(self) -> dict[str, int]:
        """Map offer id to its index in `offers`."""
        return {offer.id: index for index, offer in enumerate(self.offers)}

    @cached_property
    def placement_by_id(self) -> dict[str, Placement]:
        """Map placement id to placement."""
        return {placement.id: placement for placement in self.placements}
