"""The lock of the hot cache: a holder that dies gives it back, one that is stopped is seen and ended."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from offer_optimizer.core.errors import CacheBusy, StorageUnavailable
from offer_optimizer.store.hot_lock import GIVE_UP_NS, HotLock, stuck_holder

BOOT = "01234567-89ab-cdef-0123-456789abcdef"
LIMIT_NS = 500_000_000
HOLD = """
import os, sys, time
from offer_optimizer.store.hot_lock import HotLock
lock = HotLock(sys.argv[1], sys.argv[2], os.getpid(), time.monotonic_ns, time.sleep)
lock.acquire(5.0)
print("held", flush=True)
sys.stdin.readline()
lock.release()
print("released", flush=True)
sys.stdin.readline()
"""


def open_lock(path: Path, boot: str = BOOT) -> HotLock:
    return HotLock(path, boot, os.getpid(), time.monotonic_ns, time.sleep)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds the lock until it is told otherwise."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "service")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def tell(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline()


def wait_until_stuck(path: Path, limit_s: float) -> int:
    deadline_s = time.monotonic() + limit_s
    while (pid := stuck_holder(path, time.monotonic_ns(), LIMIT_NS)) is None:
        assert time.monotonic() < deadline_s, "nobody was found stuck"
        time.sleep(0.02)
    return pid


def test_a_stopped_holder_is_named_and_when_it_is_killed_all_is_well_within_a_second(
    path: Path, holder: subprocess.Popen[str], figure: Callable[[str], None]
) -> None:
    """As the supervisor does it: ask every 50 ms, kill who is named."""
    holder.send_signal(signal.SIGSTOP)
    began_s = time.monotonic()
    lock = open_lock(path)
    assert wait_until_stuck(path, 2.0) == holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    while True:
        with suppress(CacheBusy):
            lock.acquire(0.02)
            break
    took_s = time.monotonic() - began_s
    lock.release()
    figure(f"a stopped holder of the counters' lock was ended and the lock free again after {took_s:.2f} s")
    assert took_s < 1.0
    assert stuck_holder(path, time.monotonic_ns(), LIMIT_NS) is None


def test_nobody_waits_for_a_holder_that_does_not_move(path: Path, holder: subprocess.Popen[str]) -> None:
    """Otherwise each page would wait its whole share."""
    holder.send_signal(signal.SIGSTOP)
    lock = open_lock(path)
    time.sleep(GIVE_UP_NS / 1e9 + 0.02)
    began_s = time.monotonic()
    for _ in range(20):
        with pytest.raises(CacheBusy, match=str(holder.pid)):
            lock.acquire(5.0)
    assert time.monotonic() - began_s < 0.5


def test_a_holder_that_is_only_slow_is_waited_for_as_long_as_was_said(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    lock = open_lock(path)
    began_s = time.monotonic()
    with pytest.raises(CacheBusy):
        lock.acquire(0.02)
    assert time.monotonic() - began_s < 0.5
    threading.Timer(0.02, tell, (holder,)).start()
    with suppress(CacheBusy):
        lock.acquire(5.0)
        lock.release()
    lock.acquire(1.0)
    lock.release()


def test_who_let_go_is_not_stuck(path: Path, holder: subprocess.Popen[str]) -> None:
    assert tell(holder) == "released\n"
    far_ns = time.monotonic_ns() + 10 * LIMIT_NS
    assert stuck_holder(path, far_ns, LIMIT_NS) is None


def test_a_holder_is_not_blamed_for_the_one_before(path: Path) -> None:
    """Between taking the lock and saying so, nobody is named."""
    lock = open_lock(path)
    lock.acquire(0.1)
    lock.release()
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert stuck_holder(path, time.monotonic_ns() + 10 * LIMIT_NS, LIMIT_NS) is None


def test_who_died_with_the_lock_is_not_stuck(path: Path, holder: subprocess.Popen[str]) -> None:
    """The kernel has given it back; the pid may be somebody else's by now."""
    holder.kill()
    holder.wait()
    far_ns = time.monotonic_ns() + 10 * LIMIT_NS
    assert stuck_holder(path, far_ns, LIMIT_NS) is None
    lock = open_lock(path)
    lock.acquire(0.1)
    lock.release()


def test_a_missing_or_foreign_file_names_nobody(path: Path) -> None:
    assert stuck_holder(path, 10**18, LIMIT_NS) is None
    path.write_bytes(b"short")
    assert stuck_holder(path, 10**18, LIMIT_NS) is None
    path.write_bytes(bytes(4096))
    assert stuck_holder(path, 10**18, LIMIT_NS) is None


def test_threads_of_one_process_take_turns(path: Path) -> None:
    lock, inside, most = open_lock(path), [0], [0]

    def work() -> None:
        for _ in range(300):
            lock.acquire(30.0)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_thread_that_can_not_have_it_leaves_it_to_others(path: Path) -> None:
    lock = open_lock(path)
    lock.acquire(0.1)
    with pytest.raises(CacheBusy):
        lock.acquire(0.01)
    lock.release()
    lock.acquire(0.01)
    lock.release()


def test_what_another_boot_left_is_reset(path: Path) -> None:
    first = open_lock(path)
    first.put_in_force(7)
    assert open_lock(path).generation == 7
    assert open_lock(path, "another boot").generation == 0


def test_doubt_is_about_one_generation_and_never_taken_back(path: Path) -> None:
    lock = open_lock(path)
    assert lock.is_doubted, "there is none yet"
    lock.put_in_force(3)
    assert not lock.is_doubted
    lock.doubt(3)
    lock.doubt(2)
    assert open_lock(path).is_doubted
    lock.put_in_force(4)
    assert not lock.is_doubted


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="nowhere"):
        open_lock(tmp_path / "nowhere" / "lock")
