"""The hot cache in memory: the same rules over a dictionary, for tests and for composing in one process.

What always holds: a transaction that fails leaves nothing behind, and one thread at a time runs one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

from offer_optimizer.core.errors import CacheBusy, CacheUnready
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_sweep import SweepTurns


class MemoryValues:
    """Keys and values in memory. Implements hot_state.KeyValues."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._before: list[tuple[bytes, bytes | None]] = []
        self.commit_count = 0

    def get(self, key: bytes, /) -> bytes | None:
        """See KeyValues."""
        return self._values.get(key)

    def put(self, key: bytes, value: bytes, /) -> None:
        """See KeyValues."""
        self._before.append((key, self._values.get(key)))
        self._set(key, value)

    def delete(self, key: bytes, /) -> None:
        """See KeyValues."""
        self._before.append((key, self._values.get(key)))
        self._set(key, None)

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """See KeyValues."""
        first, last = bisect_left(self._keys, start), bisect_left(self._keys, end)
        return [(key, self._values[key]) for key in islice(self._keys, first, min(last, first + limit))]

    def commit(self) -> None:
        """Forget how it was."""
        self.commit_count += 1
        self._before.clear()

    def roll_back(self) -> None:
        """Make it as it was at the last commit."""
        for key, value in reversed(self._before):
            self._set(key, value)
        self._before.clear()

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value
        elif key in self._values:
            del self._values[key]
            del self._keys[bisect_left(self._keys, key)]


class MemoryCache:
    """A cache within one process. Implements hot_cache.HotCache and hot_fill.FillableCache."""

    def __init__(self, stage: Stage = Stage.READY) -> None:
        self._lock = threading.Lock()
        self._values = MemoryValues()
        self._stage: Stage | None = stage
        self._position = 0
        self._sweep_turns = SweepTurns()

    def is_ready(self) -> bool:
        """See HotCache."""
        return self._stage is Stage.READY

    @contextmanager
    def view(self) -> Iterator[HotState]:
        """See HotCache. Waits for a transaction, which is short."""
        with self._lock:
            self._check(Stage.READY)
            yield HotState(self._values, version=(self._values, self._values.commit_count))

    def transaction(
        self, timeout_s: float, *, while_filling: bool = False
    ) -> AbstractContextManager[HotState]:
        """See HotCache."""
        return self._transaction(timeout_s, while_filling=while_filling)

    @contextmanager
    def _transaction(self, timeout_s: float, *, while_filling: bool) -> Iterator[HotState]:
        if not self._lock.acquire(timeout=timeout_s):
            raise CacheBusy(f"the counters' lock was not free within {timeout_s:g} s")
        try:
            self._check(*((Stage.READY, Stage.FILLING) if while_filling else (Stage.READY,)))
            version = (self._values, self._values.commit_count)
            state = HotState(self._values, is_whole=self.is_ready(), version=version, turns=self._sweep_turns)
            try:
                yield state
                state.finish()
            except BaseException:
                self._values.roll_back()
                raise
            self._values.commit()
        finally:
            self._lock.release()

    def refresh(self) -> None:
        """See FillableCache: there is nothing to open."""

    def stage(self) -> Stage | None:
        """See FillableCache."""
        return self._stage

    def position(self) -> int:
        """See FillableCache."""
        return self._position

    def replace(self) -> None:
        """See FillableCache."""
        with self._lock:
            self._values = MemoryValues()
            self._stage, self._position = Stage.EMPTY, 0

    def fill(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """See FillableCache."""
        with self._lock:
            self._check(Stage.EMPTY)
            for key, value in entries:
                self._values.put(key, value)
            self._values.commit()

    def set_stage(self, stage: Stage, position: int) -> None:
        """See FillableCache."""
        with self._lock:
            self._check(*Stage)
            self._stage, self._position = stage, position

    def sweep(self, now_us: int, most: int) -> int:
        """See FillableCache."""
        with self.transaction(1.0, while_filling=True) as state:
            return state.sweep(now_us, most)

    def doubt(self) -> None:
        """See FillableCache."""
        self._stage = None

    def _check(self, *stages: Stage) -> None:
        if self._stage not in stages:
            raise CacheUnready("the counters are being derived again")
