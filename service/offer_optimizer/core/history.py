"""What rows of our own log refer to: catalog revisions, policy epochs, salts, merges, what steered learning.

A log that leaves the ledger takes its history along, so that it stands alone. Knows no storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.control import Steering


@dataclass(frozen=True, slots=True)
class KnownEpoch:
    """What a policy epoch (16 bytes) stands for; `description` is canonical JSON."""

    policy_epoch: bytes
    placement_id: str
    catalog_revision: int
    description: str


@dataclass(frozen=True, slots=True)
class KnownSalt:
    """A salt of a keyed hash; `purpose` is `draw` or `holdout`."""

    salt_id: int
    purpose: str
    salt: bytes


@dataclass(frozen=True, slots=True)
class History:
    """Everything by number or in ledger order; `steering` has the ledger position of each record.

    `merged` says who a visitor is now whose records carry an older key.
    """

    catalogs: Mapping[int, CatalogRevision] = field(default_factory=dict)
    epochs: tuple[KnownEpoch, ...] = ()
    salts: tuple[KnownSalt, ...] = ()
    merged: Mapping[int, int] = field(default_factory=dict)
    steering: tuple[tuple[int, Steering], ...] = ()
