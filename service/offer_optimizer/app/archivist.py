"""Starts the redaction of the archive beside the learner, one child at a time."""

from __future__ import annotations

import subprocess
import sys

from offer_optimizer.core.redaction import Redaction, encode_redaction
from offer_optimizer.store.layout import DataDirectory


class ChildArchivist:
    """Implements learn.erase.Archivist."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, redaction: Redaction) -> None:
        """See Archivist."""
        command = [sys.executable, "-m", "offer_optimizer.app.erasing", "--data", str(self._directory.path)]
        child = self._child = subprocess.Popen(command, stdin=subprocess.PIPE)
        if child.stdin is not None:
            child.stdin.write(encode_redaction(redaction))
            child.stdin.close()

    def poll(self) -> int | None:
        """See Archivist."""
        status = self._child.poll() if self._child is not None else None
        if status is not None:
            self._child = None
        return status

    def close(self) -> None:
        """End the child: what it left undone is done by the next."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._child = None
