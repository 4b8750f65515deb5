"""How a child process lives: it beats, says when it is ready, and learns when to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.store.writer_cells import WriterCells

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 0.25
DRAIN_LEAD_S: Final = 0.25
"""How long a decider that is not ready any more still serves: who watches that turns elsewhere meanwhile."""
DRAIN_GRACE_S: Final = 5.0
ORPHAN_GRACE_S: Final = 1.0
ORPHAN_LIMIT_S: Final = 1.8
"""A child whose supervisor died is gone by then, whatever it is doing."""


class Life:
    """How a child process lives: it beats, says when it is ready, and learns when to stop."""

    def __init__(self, cells: WriterCells, liveness_fd: int, ready_fd: int) -> None:
        self._cells = cells
        self._liveness_fd = liveness_fd
        self._ready_fd = ready_fd
        self.stop = threading.Event()
        self.is_orphan = False

    def begin(self) -> None:
        """Start beating and watching."""
        signal.signal(signal.SIGTERM, lambda _signal, _frame: self.stop.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        threading.Thread(target=self._watch, name="liveness", daemon=True).start()

    def say_ready(self) -> None:
        """Tell the supervisor."""
        os.write(self._ready_fd, b"ready")
        os.close(self._ready_fd)

    @property
    def grace_s(self) -> float:
        """How long running calls may take to end."""
        return ORPHAN_GRACE_S if self.is_orphan else DRAIN_GRACE_S

    @property
    def lead_s(self) -> float:
        """How long to serve on after readiness went off; an orphan has no time for that."""
        return 0.0 if self.is_orphan else DRAIN_LEAD_S

    def _beat(self) -> None:
        while True:
            self._cells.beat(time.monotonic_ns())
            time.sleep(HEARTBEAT_S)

    def _watch(self) -> None:
        while os.read(self._liveness_fd, 1):
            pass
        self.is_orphan = True
        self.stop.set()
        time.sleep(ORPHAN_LIMIT_S)
        os._exit(1)


def every(seconds: float, stop: threading.Event, work: Callable[[], None], name: str) -> threading.Thread:
    """Run `work` in a thread every so often until `stop`; an error we know is logged once; work goes on."""

    def loop() -> None:
        complaint = ""
        while not stop.wait(seconds):
            try:
                work()
                complaint = ""
            except OfferOptimizerError as error:
                if str(error) != complaint:
                    log.error("background_work_failed", work=name, error=str(error), effect="tried again")
                complaint = str(error)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()
    return thread
