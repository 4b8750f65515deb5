"""The hot cache in memory: the same rules over a dictionary, for tests and for composing in one process.

What always holds: a transaction that fails leaves nothing behind, and one thread at a time runs one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

from offer_optimizer.core.counting import CapEvent, CapReading, Counting
from offer_optimizer.core.errors import CacheBusy, CacheUnready
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.hot_records import VISITOR
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

    def get_visitor(self, name: bytes) -> bytes | None:
        """See KeyValues."""
        return self._values.get(VISITOR + name)

    def put_visitor(self, name: bytes, data: bytes | None) -> None:
        """See KeyValues."""
        if data is None:
            self.delete(VISITOR + name)
        else:
            self.put(VISITOR + name, data)

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


class MemoryTally:
    """The counts of a visitor. Implements hot_cache.Tally."""

    def __init__(self, cache: MemoryCache, values: MemoryValues, digest: bytes, counts: bytes) -> None:
        self.counts = counts
        self._cache, self._values, self._digest = cache, values, digest
        self._version = values.commit_count

    def take(self, timeout_s: float) -> bool:
        """See Tally."""
        self._cache.acquire(timeout_s)
        if self._cache.is_same(self._values) and self._values.commit_count == self._version:
            return True
        self._cache.release()
        return False

    def add(self, cap_ids: Iterable[str], decision_id: bytes, time_us: int) -> None:
        """See Tally."""
        state = HotState(self._values)
        events = tuple(CapEvent(cap_id, time_us, 0) for cap_id in cap_ids)
        state.apply(decision_id, self._digest, Counting(events), time_us)
        state.flush()
        self._values.commit()

    def let_go(self) -> None:
        """See Tally."""
        self._cache.release()


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

    def tally(self, reading: CapReading, digest: bytes, now_us: int, most: int) -> MemoryTally | None:  # noqa: ARG002
        """See HotCache."""
        with self._lock:
            state = HotState(self._values)
            if self._stage is not Stage.READY or state.merged_into(digest) != digest:
                return None
            return MemoryTally(self, self._values, digest, state.counts(reading, digest, now_us))

    def acquire(self, timeout_s: float) -> None:
        """Take the lock. Raises CacheBusy."""
        if not self._lock.acquire(timeout=timeout_s):
            raise CacheBusy(f"the counters' lock was not free within {timeout_s:g} s")

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def is_same(self, values: MemoryValues) -> bool:
        """Return whether these are the values in force; hold the lock."""
        return self._stage is Stage.READY and self._values is values

    def transaction(
        self,
        timeout_s: float,
        *,
        while_filling: bool = False,
        keeps_tally: bool = False,  # noqa: ARG002
    ) -> AbstractContextManager[HotState]:
        """See HotCache. Every tally lies ready."""
        return self._transaction(timeout_s, while_filling=while_filling)

    @contextmanager
    def _transaction(self, timeout_s: float, *, while_filling: bool) -> Iterator[HotState]:
        self.acquire(timeout_s)
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
