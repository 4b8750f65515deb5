"""The hot cache in LMDB: shared by all processes of a data directory, and never more than a cache.

An environment lies in a directory of its own, named after boot and generation; the lock file says which
generation is in force, so replacing one is a single store under the lock, and whoever has the old one open
notices at the next look. Nothing is ever synced: after another boot, or any error that is not plain lack of
room, an environment is not looked at again. Before a process opens one, a child reads all of it.

What always holds: whoever changes anything holds the lock (`hot_lock`); reading takes none. LMDB stores right
into the map, which spares a decision six copies and writes of a page; `hot_room` sees to it that there is
room under it. The map has its full size from the beginning: the file is allocated as it is used, up to that
bound, without anybody opening it anew. Most decisions meet only the tally table beside it (`tally_table`).
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

import lmdb
import structlog

from offer_optimizer.core.counting import CapReading
from offer_optimizer.core.errors import CacheBusy, CacheUnready, StorageUnavailable
from offer_optimizer.store.files import StrPath
from offer_optimizer.store.hot_cache import Tally
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.hot_reading import MAP_BYTES
from offer_optimizer.store.hot_records import FORMAT_VERSION
from offer_optimizer.store.hot_state import HotState
from offer_optimizer.store.hot_sweep import SweepTurns
from offer_optimizer.store.hot_trial import survives
from offer_optimizer.store.lmdb_environment import (
    STAGE,
    STAMP,
    Opened,
    ReadValues,
    SharedState,
    Values,
    make_environment,
    open_environment,
)

log = structlog.get_logger(__name__)

FILLED_AT_ONCE: Final = 5000
OWN_TIMEOUT_S: Final = 1.0
"""How long the learner waits for the lock."""

_POSITION: Final = b"\0position"
_DAMAGE: Final = (lmdb.Error, struct.error)
_NO_ROOM: Final = (lmdb.DiskError, lmdb.MapFullError, lmdb.ReadersFullError, lmdb.TxnFullError)


class LmdbCache:
    """The cache as one process has it. Implements hot_cache.HotCache and hot_fill.FillableCache.

    Safe for threads. One object for a directory and process: LMDB may not be opened twice.
    """

    def __init__(
        self,
        directory: StrPath,
        lock: HotLock,
        boot_id: str,
        *,
        map_bytes: int = MAP_BYTES,
        trial: Callable[[StrPath], bool] = survives,
    ) -> None:
        """Open nothing yet: `refresh` does. The directory exists."""
        self._directory = Path(directory)
        self._lock = lock
        self._boot = boot_id
        self._stamp = struct.pack("<I", FORMAT_VERSION) + boot_id.encode()
        self._map_bytes = map_bytes
        self._trial = trial
        self._opened: Opened | None = None
        self.sweep_turns = SweepTurns()

    # --- what deciders use ---------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """See HotCache."""
        return self.stage() is Stage.READY

    def view(self) -> _View:
        """See HotCache."""
        return _View(self)

    def tally(self, reading: CapReading, digest: bytes, now_us: int, most: int) -> Tally | None:
        """See HotCache."""
        opened = self._opened
        # Whether it is still in force is seen by whoever takes the tally.
        return opened.tallies.find(reading, digest, now_us, most) if opened and opened.is_ready else None

    def transaction(
        self, timeout_s: float, *, while_filling: bool = False, keeps_tally: bool = False
    ) -> _Transaction:
        """See HotCache."""
        return _Transaction(self, self._lock, timeout_s, while_filling=while_filling, keeps_tally=keeps_tally)

    def refresh(self) -> None:
        """See FillableCache. Takes a child process where there is something to open: not in a request."""
        generation = self._lock.generation
        opened = self._opened
        if self._lock.is_doubted:
            self._opened = None
        elif opened is None or opened.generation != generation:
            self._opened = self._open_tried(generation)

    def close(self) -> None:
        """Let go of the environment; views and transactions must have ended."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    # --- what the learner uses -----------------------------------------------------------------------------

    def stage(self) -> Stage | None:
        """See FillableCache."""
        try:
            with self.begin() as transaction:
                return Stage(transaction.get(STAGE))
        except CacheUnready:
            return None
        except (*_DAMAGE, ValueError):
            self.doubt()
            return None

    def position(self) -> int:
        """See FillableCache."""
        with self.begin() as transaction:
            return int.from_bytes(transaction.get(_POSITION, b""), "big")

    def replace(self) -> None:
        """See FillableCache."""
        generation = self._lock.generation + 1
        path = self._path(generation)
        try:
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(mode=0o700)
            make_environment(path, self._map_bytes)
            opened = self._open(path, generation)
            with opened.begin_write() as transaction:
                transaction.put(STAMP, self._stamp)
                transaction.put(STAGE, Stage.EMPTY.value)
        except (lmdb.Error, OSError, CacheBusy) as error:
            raise StorageUnavailable(f"{path}: could not make the hot cache: {error}") from error
        self._lock.acquire(OWN_TIMEOUT_S)
        self._lock.put_in_force(generation)
        self._lock.release()
        self._opened = opened
        for other in self._directory.glob("env-*"):
            if other != path:
                # Whoever has it open keeps it until the next look.
                shutil.rmtree(other, ignore_errors=True)

    def fill(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """See FillableCache."""
        source = iter(entries)
        while chunk := list(islice(source, FILLED_AT_ONCE)):
            # Twice their length: LMDB leaves pages half empty where it splits them.
            more_bytes = 2 * sum(len(key) + len(value) for key, value in chunk)
            with self.in_force().begin_write(more_bytes) as transaction:
                for key, value in chunk:
                    transaction.put(key, value)

    def set_stage(self, stage: Stage, position: int) -> None:
        """See FillableCache."""
        self._lock.acquire(OWN_TIMEOUT_S)
        try:
            with self.in_force().begin_write() as transaction:
                transaction.put(STAGE, stage.value)
                transaction.put(_POSITION, position.to_bytes(8, "big"))
        except _DAMAGE as error:
            self.give_up(error)
        finally:
            self._lock.release()

    def sweep(self, now_us: int, most: int) -> int:
        """See FillableCache. Also frees what readers that died have held."""
        opened = self._opened
        if opened is not None:
            opened.environment.reader_check()
        with self.transaction(OWN_TIMEOUT_S, while_filling=True) as state:
            return state.sweep(now_us, most)

    def doubt(self) -> None:
        """See FillableCache."""
        if self._opened is not None:
            self._lock.doubt(self._opened.generation)

    # --- within --------------------------------------------------------------------------------------------

    def bring_home(self, name: bytes, tally: bytes) -> None:
        """Give LMDB what was added at a seat of the table. Hold the lock. Raises CacheBusy, CacheUnready."""
        try:
            self.in_force().bring_home(name, tally)
        except _DAMAGE as error:
            self.give_up(error)

    def begin(self) -> lmdb.Transaction[bytes]:
        """Begin to read the generation in force. Raises CacheUnready, lmdb.Error."""
        return self.in_force().environment.begin()

    def in_force(self) -> Opened:
        """Return the generation in force. Raises CacheUnready."""
        opened = self._opened
        if opened is None or opened.generation != self._lock.usable:
            raise CacheUnready("the counters are being derived again")
        return opened

    def give_up(self, error: Exception) -> NoReturn:
        """Say in our own terms what LMDB or the codec could not do; doubt the environment unless it is full.

        Raises CacheBusy, CacheUnready.
        """
        if isinstance(error, _NO_ROOM):
            raise CacheBusy(f"the counters could not be changed: {error}") from error
        log.error("hot_cache_doubted", error=str(error), effect="derived again from the ledger")
        self.doubt()
        raise CacheUnready(f"the counters could not be read: {error}") from error

    def _path(self, generation: int) -> Path:
        return self._directory / f"env-{self._boot[:8]}-{generation}"

    def _open(self, path: Path, generation: int) -> Opened:
        """Open an environment. Raises lmdb.Error, OSError."""
        return open_environment(path, generation, self._map_bytes, self._lock, self.bring_home)

    def _open_tried(self, generation: int) -> Opened | None:
        path = self._path(generation)
        if not path.is_dir():
            if self._lock.generation == generation:
                self._lock.doubt(generation)
            return None
        if self._trial(path):
            try:
                opened = self._open(path, generation)
                with opened.environment.begin() as transaction:
                    if transaction.get(STAMP) == self._stamp:
                        return opened
                opened.close()
            except (lmdb.Error, OSError) as error:
                log.warning("hot_cache_not_opened", error=str(error))
        # It may have been replaced meanwhile: then the doubt is about nothing in force.
        log.error("hot_cache_doubted", error="the trial failed", effect="derived again from the ledger")
        self._lock.doubt(generation)
        return None


class _View:
    """One read transaction, as a context."""

    __slots__ = ("_cache", "_transaction")

    def __init__(self, cache: LmdbCache) -> None:
        self._cache = cache

    def __enter__(self) -> HotState:
        try:
            opened = self._cache.in_force()
            self._transaction = opened.environment.begin()
            if opened.is_ready or opened.accepts(self._transaction):
                version = (opened.generation, self._transaction.id())
                return SharedState(ReadValues(self._transaction, opened.tallies), version=version)
        except _DAMAGE as error:
            self._cache.give_up(error)
        self._transaction.abort()
        raise CacheUnready("the counters are being derived again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transaction.abort()
        if isinstance(error, _DAMAGE):
            self._cache.give_up(error)


class _Transaction:
    """One write transaction under the lock, as a context."""

    __slots__ = (
        "_cache",
        "_keeps_tally",
        "_lock",
        "_state",
        "_timeout_s",
        "_transaction",
        "_values",
        "_while_filling",
    )

    def __init__(
        self, cache: LmdbCache, lock: HotLock, timeout_s: float, *, while_filling: bool, keeps_tally: bool
    ) -> None:
        self._cache = cache
        self._lock = lock
        self._timeout_s = timeout_s
        self._while_filling = while_filling
        self._keeps_tally = keeps_tally

    def __enter__(self) -> HotState:
        self._lock.acquire(self._timeout_s)
        try:
            # Which generation is in force changes under the lock only, so it stays what `begin` saw.
            opened = self._cache.in_force()
            self._transaction = opened.begin_write()
            is_whole = opened.is_ready or opened.accepts(self._transaction)
            if not is_whole and not (
                self._while_filling and self._transaction.get(STAGE) == Stage.FILLING.value
            ):
                self._transaction.abort()
                raise CacheUnready("the counters are being derived again")
        except _DAMAGE as error:
            self._lock.release()
            self._cache.give_up(error)
        except BaseException:
            self._lock.release()
            raise
        # A reader has the number of the last commit, a writer already its own: the next.
        version = (opened.generation, self._transaction.id() - 1)
        self._values = Values(self._transaction, opened.tallies, keeps=self._keeps_tally)
        self._state = SharedState(
            self._values, is_whole=is_whole, version=version, turns=self._cache.sweep_turns
        )
        return self._state

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failure: Exception | None = error if isinstance(error, _DAMAGE) else None
        try:
            if error is None:
                self._state.finish()
                self._values.commit()
        except _DAMAGE as found:
            failure = found
        finally:
            # After a commit, or one that failed, there is nothing left to abort and this does nothing.
            self._transaction.abort()
            self._lock.release()
        if failure is not None:
            self._cache.give_up(failure)
