"""The data directory that tests of damage begin with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from offer_optimizer.store.layout import DataDirectory
from tests.crash.damaged import VISITS, WAITING
from tests.crash.small_service import with_history


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one, once: a history that is in the ledger, and a little that waits for it."""
    path = tmp_path_factory.mktemp("made") / "data"
    with_history(path, VISITS, WAITING)
    return path


@pytest.fixture
def data(made: Path, tmp_path: Path) -> DataDirectory:
    """Copy it."""
    shutil.copytree(made, tmp_path / "data")
    return DataDirectory(tmp_path / "data")
