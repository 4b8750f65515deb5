"""The supervisor: starts deciders and learner, restarts what dies, kills what is silent, drains on SIGTERM.

It serves nothing and holds no model, so little can kill it. Children watch a pipe whose other end only the
supervisor has: when it dies, however that happens, they drain and exit.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from offer_optimizer.store.files import Files
from offer_optimizer.store.hot_lock import stuck_holder
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.process_state import is_stuck, read_process
from offer_optimizer.store.writer_cells import read_cells

log = structlog.get_logger(__name__)

SILENCE_LIMIT_NS: Final = 2_000_000_000
"""A process without a heartbeat for so long is killed, unless it is only starved of the processor."""
LOCK_LIMIT_NS: Final = 500_000_000
"""A stopped process that holds the counters' lock for so long is killed: others have no counters meanwhile.
One that is not stopped has as long as one that is silent."""
STARTUP_LIMIT_NS: Final = 30_000_000_000
"""A process that is still starting beats late: it imports and loads first."""
BACK_OFF_FIRST_S: Final = 0.1
BACK_OFF_MOST_S: Final = 5.0
STEADY_S: Final = 10.0
"""Running so long resets the back-off."""
DRAIN_S: Final = 10.0
ROUND_S: Final = 0.05


@dataclass
class Child:
    """One supervised process."""

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    ready_fd: int = -1
    is_ready: bool = False
    started_s: float = 0.0
    back_off_s: float = BACK_OFF_FIRST_S
    restart_at_s: float = 0.0
    beat_ns: int = 0
    cpu_at_beat_ns: int = 0


@dataclass
class Supervisor:
    """Keeps children running until told to stop."""

    directory: DataDirectory
    files: Files
    children: list[Child]
    on_ready: Callable[[], None]
    _stopping: bool = field(default=False, init=False)
    _announced: bool = field(default=False, init=False)

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; return the exit status."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        # Children keep the reading end; it ends when this process does.
        liveness_read, liveness_write = os.pipe()
        try:
            last_round_s = time.monotonic()
            while not self._stopping:
                now_s = time.monotonic()
                for child in self.children:
                    self._tend(child, liveness_read, now_s)
                # When this process itself was held up, others look silent too: not this round.
                if now_s - last_round_s < 1.0:
                    self._kill_silent()
                last_round_s = now_s
                self._await_news()
        finally:
            self._drain()
            os.close(liveness_write)
            os.close(liveness_read)
        return 0

    def _stop(self, _signal: int, _frame: object) -> None:
        self._stopping = True

    def _tend(self, child: Child, liveness_fd: int, now_s: float) -> None:
        if child.process is None:
            if now_s >= child.restart_at_s:
                self._start(child, liveness_fd, now_s)
            return
        status = child.process.poll()
        if status is None:
            if now_s - child.started_s > STEADY_S:
                child.back_off_s = BACK_OFF_FIRST_S
            return
        log.error(
            "process_ended",
            process=child.name,
            pid=child.process.pid,
            status=status,
            retry_s=child.back_off_s,
        )
        self._forget(child)
        child.restart_at_s = now_s + child.back_off_s
        child.back_off_s = min(child.back_off_s * 2, BACK_OFF_MOST_S)

    def _start(self, child: Child, liveness_fd: int, now_s: float) -> None:
        ready_read, ready_write = os.pipe()
        arguments = [*child.arguments, "--liveness-fd", str(liveness_fd), "--ready-fd", str(ready_write)]
        child.process = subprocess.Popen(
            [sys.executable, "-m", "offer_optimizer.app.child", *arguments],
            pass_fds=(liveness_fd, ready_write),
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches the supervisor alone, which then drains the children in order.
            start_new_session=True,
        )
        os.close(ready_write)
        child.ready_fd, child.is_ready, child.started_s = ready_read, False, now_s

    def _forget(self, child: Child) -> None:
        child.process = None
        if child.ready_fd >= 0:
            os.close(child.ready_fd)
            child.ready_fd = -1

    def _await_news(self) -> None:
        waiting = [child for child in self.children if child.ready_fd >= 0 and not child.is_ready]
        readable, _, _ = select.select([child.ready_fd for child in waiting], [], [], ROUND_S)
        for child in waiting:
            if child.ready_fd in readable:
                # An empty read is the end of a process that died before it was ready.
                child.is_ready = bool(os.read(child.ready_fd, 16))
                if not child.is_ready:
                    os.close(child.ready_fd)
                    child.ready_fd = -1
        deciders = [child for child in self.children if child.name.startswith("decider")]
        if not self._announced and all(child.is_ready for child in deciders):
            self._announced = True
            self.on_ready()

    def _kill_silent(self) -> None:
        now_ns = time.monotonic_ns()
        running = {child.process.pid: child for child in self.children if child.process is not None}
        for reading in read_cells(self.files, self.directory.run):
            child = running.get(reading.pid)
            if child is None or child.process is None or not reading.alive:
                continue
            state = read_process(reading.pid)
            if state is None:
                continue
            if reading.heartbeat_ns != child.beat_ns:
                child.beat_ns, child.cpu_at_beat_ns = reading.heartbeat_ns, state.cpu_ns
            limit_ns = SILENCE_LIMIT_NS if child.is_ready else STARTUP_LIMIT_NS
            if is_stuck(state, child.cpu_at_beat_ns, now_ns - reading.heartbeat_ns, limit_ns):
                log.error(
                    "process_silent", process=child.name, pid=reading.pid, effect="killed and restarted"
                )
                child.process.kill()
        self._kill_stuck_holder(running, now_ns)

    def _kill_stuck_holder(self, running: dict[int, Child], now_ns: int) -> None:
        holder = stuck_holder(self.directory.hot_lock_path, now_ns, LOCK_LIMIT_NS)
        child = running.get(holder) if holder is not None else None
        if holder is None or child is None or child.process is None:
            return
        state = read_process(holder)
        patient = state is not None and not state.is_stopped
        if patient and stuck_holder(self.directory.hot_lock_path, now_ns, SILENCE_LIMIT_NS) != holder:
            return
        log.error("lock_holder_stuck", process=child.name, pid=holder, effect="killed and restarted")
        child.process.kill()

    def _drain(self) -> None:
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline_s = time.monotonic() + DRAIN_S
        for process in running:
            try:
                process.wait(max(deadline_s - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                log.error("process_did_not_drain", pid=process.pid, effect="killed")
                process.kill()
                process.wait()
