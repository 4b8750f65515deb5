"""The hot cache of a process that is starting, opened while the rest of it is still being loaded.

Opening takes a trial in another process, which reads all there is: what a decider imports meanwhile takes
longer than most trials. It serves only when the cache is open, since feedback that it could not count would
be missing from counters that others trust.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.lmdb_cache import LmdbCache


class EarlyCache:
    """Begins to open the cache in `directory` at once."""

    def __init__(self, directory: Path, lock_path: Path, boot_id: str) -> None:
        lock = HotLock(lock_path, boot_id, os.getpid(), time.monotonic_ns, time.sleep)
        self._cache = LmdbCache(directory, lock, boot_id)
        self._opening = threading.Thread(target=self._open, name="open-cache", daemon=True)
        self._opening.start()

    def cache(self) -> LmdbCache:
        """Return the cache, for others to hold; nobody refreshes it before `wait` has returned."""
        return self._cache

    def wait(self) -> None:
        """Wait until it is open, or was found to be of no use."""
        self._opening.join()

    def _open(self) -> None:
        # Whoever refreshes it next meets the same, where it can be answered.
        with suppress(OfferOptimizerError):
            self._cache.refresh()
