"""What the RPC edge may ask of learning. Implemented by learn.desk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from offer_optimizer.core.decision import ModelVersion


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a change, and why, in their own words."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model that can be gone back to; `publish_time_us` is None for the one that its epoch began with."""

    version: ModelVersion
    learned_count: int
    publish_time_us: int | None
    is_current: bool
    is_promoted: bool


@dataclass(frozen=True, slots=True)
class Started:
    """An epoch whose model is being trained, and the versions that promotions had made of it before."""

    policy_epoch: bytes
    promoted_before: tuple[ModelVersion, ...]


class LearningDesk(Protocol):
    """Takes what steers learning. Durable when it returns; the learner acts within its next round.

    An empty placement means all. Every call may raise UnknownPlacement and StorageUnavailable.
    """

    def set_learning(self, placement_id: str, asker: Asker, *, frozen: bool) -> None:
        """Stop or resume learning."""
        ...

    def roll_back(self, placement_id: str, version: str, asker: Asker) -> None:
        """Go back to a kept model, `epoch:position`. Raises InvalidInput, NotFound, DamagedFile."""
        ...

    def quarantine(
        self, placement_id: str, start_us: int, end_us: int, offer_id: str, source: str, asker: Asker
    ) -> str:
        """Leave decisions out of learning, as core.control.Quarantine says. Raises InvalidInput.

        Returns what of it can't be left out any more, for people; empty where all can.
        """
        ...

    def start_epoch(self, placement_id: str, document: str, asker: Asker, *, uses_final: bool) -> Started:
        """Have the model trained that a placement will have under a catalog document, from its history.

        Raises InvalidCatalog, InvalidInput.
        """
        ...

    def accept_clock(self, asker: Asker) -> None:
        """Take the wall clock as it is, after a jump."""
        ...

    def kept(self, placement_id: str, policy_epoch: bytes | None) -> tuple[KeptModel, ...]:
        """Return the kept models of an epoch, of the one in force if None is given; newest first."""
        ...
