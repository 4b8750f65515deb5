"""A light caller beside the load, twenty calls a second: what a page sees of an overload."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.counting import DEADLINE_S
from benchmarks.open_loop import connect
from benchmarks.setting import DECIDE, request_bytes

EVERY_S: Final = 0.05


@dataclass
class Seen:
    """What came back: statuses, and milliseconds from sending of those answered and of those refused."""

    codes: Counter[str] = field(default_factory=Counter)
    answered_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)

    def note(self, call: Any, start_s: float) -> None:  # noqa: ANN401
        """Note a call that ended. Called by one thread at a time."""
        took_ms, code = (time.perf_counter() - start_s) * 1e3, call.code().name
        self.codes[code] += 1
        if code == "OK":
            self.answered_ms.append(took_ms)
        elif code != "DEADLINE_EXCEEDED":
            self.refused_ms.append(took_ms)


class Probe:
    """Calls on time, whatever comes back, between `start` and `stop`; then `seen` is complete."""

    def __init__(self, target: str) -> None:
        self.seen = Seen()
        self._channels = connect(target, 1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe")

    def start(self) -> None:
        """Begin to call."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the last answers."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for channel in self._channels:
            channel.close()

    def _run(self) -> None:
        decide: Any = self._channels[0].unary_unary(DECIDE)
        request, due_s, calls = request_bytes(), time.perf_counter(), []
        while not self._stop.wait(max(due_s - time.perf_counter(), 0.0)):
            start_s = time.perf_counter()
            call = decide.future(request, timeout=DEADLINE_S)
            # All of a channel's calls end on one thread of its own.
            call.add_done_callback(lambda done, at=start_s: self.seen.note(done, at))
            calls.append(call)
            due_s += EVERY_S
        for call in calls:
            call.exception()
        time.sleep(EVERY_S)
