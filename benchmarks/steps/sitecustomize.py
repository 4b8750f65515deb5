"""A recorder of what a decision's steps cost, for `benchmarks.call_steps`: Python loads it from its path.

Four times a second it writes one JSON file: how often each step ran and the CPU time of its thread in it, and
the names of the process's threads. What the recorder itself costs within a step is measured and written
beside. It changes nothing of what the process does, and the service knows nothing of it.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

FILE: Final = os.environ.get("OFFER_OPTIMIZER_STEPS", "")
STEPS: Final[dict[str, tuple[str, str, str]]] = {
    "door": ("offer_optimizer.api.queueing", "Door", "service"),
    "late": ("offer_optimizer.api.servicer", "", "refuse_late"),
    "parse": ("offer_optimizer.api.convert", "", "parse"),
    "validate": ("offer_optimizer.api.convert", "", "decide_input"),
    "decide": ("offer_optimizer.decide.runtime", "Runtime", "decide"),
    "draft": ("offer_optimizer.decide.draft", "Drafter", "draft"),
    "policy": ("offer_optimizer.policy.vw", "VwPolicy", "pmf"),
    "draw": ("offer_optimizer.decide.runtime", "Runtime", "_draw"),
    "record": ("offer_optimizer.store.recorders", "", "encode_decision"),
    "journal": ("offer_optimizer.store.segment_writer", "SegmentWriter", "append"),
    "reply": ("offer_optimizer.api.servicer", "", "decide_reply"),
}
"""By name: module, class (or none) and function. They are looked up at each call, so late is enough."""
WRITE_S: Final = 0.25
TRIALS: Final = 2000


class Step:
    """One step: how often, and how long in nanoseconds of its thread's CPU time. For any thread."""

    def __init__(self) -> None:
        self._took_ns: deque[int] = deque()
        self._count = self._total_ns = 0

    def watched(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same work, timed."""
        note, clock = self._took_ns.append, time.thread_time_ns

        @functools.wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (whatever the work takes and makes)
            began_ns = clock()
            try:
                return work(*arguments, **named)
            finally:
                note(clock() - began_ns)

        return timed

    def so_far(self) -> tuple[int, int]:
        """Return count and nanoseconds. For one thread."""
        while self._took_ns:
            self._total_ns += self._took_ns.popleft()
            self._count += 1
        return self._count, self._total_ns


def own_cost_ns() -> tuple[float, float]:
    """Return what watching adds: within the step itself, and to a step around it. The least of a few."""
    inside = around = float("inf")
    for _ in range(5):
        step = Step()
        empty = step.watched(lambda: None)
        began_ns = time.thread_time_ns()
        for _ in range(TRIALS):
            empty()
        around = min(around, (time.thread_time_ns() - began_ns) / TRIALS)
        count, total_ns = step.so_far()
        inside = min(inside, total_ns / count)
    return inside, around


def record() -> None:
    """Wait until the service has loaded what is watched, watch it, and write for ever."""
    while not all(module in sys.modules for module, _, _ in STEPS.values()):
        time.sleep(0.05)
    time.sleep(0.5)  # a module is there before its last line has run
    steps = {name: Step() for name in STEPS}
    for name, (module, owner_name, function) in STEPS.items():
        owner: Any = importlib.import_module(module)
        owner = getattr(owner, owner_name) if owner_name else owner
        setattr(owner, function, steps[name].watched(getattr(owner, function)))
    cost_ns = own_cost_ns()
    file = Path(FILE)
    while True:
        found = {
            "cost_ns": cost_ns,
            "steps": {name: step.so_far() for name, step in steps.items()},
            "threads": {thread.native_id: thread.name for thread in threading.enumerate()},
        }
        file.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
        file.with_suffix(".new").replace(file)
        time.sleep(WRITE_S)


if FILE and "decider" in sys.orig_argv and "offer_optimizer.app.child" in sys.orig_argv:
    threading.Thread(target=record, name="recorder", daemon=True).start()
