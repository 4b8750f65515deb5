"""How a hot cache becomes whole: the stages it goes through, and what the learner does with it.

A fresh cache is EMPTY: nobody reads it, nobody writes it but who fills it. While FILLING it holds all that
the ledger's counters held; feedback and merges are written to it, but it may lack some that came in between,
so no decision reads it. READY: it holds everything that was answered. Stages go in this order, and back only
by `replace`, which begins with an empty cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from offer_optimizer.store.hot_cache import HotCache


class Stage(Enum):
    """How whole a cache is. Values are stored."""

    EMPTY = b"E"
    FILLING = b"F"
    READY = b"R"


class FillableCache(HotCache, Protocol):
    """A hot cache as the learner has it."""

    def refresh(self) -> None:
        """Open the cache in force, where this process hasn't yet."""
        ...

    def stage(self) -> Stage | None:
        """Return how whole it is; None where there is none that could be used."""
        ...

    def position(self) -> int:
        """Return the ledger position up to which it was told everything. Raises CacheUnready."""
        ...

    def replace(self) -> None:
        """Put an empty cache in the place of whatever is there. Raises CacheBusy, StorageUnavailable."""
        ...

    def fill(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Write keys and values into an EMPTY cache. Raises CacheUnready, CacheBusy."""
        ...

    def set_stage(self, stage: Stage, position: int) -> None:
        """Say how whole it is, and up to where it was told. Raises CacheUnready, CacheBusy."""
        ...

    def sweep(self, now_us: int, most: int) -> int:
        """Drop what has expired, `most` of each kind; return how many. Raises CacheUnready, CacheBusy."""
        ...

    def doubt(self) -> None:
        """Let nobody use it any more: it will be replaced."""
        ...
