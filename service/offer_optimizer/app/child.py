"""The entry of child processes: the supervisor runs `python -m offer_optimizer.app.child decider|learner`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from offer_optimizer.app.clocks import boot_id, entropy
from offer_optimizer.app.life import Life
from offer_optimizer.app.logs import configure_logging
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.writer_cells import WriterCells

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one child process."""
    parser = argparse.ArgumentParser(prog="offer_optimizer.app.child")
    parser.add_argument("role", choices=("decider", "learner"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--listen", default="")
    parser.add_argument("--journal-sync-ms", type=int, default=50)
    parser.add_argument("--keep-days", type=int)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--tls-client-ca", type=Path)
    parser.add_argument("--keys", type=Path)
    parser.add_argument("--reflection", action="store_true")
    parser.add_argument("--liveness-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args(arguments)
    # What is loaded stays: looking for garbage in it took a twentieth of a start. `calm_collector` begins it.
    gc.disable()
    configure_logging()
    files = Files()
    directory = DataDirectory(options.data)
    writer_id = entropy(8).hex()
    cells = WriterCells.create(files, directory.run, writer_id, os.getpid(), time.monotonic_ns())
    life = Life(cells, options.liveness_fd, options.ready_fd)
    life.begin()
    try:
        if options.role == "decider":
            from offer_optimizer.app.early_cache import EarlyCache  # noqa: PLC0415  (before all the rest)

            early = EarlyCache(directory.hot, directory.hot_lock_path, boot_id())
            from offer_optimizer.api.credentials import TlsFiles  # noqa: PLC0415
            from offer_optimizer.app.decider import Serving, run_decider  # noqa: PLC0415  (only this role needs gRPC)

            tls = (
                TlsFiles(options.tls_cert, options.tls_key, options.tls_client_ca)
                if options.tls_cert
                else None
            )
            sync_s = options.journal_sync_ms / 1000
            how = Serving(options.listen, sync_s, tls, options.keys, reflection=options.reflection)
            run_decider(files, directory, writer_id, cells, how, life, early)
        else:
            from offer_optimizer.app.learner import run_learner  # noqa: PLC0415  (only this role needs SQLite)

            run_learner(files, directory, life, options.keep_days)
    except OfferOptimizerError as error:
        log.error("process_failed", role=options.role, error=str(error))
        return 1
    cells.close()
    return 0


if __name__ == "__main__":
    # Native threads (gRPC's) may outlive the interpreter's shutdown: leave without it.
    status = main()
    sys.stderr.flush()
    os._exit(status)
