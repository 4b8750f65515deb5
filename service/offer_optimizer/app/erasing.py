"""The child process that takes a visitor out of the archive: `python -m offer_optimizer.app.erasing`.

Whom, and under which secret, it hears on standard input: arguments can be seen by others. On standard output
it says which decisions were theirs. It may die at any moment; the learner starts it again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from offer_optimizer.app.logs import configure_logging
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.core.redaction import decode_redaction, encode_decisions
from offer_optimizer.learn.erase_archive import erase_archived
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory

log = structlog.get_logger(__name__)

_NICE: Final = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Redact the archive once; return the exit status."""
    parser = argparse.ArgumentParser(prog="offer_optimizer.app.erasing")
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args(arguments)
    configure_logging()
    os.nice(_NICE)
    redaction = decode_redaction(sys.stdin.buffer.read())
    try:
        decisions = erase_archived(Files(), DataDirectory(options.data), redaction)
    except OfferOptimizerError as error:
        log.error("archive_not_redacted", error=str(error), effect="tried again")
        return 1
    log.info("archive_redacted", decisions=len(decisions))
    sys.stdout.buffer.write(encode_decisions(decisions))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
