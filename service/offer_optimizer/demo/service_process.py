"""Runs the real service as a child process, waits until it serves, and tells plainly when it dies.

Always: the child is stopped when the block that started it ends, and its last lines are kept for the message.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from offer_optimizer.core.errors import OfferOptimizerError

READY_TIMEOUT_S: Final = 45.0
"""A cold start imports Vowpal Wabbit in several processes; a busy machine takes seconds over it."""
DRAIN_TIMEOUT_S: Final = 15.0
LOG_LINES: Final = 30


class ServiceFailed(OfferOptimizerError):
    """The service did not start, or died while it was needed: its last lines are in the text."""


class ServiceProcess:
    """`offer-optimizer serve` on a free port of 127.0.0.1, for the length of a `with` block."""

    def __init__(self, directory: Path, catalog: str, command: tuple[str, ...] | None = None) -> None:
        """Prepare to run in `directory`, seeded with `catalog`; `command` replaces the usual one."""
        self._catalog_path = directory / "demo_catalog.yaml"
        self._catalog = catalog
        self._command = command or _serve_command(directory / "data", self._catalog_path)
        self._log_path = directory / "service.log"
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._ready = threading.Event()
        self._target = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._catalog_path.write_text(self._catalog, encoding="utf-8")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Its own session: Ctrl-C reaches only us, and we let it drain in our own time.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._reader = threading.Thread(target=self._read, name="service-log", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> str:
        """Return `HOST:PORT` once the service says it serves. Raises ServiceFailed if it doesn't."""
        waited_s, step_s = 0.0, 0.05
        while not self._ready.is_set():
            self.check()
            if waited_s >= timeout_s:
                raise ServiceFailed(self._with_log(f"the service was not ready after {timeout_s:g} s"))
            self._ready.wait(step_s)
            waited_s += step_s
        return self._target

    def check(self) -> None:
        """Raise ServiceFailed if the service has ended."""
        if self._process is None:
            raise ServiceFailed("the service was never started")
        code = self._process.poll()
        if code is None:
            return
        if self._reader is not None:
            self._reader.join(1.0)
        ended = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with status {code}"
        raise ServiceFailed(self._with_log(f"the service {ended}"))

    def stop(self) -> int | None:
        """Ask the service to drain, wait for it, kill it if it does not; return its exit status."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DRAIN_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._reader is not None:
            self._reader.join(1.0)
        return process.returncode

    def _read(self) -> None:
        stream = self._process.stdout if self._process is not None else None
        if stream is None:
            return
        with stream, self._log_path.open("w", encoding="utf-8") as log:
            self._follow(stream, log)

    def _follow(self, stream: IO[str], log: IO[str]) -> None:
        for line in stream:
            log.write(line)
            log.flush()
            self._lines.append(line.rstrip())
            if not self._ready.is_set() and line.startswith("ready "):
                self._target = line.split()[1]
                self._ready.set()

    def _with_log(self, problem: str) -> str:
        if not self._lines:
            return f"{problem}; it printed nothing"
        return "\n".join((f"{problem}; its last lines:", *(f"  {line}" for line in self._lines)))


def _serve_command(data: Path, catalog: Path) -> tuple[str, ...]:
    listen = ("--listen", "127.0.0.1:0", "--workers", "1")
    return (
        sys.executable,
        "-m",
        "offer_optimizer",
        "serve",
        "--data",
        str(data),
        "--catalog",
        str(catalog),
        *listen,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
