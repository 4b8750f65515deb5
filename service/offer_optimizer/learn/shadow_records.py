"""Which shadow policies there are, as the ledger has it: since when, beside whom, on how much of what closes.

Derived from catalog revisions and SHADOW records alone, so that live learning, a restart and a rebuild agree.
Pure: knows no table and no policy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from offer_optimizer.core.catalog import Catalog, Placement, ShadowChoice
from offer_optimizer.core.control import Audit, Promotion, ShadowPolicy
from offer_optimizer.learn.lineage import END, Start
from offer_optimizer.policy.epoch import epoch_of

_PERSON: Final = b"thin shadow"
_SCALE: Final = 2.0**-53
Key = tuple[str, str]
"""Placement and name."""


@dataclass
class Begun:
    """A shadow in force: the record it began with, and the shares since then, as (ledger time, share)."""

    position: int
    record: ShadowPolicy
    shares: list[tuple[int, float]] = field(default_factory=list)

    @property
    def start(self) -> Start:
        """All history of the placement, scored by the shadow's own reward: a promotion without an end."""
        record = self.record
        promotion = Promotion(
            record.placement_id,
            record.policy_epoch,
            record.description,
            *END,
            uses_final=False,
            audit=Audit("", "", 0),
        )
        return Start(self.position, promotion)

    @property
    def share(self) -> float:
        """The share in force now."""
        return self.shares[-1][1]

    @property
    def is_whole(self) -> bool:
        """Whether every lesson is learned, as a model that serves would."""
        return all(share == 1.0 for _, share in self.shares)

    def share_at(self, close_time_us: int) -> float:
        """Return the share of what closed at a time; before the first record it is that record's."""
        found = self.shares[0][1]
        for since_us, share in self.shares:
            if since_us < close_time_us:
                found = share
        return found


class ShadowRecords:
    """The shadows in force, by placement and name."""

    def __init__(self) -> None:
        self.in_force: dict[Key, Begun] = {}
        self.erased_position = 0
        """Of the last erasure that found something: what was learned before it can't be derived again."""
        self.count = 0
        """Grows with each change."""

    def apply(self, catalog: Catalog) -> None:
        """Note a catalog revision: what it does not name is over."""
        named = {
            (placement.id, shadow.name) for placement in catalog.placements for shadow in placement.shadows
        }
        for key in self.in_force.keys() - named:
            del self.in_force[key]
            self.count += 1

    def add(self, position: int, record: ShadowPolicy) -> None:
        """Note the next record."""
        self.count += 1
        known = self.in_force.get((record.placement_id, record.name))
        if known is not None and _is_same(known.record, record):
            known.shares.append((record.time_us, record.share))
            return
        begun = Begun(position, record, [(record.time_us, record.share)])
        self.in_force[record.placement_id, record.name] = begun

    def erased(self, position: int) -> None:
        """Note an erasure that changed decisions."""
        self.erased_position = position
        self.count += 1

    def missing(self, placement: Placement, time_us: int) -> list[ShadowPolicy]:
        """Return the records that a placement's shadows want at a ledger time and that are not there yet."""
        found = []
        for shadow in placement.shadows:
            wanted = _wanted(placement, shadow, time_us)
            known = self.in_force.get((placement.id, shadow.name))
            if known is None or not _is_same(known.record, wanted) or shadow.share < known.share:
                found.append(wanted)
        return found


def shadow_placement(placement: Placement, shadow: ShadowChoice) -> Placement:
    """Return a placement as it would be if a shadow served."""
    return placement.model_copy(update={"policy": shadow.policy})


def is_kept(position: int, share: float) -> bool:
    """Return whether the decision at a ledger position is among the `share` that a shadow is judged on.

    A lot of its own: that of thinned silence has been drawn already where a decision is a lesson at all.
    """
    digest = hashlib.blake2b(position.to_bytes(8, "big"), digest_size=8, person=_PERSON).digest()
    return (int.from_bytes(digest, "big") >> 11) * _SCALE < share


def _wanted(placement: Placement, shadow: ShadowChoice, time_us: int) -> ShadowPolicy:
    epoch = epoch_of(shadow_placement(placement, shadow))
    incumbent = epoch_of(placement).id
    return ShadowPolicy(
        placement.id, shadow.name, epoch.id, epoch.description, incumbent, shadow.share, time_us
    )


def _is_same(one: ShadowPolicy, other: ShadowPolicy) -> bool:
    return (one.policy_epoch, one.incumbent_epoch) == (other.policy_epoch, other.incumbent_epoch)
