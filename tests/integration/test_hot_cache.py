"""The hot cache in LMDB: one cache for all processes, thrown away at any doubt."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from offer_optimizer.core.catalog import Cap, Window
from offer_optimizer.core.counting import CapEvent, CapReading, Charge, Counting
from offer_optimizer.core.errors import CacheUnready, StorageUnavailable
from offer_optimizer.core.ids import make_decision_id
from offer_optimizer.store.hot_cache import CacheTransaction, Recent
from offer_optimizer.store.hot_fill import FillableCache, Stage
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.hot_reading import read_all
from offer_optimizer.store.hot_trial import survives
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.memory_cache import MemoryCache
from tests.conftest import Size

NOW_US = 1_750_000_000_000_000
BOOT = "01234567-89ab-cdef-0123-456789abcdef"
ANN = b"a" * 32
READING = CapReading((Cap(id="x", limit=5), Cap(id="y", limit=5, window=Window(rolling_s=3600.0))))


def open_cache(folder: Path, boot: str = BOOT) -> LmdbCache:
    """Open a cache as a process does; a trial is made where a test asks for one."""
    lock = HotLock(folder / "lock", boot, os.getpid(), time.monotonic_ns, time.sleep)
    return LmdbCache(folder, lock, boot, trial=lambda _: True)


def make_ready(cache: FillableCache) -> None:
    cache.replace()
    cache.set_stage(Stage.FILLING, 0)
    cache.set_stage(Stage.READY, 0)


def add(cache: FillableCache, number: int, visitor: bytes = ANN) -> None:
    decision_id = number.to_bytes(16, "big")
    with cache.transaction(5.0) as state:
        state.apply(decision_id, visitor, Counting((CapEvent("x", NOW_US + number, 0),)), NOW_US)


def add_many(cache: FillableCache, count: int) -> None:
    for number in range(count):
        add(cache, number, number.to_bytes(32, "big"))


def add_and_fail(cache: FillableCache) -> None:
    with cache.transaction(1.0) as state:
        state.apply(bytes(16), ANN, Counting((CapEvent("x", NOW_US, 0),)), NOW_US)
        state.remember(Recent(bytes(16), "home", "", ANN, NOW_US, False, 1, b""), b"", b"")
        raise ZeroDivisionError


def times(cache: FillableCache, visitor: bytes = ANN) -> list[int]:
    with cache.view() as view:
        return sorted(time_us - NOW_US for time_us in view.event_times("x", visitor, NOW_US))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[LmdbCache]:
    made = open_cache(tmp_path)
    make_ready(made)
    yield made
    made.close()


def run_child(code: str, folder: Path) -> subprocess.Popen[bytes]:
    """Run code in another process that has `cache` open."""
    head = (
        "from pathlib import Path; import sys, os, time, signal\n"
        "from tests.integration.test_hot_cache import *\n"
        f"cache = open_cache(Path({str(folder)!r})); cache.refresh()\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'service'}:{root}"}
    return subprocess.Popen(
        [sys.executable, "-c", head + code], env=environment, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )


def act(cache: FillableCache, chance: random.Random) -> object:
    """Do one random thing; return what it read."""
    number, visitor, other = (
        chance.randrange(40),
        *(bytes([65 + chance.randrange(4)]) * 32 for _ in range(2)),
    )
    decision_id, now_us = number.to_bytes(16, "big"), NOW_US + chance.randrange(10**10)
    expires_us = chance.choice((0, now_us + 10**9))
    events = (CapEvent(chance.choice("xy"), now_us, expires_us),)
    counting = Counting(
        events, (Charge("b", "", chance.randrange(9) / 8, expires_us),), chance.random() < 0.2
    )
    recent = Recent(decision_id, "home", "offer", visitor, now_us, number % 2 == 0, 1, bytes(number * 100))

    def change(state: CacheTransaction) -> object:
        counts = state.counts(READING, visitor, now_us)
        state.apply(decision_id, visitor, counting, now_us)
        state.remember(recent, bytes([number % 5]) * 16, b"body")
        return counts, state.saw_feedback(visitor, "home", str(number % 3), now_us)

    with cache.transaction(1.0, keeps_tally=chance.random() < 0.5) as state:
        kind = chance.random()
        if kind < 0.1:
            state.merge(visitor, other)
        elif kind < 0.8:
            return change(state)
    with cache.view() as view:
        return (
            view.counts(READING, visitor, now_us),
            sorted(view.event_times("x", visitor, now_us)),
            view.spent("b", "", now_us),
            view.newest_decision("home", visitor, now_us),
            view.find_request(bytes([number % 5]) * 16),
            view.merged_into(other),
        )


def test_lmdb_and_memory_answer_alike_whatever_is_done(cache: LmdbCache, size: Size) -> None:
    memory = MemoryCache()
    for seed in range(size.pick(test=600, ci=3000, proof=30_000)):
        found = [act(it, random.Random(seed)) for it in (cache, memory)]
        assert found[0] == found[1], seed


def test_several_processes_count_each_for_all(cache: LmdbCache, tmp_path: Path, size: Size) -> None:
    """Four at once, each an event of its own a turn: none is lost, none is counted twice."""
    turns = size.pick(test=100, ci=500, proof=5000)
    code = f"[add(cache, {{start}} + n, b'v%d' % (n % 7)) for n in range({turns})]"
    children = [run_child(code.format(start=start * turns), tmp_path) for start in range(4)]
    assert [child.wait(120) for child in children] == [0] * 4
    found = sorted(it for number in range(7) for it in times(cache, b"v%d" % number))
    kept: dict[int, list[int]] = {}
    for start in range(4):
        for n in range(turns):
            kept.setdefault(n % 7, []).append(start * turns + n)
    assert found == sorted(it for rows in kept.values() for it in sorted(rows)[-100:])


def test_another_process_sees_what_was_committed_and_a_failed_transaction_never(
    cache: LmdbCache, tmp_path: Path
) -> None:
    add(cache, 1)
    with pytest.raises(ZeroDivisionError):
        add_and_fail(cache)
    child = run_child("print(times(cache))", tmp_path)
    assert child.communicate(timeout=60)[0].split() == [b"[1]"]


def test_a_process_killed_in_the_middle_of_a_transaction_leaves_neither_lock_nor_half_of_it(
    cache: LmdbCache, tmp_path: Path
) -> None:
    add(cache, 1)
    child = run_child(
        "with cache.transaction(1.0) as state:\n"
        " state.apply(bytes(16), ANN, Counting((CapEvent('x', NOW_US, 0),)), NOW_US)\n"
        " state.flush()\n"
        " os.kill(os.getpid(), signal.SIGKILL)",
        tmp_path,
    )
    assert child.wait(60) == -signal.SIGKILL
    began_s = time.monotonic()
    add(cache, 2)
    assert time.monotonic() - began_s < 1.0
    assert times(cache) == [1, 2]


def test_a_new_boot_begins_with_nothing(tmp_path: Path) -> None:
    before = open_cache(tmp_path)
    make_ready(before)
    add(before, 1)
    before.close()
    after = open_cache(tmp_path, "fedcba98-7654-3210-fedc-ba9876543210")
    after.refresh()
    assert after.stage() is None
    with pytest.raises(CacheUnready), after.view():
        pass
    make_ready(after)
    assert times(after) == []
    assert len(list(tmp_path.glob("env-*"))) == 1
    after.close()


def test_the_same_boot_goes_on_with_what_is_there(tmp_path: Path) -> None:
    before = open_cache(tmp_path)
    make_ready(before)
    add(before, 1)
    before.set_stage(Stage.READY, 42)
    before.close()
    after = open_cache(tmp_path)
    assert not after.is_ready()
    after.refresh()
    assert (after.is_ready(), after.position(), times(after)) == (True, 42, [1])
    after.close()


def test_who_has_a_replaced_cache_open_stops_at_once_and_goes_on_with_the_next(
    cache: LmdbCache, tmp_path: Path
) -> None:
    child = run_child(
        "print(times(cache), flush=True); sys.stdin.readline()\n"
        "for attempt in (cache.view, lambda: cache.transaction(1.0)):\n"
        " try:\n"
        "  with attempt(): print('open')\n"
        " except CacheUnready: print('unready')\n"
        "cache.refresh(); print(times(cache))",
        tmp_path,
    )
    assert child.stdout is not None
    add(cache, 1)
    assert child.stdout.readline() in (b"[]\n", b"[1]\n")
    make_ready(cache)
    add(cache, 2)
    assert child.communicate(b"go\n", timeout=60)[0].split() == [b"unready", b"unready", b"[2]"]


def test_threads_that_read_survive_that_the_cache_is_replaced(cache: LmdbCache) -> None:
    """The old environment is closed with its last reader, not under it."""
    stop, counts, faults = threading.Event(), [0], []

    def read() -> None:
        while not stop.is_set():
            try:
                with cache.view() as view:
                    time.sleep(0.001)
                    view.event_times("x", ANN, NOW_US)
                counts[0] += 1
            except CacheUnready:
                time.sleep(0)
            except Exception as fault:  # noqa: BLE001  (whatever it is, the test shows it)
                faults.append(fault)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        make_ready(cache)
        add(cache, number)
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert (faults, counts[0] > 20) == ([], True)


def test_doubt_of_one_process_stops_all_and_ends_with_a_fresh_cache(cache: LmdbCache, tmp_path: Path) -> None:
    add(cache, 1)
    assert run_child("cache.doubt()", tmp_path).wait(60) == 0
    assert cache.stage() is None
    with pytest.raises(CacheUnready), cache.transaction(1.0):
        pass
    cache.refresh()
    assert cache.stage() is None
    make_ready(cache)
    assert times(cache) == []


def environment_of(folder: Path) -> Path:
    (found,) = folder.glob("env-*")
    return found


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize("damage", ["zeroed", "cut", "garbage", "missing", "other format"])
def test_a_damaged_environment_is_found_by_the_trial_and_doubted(tmp_path: Path, damage: str) -> None:
    before = open_cache(tmp_path)
    make_ready(before)
    add_many(before, 300)
    before.close()
    data = environment_of(tmp_path) / "data.mdb"
    used_bytes = 1 << 20  # the rest of the file was never written
    match damage:
        case "zeroed":
            overwrite(data, 0, bytes(used_bytes))
        case "cut":
            os.truncate(data, 3 * 4096)
        case "garbage":
            chance = random.Random(1)
            overwrite(data, 8192, chance.randbytes(used_bytes))
        case "missing":
            data.unlink()
        case "other format":
            with lmdb.open(str(data.parent)) as environment, environment.begin(write=True) as transaction:
                transaction.put(b"\0stamp", b"something else")
    lock = HotLock(tmp_path / "lock", BOOT, os.getpid(), time.monotonic_ns, time.sleep)
    after = LmdbCache(tmp_path, lock, BOOT)
    after.refresh()
    assert (after.stage(), lock.is_doubted) == (None, True)
    make_ready(after)
    assert times(after) == []
    after.close()


def test_the_trial_reads_all_and_dies_alone(tmp_path: Path) -> None:
    made = open_cache(tmp_path)
    make_ready(made)
    add_many(made, 50)
    assert survives(environment_of(tmp_path))
    made.close()
    assert read_all(str(environment_of(tmp_path))) >= 50
    os.truncate(environment_of(tmp_path) / "data.mdb", 3 * 4096)
    assert not survives(environment_of(tmp_path))
    assert not survives(tmp_path / "nowhere")


def test_values_that_we_did_not_write_are_doubted_when_they_are_read(cache: LmdbCache) -> None:
    with cache.in_force().begin_write() as transaction:
        transaction.put(b"v" + ANN, b"V\1\1")
    with pytest.raises(CacheUnready), cache.view() as view:
        view.event_times("x", ANN, NOW_US)
    assert cache.stage() is None


def test_a_cache_that_can_not_be_made_says_so(tmp_path: Path) -> None:
    lock = HotLock(tmp_path / "lock", BOOT, os.getpid(), time.monotonic_ns, time.sleep)
    nowhere = LmdbCache(tmp_path / "missing", lock, BOOT)
    with pytest.raises(StorageUnavailable, match="missing"):
        nowhere.replace()


def test_what_dead_readers_held_is_freed(cache: LmdbCache, tmp_path: Path) -> None:
    child = run_child(
        "view = cache.view(); view.__enter__(); print('in', flush=True); os.kill(os.getpid(), 9)", tmp_path
    )
    child.wait(60)
    assert cache._opened is not None
    environment = cache._opened.environment
    assert environment.info()["num_readers"] >= 1
    before = environment.readers().count("\n")
    cache.sweep(NOW_US, 10)
    assert environment.readers().count("\n") < before


def spread(samples_ns: list[int]) -> str:
    ordered = sorted(samples_ns)
    return f"{ordered[len(ordered) // 2] / 1e3:.1f} µs (p99 {ordered[len(ordered) * 99 // 100] / 1e3:.0f} µs)"


def test_reading_and_counting_five_caps_is_quick(
    cache: LmdbCache, size: Size, figure: Callable[[str], None]
) -> None:
    """Bounds are wide, because machines are shared; the figures are what is looked at."""
    visitors = [random.Random(n).randbytes(32) for n in range(size.pick(test=2000, ci=20_000, proof=200_000))]
    caps = [f"cap-{number}" for number in range(5)]
    samples: dict[str, list[int]] = {"view": [], "transaction": []}
    for number in range(2 * len(visitors)):
        visitor, now_us = visitors[number * 7919 % len(visitors)], NOW_US + 1000 * number
        decision_id = make_decision_id(now_us, os.urandom(10))
        began_ns = time.perf_counter_ns()
        with cache.view() as view:
            for cap in caps:
                view.event_times(cap, visitor, now_us)
        read_ns = time.perf_counter_ns()
        with cache.transaction(1.0) as state:
            for cap in caps:
                state.event_times(cap, visitor, now_us)
            counting = Counting(tuple(CapEvent(cap, now_us, 0) for cap in caps))
            state.apply(decision_id, visitor, counting, now_us)
            recent = Recent(decision_id, "home", "offer", visitor, now_us, False, 1, b"")
            state.remember(recent, b"", b"")
        samples["view"].append(read_ns - began_ns)
        samples["transaction"].append(time.perf_counter_ns() - read_ns)
    figure(
        f"hot cache, {len(visitors)} visitors: view and five caps {spread(samples['view'])}, transaction that"
        f" reads and counts five caps and remembers {spread(samples['transaction'])}"
    )
    assert sorted(samples["view"])[len(visitors)] < 200_000
    assert sorted(samples["transaction"])[len(visitors)] < 1_000_000


def test_a_transaction_continues_a_view_until_somebody_commits(cache: LmdbCache) -> None:
    with cache.view() as before:
        pass
    with cache.transaction(1.0) as state:
        assert state.continues(before)
    add(cache, 1)
    with cache.transaction(1.0) as state:
        assert not state.continues(before)
    make_ready(cache)
    with cache.transaction(1.0) as state:
        assert not state.continues(before)
