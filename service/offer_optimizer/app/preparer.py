"""Starts retention beside the learner: folding days takes minutes and memory that the learner has not."""

from __future__ import annotations

import subprocess
import sys

from offer_optimizer.store.layout import DataDirectory


class ChildPreparer:
    """Implements learn.retire.Preparer with one child at a time."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, keep_days: int) -> None:
        """See Preparer."""
        arguments = ["--data", str(self._directory.path), "--keep-days", str(keep_days)]
        self._child = subprocess.Popen([sys.executable, "-m", "offer_optimizer.app.retention", *arguments])

    def poll(self) -> int | None:
        """See Preparer."""
        status = self._child.poll() if self._child is not None else None
        if status is not None:
            self._child = None
        return status

    def is_running(self) -> bool:
        """See Preparer."""
        return self._child is not None

    def close(self) -> None:
        """End the child: what it left unfinished is removed by the next."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._child = None
