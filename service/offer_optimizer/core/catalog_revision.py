"""A catalog in force, and what changing it did."""

from __future__ import annotations

from dataclasses import dataclass

from offer_optimizer.core.catalog import Catalog


@dataclass(frozen=True, slots=True)
class CatalogRevision:
    """A catalog revision: its number from 1, the document as applied, and when (microseconds)."""

    revision: int
    document: str
    apply_time_us: int
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What an apply did, or would do: the revision in force afterwards and a line per difference."""

    revision: int
    changes: tuple[str, ...]
