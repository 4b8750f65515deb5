"""A backup taken under load has everything that was answered before it began, and a server starts on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from offer_optimizer.core.errors import CannotStart
from offer_optimizer.core.ids import parse_decision_id
from offer_optimizer.store.backup import PINS, back_up
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from tests.conftest import REPOSITORY, Size
from tests.crash.answered_load import AnsweredLoad
from tests.running_service import RunningService

EXAMPLE = REPOSITORY / "examples" / "catalog.yaml"
LIMIT_S = 20.0


def test_a_backup_under_load_has_all_that_was_answered_before_it_and_is_served(
    tmp_path: Path, size: Size, figure: Callable[[str], None]
) -> None:
    """The service goes on meanwhile; the copy holds against `rebuild --check`."""
    service = RunningService(tmp_path / "data", EXAMPLE)
    copies: dict[Path, set[bytes]] = {}
    try:
        service.start()
        load = AnsweredLoad(service.target, "home-hero", seed=1, threads=2)
        load.start()
        for number in range(size.pick(test=1, ci=2, proof=10)):
            time.sleep(1.5)
            before = {parse_decision_id(text, "decision_id") for text in tuple(load.decisions)}
            copy = tmp_path / f"copy-{number}"
            done = service.run_command("backup", "--data", str(service.directory), "--to", str(copy))
            assert done.returncode == 0, done.stderr
            assert not (service.directory / PINS).exists()
            copies[copy] = before
        load.stop()
        assert load.failures == 0
        assert service.stop() == 0
    finally:
        service.end()
    # Not under the load: it would only slow down what is looked at here.
    for copy, before in copies.items():
        _check_served(copy, before)
    answered = sum(map(len, copies.values()))
    figure(f"backups under load: {answered} decisions answered before, all in the copies, which were served")


def _check_served(copy: Path, answered: set[bytes]) -> None:
    restored = RunningService(copy, EXAMPLE)
    try:
        restored.start()
        deadline_s = time.monotonic() + LIMIT_S
        while lost := _lost(copy, answered):
            assert time.monotonic() < deadline_s, (
                f"{len(lost)} of {len(answered)} decisions are not in the copy"
            )
            time.sleep(0.1)
        assert restored.check_rebuild()
        assert restored.stop() == 0
    finally:
        restored.end()


def _lost(copy: Path, answered: set[bytes]) -> set[bytes]:
    ledger = Ledger.open_for_reading(DataDirectory(copy).ledger_path)
    try:
        return {decision for decision in answered if ledger.find_decision(decision) is None}
    finally:
        ledger.connection.close()


def test_a_backup_refuses_what_is_no_data_directory_and_what_is_in_use(tmp_path: Path) -> None:
    """Nothing is overwritten, and nothing is copied into itself."""
    files, source = Files(), DataDirectory(tmp_path / "data")
    with pytest.raises(CannotStart, match="is not a data directory"):
        back_up(files, source, tmp_path / "copy")
    source.prepare(files)
    with pytest.raises(CannotStart, match="lies in the data directory itself"):
        back_up(files, source, source.path / "copy")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(CannotStart, match="not an empty directory"):
        back_up(files, source, tmp_path / "full")
    lock = files.hold(source.retention_lock_path, b"", "retention.lock")
    assert lock is not None
    with pytest.raises(CannotStart, match="try again later"):
        back_up(files, source, tmp_path / "copy")
    files.close(lock)
