"""What a process must not load on its way to being ready: a module that takes a tenth of a second creeps in
by a single import, and deciders have two seconds after everything was killed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from offer_optimizer.cli.serve import _is_settled
from offer_optimizer.store.catalog_file import StoredCatalog, encode_revision_file, revision_name
from offer_optimizer.store.files import Files

NEVER = {"IPython", "matplotlib", "pandas", "pyarrow", "pytest", "scipy", "starlette", "unittest", "uvicorn"}
"""Nobody who starts needs these; unittest comes with numpy.testing, which comes with scipy."""
JUDGING = {
    f"offer_optimizer.evaluate.{name}" for name in ("estimate", "health", "replay", "report", "verify")
}
A_MODEL = (
    "from offer_optimizer.core.features import EMPTY\n"
    "from offer_optimizer.policy import registry\n"
    "from offer_optimizer.policy.contract import Action\n"
    "for name in ('linear', 'vw', 'thompson'):\n"
    "    model = registry.create(name, {}, ())\n"
    "    model.pmf(EMPTY, (Action('a', EMPTY), Action('b', EMPTY)))\n"
    "    registry.load(name, {}, (), model.save())\n"
)
STARTS = {
    "decider": (
        f"import offer_optimizer.app.child, offer_optimizer.app.decider\n{A_MODEL}",
        NEVER | JUDGING | {"typer"},
    ),
    "learner": (
        f"import offer_optimizer.app.child, offer_optimizer.app.learner\n{A_MODEL}",
        NEVER | JUDGING | {"grpc", "typer"},
    ),
    "serve": (
        "import offer_optimizer.cli.main, offer_optimizer.cli.serve",
        NEVER | {"cel_expr_python", "grpc", "lmdb", "numpy", "pydantic", "vowpalwabbit", "yaml"},
    ),
    "health": (
        "import offer_optimizer.cli.main, offer_optimizer.cli.health",
        NEVER | {"numpy", "pydantic", "sqlite3", "structlog", "vowpalwabbit", "yaml"},
    ),
    "trial of the hot cache": (
        "import offer_optimizer.store.hot_reading",
        NEVER | {"dataclasses", "google.protobuf", "numpy", "pathlib", "pydantic", "structlog", "subprocess"},
    ),
}


@pytest.mark.parametrize("process", STARTS)
def test_what_starts_does_not_load_what_it_does_not_need(process: str) -> None:
    code, forbidden = STARTS[process]
    found = f"{code}\nimport sys\nprint(*sorted(set({sorted(forbidden)!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", found], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_serve_settles_the_catalog_only_where_it_is_not_what_was_given(tmp_path: Path) -> None:
    files, given = Files(), tmp_path / "catalog.yaml"
    given.write_text("one", encoding="utf-8")
    assert not _is_settled(files, tmp_path, given), "there is none yet"
    content = encode_revision_file(StoredCatalog(1, 0, "one", "{}"))
    stored = tmp_path / revision_name(1)
    stored.write_bytes(content)
    assert _is_settled(files, tmp_path, given)
    assert _is_settled(files, tmp_path, None)
    assert not _is_settled(files, tmp_path, tmp_path / "missing.yaml")
    given.write_text("two", encoding="utf-8")
    assert not _is_settled(files, tmp_path, given)
    stored.write_bytes(content[:-1] + b"X")
    assert not _is_settled(files, tmp_path, None), "damaged: to be restored"
