"""Logging: one JSON object a line on stderr; never a visitor id, never a feature value.

A line that can't be written, for example to a file on a full disk, is dropped: no process ends over its log.
"""

from __future__ import annotations

import sys
from typing import TextIO

import structlog


class DroppingLogger:
    """Writes whole lines to a stream, and drops those that it does not take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write a line."""
        try:
            self._stream.write(message + "\n")
            self._stream.flush()
        except OSError:
            return

    log = debug = info = warning = warn = error = critical = fatal = exception = msg


def configure_logging() -> None:
    """Write one JSON object a line to stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_names: DroppingLogger(sys.stderr),
        cache_logger_on_first_use=True,
    )
