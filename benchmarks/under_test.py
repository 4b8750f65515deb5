"""Starts what is measured, in processes of its own, pinned to one core where the rest has another."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks import machine
from benchmarks.setting import DECIDE, catalog_text, request_bytes

ROOT: Final = Path(__file__).resolve().parent.parent
READY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class UnderTest:
    """A server to measure. `pid` is the process that decides; None where it is somebody else's.

    `others` decide beside it on the same port.
    """

    name: str
    target: str
    pid: int | None
    others: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """Return the CPU time that deciding has used; 0 where the processes are somebody else's."""
        return sum(machine.cpu_seconds(pid) for pid in (self.pid, *self.others) if pid is not None)


def environment() -> dict[str, str]:
    """Return the environment in which children find the package and the benchmarks."""
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "service"), str(ROOT)))}


def cores() -> tuple[set[int], set[int]]:
    """Return the cores of the server under test and those of everything else; equal on a single core."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, set(usable[1:])) if len(usable) > 1 else (set(usable), set(usable))


@contextmanager
def ours(name: str, *arguments: str) -> Iterator[UnderTest]:
    """Run `benchmarks.servers` and stop it at the end."""
    command = [sys.executable, "-m", "benchmarks.servers", name, *arguments]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
        # As the service's processes are started: Linux shares cores out by session first (autogroup), so
        # beside busy neighbours a floor in our own would have had four times as much of a core.
        start_new_session=True,
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        port = int(process.stdout.readline())
        machine.pin(process.pid, cores()[0])
        try:
            yield UnderTest(name, f"127.0.0.1:{port}", process.pid)
        finally:
            process.stdin.close()


@dataclass(frozen=True, slots=True)
class Service:
    """A running `offer-optimizer serve`: where it listens, who decides, who learns, where its data lie."""

    target: str
    supervisor: int
    deciders: tuple[int, ...]
    learner: int
    data: Path
    ready_s: float
    """How long it took until the deciders served."""


@contextmanager
def service(
    catalog: str = "",
    *,
    workers: int = 1,
    data: Path | None = None,
    extra: Mapping[str, str] | None = None,
    is_pinned: bool = True,
) -> Iterator[Service]:
    """Run the whole service and stop it at the end.

    `catalog` is the text of one (default: that of setting.py), `data` a directory to keep, `extra` goes into
    the environment of its processes.
    """
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        file = Path(folder, "catalog.yaml")
        file.write_text(catalog or catalog_text(), encoding="utf-8")
        kept = data or Path(folder, "data")
        options = ["--data", str(kept), "--listen", "127.0.0.1:0", "--workers", str(workers)]
        if not (kept / "catalog").exists():
            options += ["--catalog", str(file)]
        command = [sys.executable, "-m", "offer_optimizer", "serve", *options]
        began_s = time.monotonic()
        own = environment() | dict(extra or {})
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own, cwd=ROOT) as process:
            try:
                yield _when_ready(process, kept, began_s, is_pinned=is_pinned)
            finally:
                process.terminate()
                process.wait(timeout=READY_S)


@contextmanager
def real_service(catalog: str = "", name: str = "serve") -> Iterator[UnderTest]:
    """Run `offer-optimizer serve` with one decider on a temporary data directory; learning is on."""
    with service(catalog) as running:
        yield UnderTest(name, running.target, running.deciders[0])


def _when_ready(process: subprocess.Popen[str], data: Path, began_s: float, *, is_pinned: bool) -> Service:
    if process.stdout is None:
        raise AssertionError("it is a pipe")
    for line in process.stdout:
        if line.startswith("ready "):
            break
    else:
        raise SystemExit(f"offer-optimizer serve ended with status {process.wait()} before it was ready")
    ready_s = time.monotonic() - began_s
    found = machine.children(process.pid)
    deciders = tuple(sorted(pid for pid, command_line in found.items() if " decider " in command_line))
    learners = [pid for pid, command_line in found.items() if " learner " in command_line]
    if not deciders or len(learners) != 1:
        raise SystemExit(f"deciders and one learner expected among the children of serve, found {found}")
    server_cores, other_cores = cores()
    if is_pinned:
        for pid in (process.pid, *found):
            machine.pin(pid, server_cores if pid in deciders else other_cores)
    return Service(line.split()[1], process.pid, deciders, learners[0], data, ready_s)


def one_reply(target: str) -> bytes:
    """Return the bytes of one answer, once the server answers."""
    with grpc.insecure_channel(target) as channel:
        call: Any = channel.unary_unary(DECIDE)
        reply: bytes = call(request_bytes(), timeout=READY_S, wait_for_ready=True)
        return reply
