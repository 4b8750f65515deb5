"""A real service in a temporary directory, whose processes a test may kill."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READY_LIMIT_S = 60.0


class RunningService:
    """Starts `serve`, knows its processes, and ends only what it started."""

    def __init__(self, directory: Path, catalog: Path, workers: int = 2, extra: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self._catalog = catalog
        self._workers = workers
        self._extra = extra
        self._log = (directory.parent / "serve.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.target = ""

    def start(self, port: int = 0) -> float:
        """Start and wait for `ready`; return how many seconds that took."""
        began_s = time.monotonic()
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "offer_optimizer", "serve", "--data", str(self.directory),
                "--catalog", str(self._catalog), "--listen", f"127.0.0.1:{port}",
                "--workers", str(self._workers), *self._extra,
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        line = self._read_line(began_s + READY_LIMIT_S)
        if not line.startswith("ready "):
            raise AssertionError(f"serve did not get ready: {line!r}\n{self.log_tail()}")
        self.target = line.split()[1]
        return time.monotonic() - began_s

    def _read_line(self, deadline_s: float) -> str:
        process = self._running()
        if process.stdout is None:
            raise AssertionError("serve has no standard output")
        ready, _, _ = select.select([process.stdout], [], [], max(deadline_s - time.monotonic(), 0.0))
        return process.stdout.readline().decode() if ready else "(nothing in time)"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise AssertionError("serve was not started")
        return self._process

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.target.rpartition(":")[2])

    @property
    def supervisor(self) -> int:
        """The process id of the supervisor."""
        return self._running().pid

    def children(self) -> dict[int, str]:
        """Return the running children: process id to role."""
        found = {}
        listing = Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children").read_text()
        for pid in map(int, listing.split()):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                found[pid] = next((word for word in words if word in ("decider", "learner")), "other")
        return found

    def kill(self, pid: int) -> None:
        """Send SIGKILL to one of our processes; wait for all to be gone when it was the supervisor."""
        children = self.children()
        if pid != self.supervisor and pid not in children:
            raise AssertionError(f"{pid} is not ours")
        os.kill(pid, signal.SIGKILL)
        if pid == self.supervisor:
            self._running().wait()
            self._close_pipe()
            self.wait_gone(list(children), 2.5)

    def kill_all(self) -> None:
        """Send SIGKILL to the supervisor and all its children in one go."""
        children = list(self.children())
        for pid in (self.supervisor, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._running().wait()
        self._close_pipe()
        self.wait_gone(children, 2.5)

    def wait_gone(self, pids: list[int], limit_s: float) -> None:
        """Wait until none of these processes runs; fail after `limit_s` seconds."""
        deadline_s = time.monotonic() + limit_s
        while left := [pid for pid in pids if _is_running(pid)]:
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{left} still run {limit_s} s after their supervisor died")
            time.sleep(0.02)

    def stop(self) -> int:
        """Send SIGTERM, wait, and return the exit status."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        status = process.wait(20)
        self._close_pipe()
        return status

    def end(self) -> None:
        """Make sure nothing of it runs."""
        process = self._process
        if process is not None and process.poll() is None:
            children = self.children()
            process.kill()
            process.wait()
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._close_pipe()
        self._log.close()

    def _close_pipe(self) -> None:
        process = self._process
        if process is not None and process.stdout is not None:
            process.stdout.close()

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run an `offer-optimizer` command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "offer_optimizer", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def check_rebuild(self) -> dict[str, Any]:
        """Run `rebuild --check` and return its report; fail when anything differs."""
        done = self.run_command("rebuild", "--check", "--json", "--data", str(self.directory))
        if done.returncode != 0:
            raise AssertionError(f"rebuild --check: {done.stdout}\n{done.stderr}")
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def log_tail(self) -> str:
        """Return the end of the service's log."""
        return (self.directory.parent / "serve.log").read_text()[-3000:]


@contextlib.contextmanager
def serving(folder: Path, catalog: str, workers: int = 1) -> Iterator[RunningService]:
    """Start a service on the text of a catalog, with its data in `folder`; it ends with the block."""
    path = folder / "catalog.yaml"
    path.write_text(catalog)
    service = RunningService(folder / "data", path, workers)
    try:
        service.start()
        yield service
    finally:
        service.end()


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
