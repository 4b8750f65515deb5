"""A recorder of what holds a process up, for `benchmarks.tail`: Python loads it where it is on the path.

Writes one JSON line for each piece of work that took long: what, when (CLOCK_MONOTONIC, the clock of
perf_counter), how long, and its thread's CPU time. A ticker that wakes up late tells how long the process
waited for a core, or for its interpreter lock. It changes nothing of what the process does, and the service
knows nothing of it.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PREFIX: Final = os.environ.get("OFFER_OPTIMIZER_STALLS", "")
WORK: Final = {
    "decider": {
        "swap": ("offer_optimizer.decide.models", "ModelShelf", "_put"),
        "catalog": ("offer_optimizer.store.catalog", "CatalogStore", "refresh"),
        "cache": ("offer_optimizer.store.lmdb_cache", "LmdbCache", "refresh"),
        "roll": ("offer_optimizer.store.segment_writer", "SegmentWriter", "_roll"),
        "append": ("offer_optimizer.store.segment_writer", "SegmentWriter", "append"),
        "sync": ("offer_optimizer.store.segment_writer", "SegmentWriter", "sync"),
        "pmf": ("offer_optimizer.policy.vw", "VwPolicy", "pmf"),
        "pmf of linear": ("offer_optimizer.policy.linear", "LinearPolicy", "pmf"),
    },
    "learner": {
        "drain": ("offer_optimizer.learn.drain", "Drainer", "drain"),
        "publish": ("offer_optimizer.learn.publish", "Publisher", "publish"),
        "deliver": ("offer_optimizer.learn.publish", "Publisher", "_carry_out"),
    },
}
LONG_S: Final = 0.002
TICK_S: Final = 0.002
LATE_S: Final = 0.010


class Recorder:
    """Writes down what took long."""

    def __init__(self, role: str) -> None:
        self._file = Path(f"{PREFIX}.{role}.{os.getpid()}").open("w", buffering=1, encoding="utf-8")  # noqa: SIM115  (open for life)
        self._collection_began_s = 0.0

    def note(self, what: str, began_s: float, ended_s: float, cpu_s: float) -> None:
        """Write one line: seconds, and milliseconds of duration and CPU time."""
        took_ms = (ended_s - began_s) * 1e3
        line = {"what": what, "at_s": began_s, "took_ms": took_ms, "cpu_ms": cpu_s * 1e3}
        self._file.write(json.dumps(line) + "\n")

    def collection(self, phase: str, info: dict[str, int]) -> None:
        """Be a callback of the collector."""
        now_s = time.perf_counter()
        if phase == "start":
            self._collection_began_s = now_s
        elif now_s - self._collection_began_s > LONG_S:
            took_s = now_s - self._collection_began_s
            self.note(f"collection {info['generation']}", self._collection_began_s, now_s, took_s)

    def watched(self, what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same work, written down where it takes long."""

        @functools.wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (whatever the work takes and makes)
            began_s, cpu_s = time.perf_counter(), time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                ended_s = time.perf_counter()
                if ended_s - began_s > LONG_S:
                    self.note(what, began_s, ended_s, time.thread_time() - cpu_s)

        return timed

    def tick(self) -> None:
        """Wake up every so often, and write down when that was late: `cpu_ms` is the wait for a core."""
        while True:
            began_s, waited_s = time.perf_counter(), waited_for_core_s()
            time.sleep(TICK_S)
            ended_s = time.perf_counter()
            if ended_s - began_s > LATE_S:
                self.note("late", began_s, ended_s, waited_for_core_s() - waited_s)

    def attach(self, role: str) -> None:
        """Wait until the service has loaded what is watched, watch it, and tick for ever."""
        places = WORK[role].values()
        while not all(hasattr(sys.modules.get(module), name) for module, name, _ in places):
            time.sleep(0.05)
        for what, (module, name, method) in WORK[role].items():
            owner = getattr(importlib.import_module(module), name)
            setattr(owner, method, self.watched(what, getattr(owner, method)))
        self.tick()


def waited_for_core_s() -> float:
    """Return how long this thread was ready to run and had no core."""
    return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def begin() -> None:
    """Record, where this is a process of the service that `benchmarks.tail` started."""
    role = next((role for role in WORK if role in sys.orig_argv), "")
    if PREFIX and role and "offer_optimizer.app.child" in sys.orig_argv:
        recorder = Recorder(role)
        gc.callbacks.append(recorder.collection)
        threading.Thread(target=recorder.attach, args=(role,), name="recorder", daemon=True).start()


begin()
