"""Retention beside the learner: a child process that archives days and makes the base snapshot.

Folding days takes minutes and memory that the learner has not: `python -m offer_optimizer.app.retention`. It
only reads the ledger, gives way to everybody else, and may die at any moment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from offer_optimizer.app.logs import configure_logging
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.learn.retention import CannotRetire, prepare
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory

log = structlog.get_logger(__name__)

_NICE: Final = 10


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare once; return the exit status."""
    parser = argparse.ArgumentParser(prog="offer_optimizer.app.retention")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--keep-days", type=int, required=True)
    options = parser.parse_args(arguments)
    configure_logging()
    os.nice(_NICE)
    try:
        done = prepare(
            Files(), DataDirectory(options.data), options.keep_days, lambda _stage, _done, _all: None
        )
    except CannotRetire as error:
        log.warning("retention_put_off", why=str(error))
        return 0
    except OfferOptimizerError as error:
        log.error("retention_not_prepared", error=str(error))
        return 1
    if done is not None:
        log.info("retention_prepared", position=done.position, archived=done.archived_count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
