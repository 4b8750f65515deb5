"""Starts the redaction of the archive beside the learner, one child at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from offer_optimizer.core.redaction import Redaction, decode_decisions, encode_redaction
from offer_optimizer.store.layout import DataDirectory


class ChildArchivist:
    """Implements learn.erase.Archivist."""

    def __init__(self, directory: DataDirectory) -> None:
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        self._answer = b""

    def start(self, redaction: Redaction) -> None:
        """See Archivist."""
        command = [sys.executable, "-m", "offer_optimizer.app.erasing", "--data", str(self._directory.path)]
        child = self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._answer = b""
        if child.stdin is not None:
            child.stdin.write(encode_redaction(redaction))
            child.stdin.close()
        if child.stdout is not None:
            os.set_blocking(child.stdout.fileno(), False)

    def poll(self) -> int | None:
        """See Archivist."""
        if self._child is None:
            return None
        status = self._child.poll()  # before reading: who has ended writes no more
        self._hear(self._child)
        if status is not None:
            self._let_go(self._child)
        return status

    def decisions(self) -> Mapping[bytes, int]:
        """See Archivist."""
        return decode_decisions(self._answer)

    def _hear(self, child: subprocess.Popen[bytes]) -> None:
        """Take what it has said so far: a full pipe would keep it from ending."""
        if child.stdout is not None:
            self._answer += child.stdout.read() or b""

    def _let_go(self, child: subprocess.Popen[bytes]) -> None:
        if child.stdout is not None:
            child.stdout.close()
        self._child = None

    def close(self) -> None:
        """End the child: what it left undone is done by the next."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._let_go(self._child)
