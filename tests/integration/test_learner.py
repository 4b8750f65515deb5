"""Learning with real processes and a real disk: the verifier, a ledger file, and equal answers everywhere."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from offer_optimizer.core.errors import CannotStart, PolicyFault
from offer_optimizer.learn.publish import CANARY_CONTEXT
from offer_optimizer.learn.trainer import initial_model
from offer_optimizer.learn.verifier import ChildVerifier
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import Epoch, Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction
from tests.conftest import REPOSITORY
from tests.unit.learn.worlds import OFFERS, PLACEMENT, counted_entropy, placement

ACTIONS = tuple(Action(offer.id, offer.attributes) for offer in OFFERS)


def stored_epoch() -> Epoch:
    epoch = epoch_of(placement())
    return Epoch(PLACEMENT, 1, epoch.id, epoch.description)


def child_environment(hash_seed: str) -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY / "service"), str(REPOSITORY)])
    return os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}


def test_the_same_request_gives_the_same_bytes_and_pmf_in_every_process() -> None:
    """Another hash seed, another order of insertion: the stored decision, the pmf and the model are equal."""
    children = [
        subprocess.Popen(
            [sys.executable, "tests/integration/same_decision.py", seed],
            cwd=REPOSITORY,
            env=child_environment(seed),
            stdout=subprocess.PIPE,
        )
        for seed in ("1", "22", "333")
    ]
    answers = [json.loads(child.communicate()[0]) for child in children]
    assert answers[0] == answers[1] == answers[2]
    record, pmf, _ = answers[0]
    assert len(record) > 200
    assert len(set(pmf)) == 6


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildVerifier]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "service"))
    made = ChildVerifier()
    yield made
    made.close()


def test_a_saved_model_answers_the_same_in_the_verifier(verifier: ChildVerifier) -> None:
    model = initial_model(stored_epoch())
    own = model.policy.pmf(CANARY_CONTEXT, ACTIONS)
    for _ in range(2):
        found = verifier.canary_pmf(stored_epoch(), model.policy.save(), ACTIONS)
        np.testing.assert_array_equal(found, own)


def test_a_state_that_does_not_load_is_a_fault_and_the_next_one_is_verified(verifier: ChildVerifier) -> None:
    state = initial_model(stored_epoch()).policy.save()
    header = state.partition(b"\n")[0]
    for bad in (b"", b"garbage", header + b"\n" + b"\0" * 100, header + b"\n"):
        with pytest.raises(PolicyFault):
            verifier.canary_pmf(stored_epoch(), bad, ACTIONS)
    assert len(verifier.canary_pmf(stored_epoch(), state, ACTIONS)) == 3


def test_a_verifier_that_was_killed_is_started_again(verifier: ChildVerifier) -> None:
    state = initial_model(stored_epoch()).policy.save()
    verifier.canary_pmf(stored_epoch(), state, ACTIONS)
    assert verifier._child is not None
    verifier._child.kill()
    verifier._child.wait()
    assert len(verifier.canary_pmf(stored_epoch(), state, ACTIONS)) == 3


def test_a_ledger_is_read_beside_its_writer_and_only_what_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writer = Ledger.open_for_writing(path, counted_entropy())
    writer.append_body(Tick(1))
    reader = Ledger.open_for_reading(path)
    with transaction(writer.connection):
        writer.append_body(Tick(2))
        assert reader.last_position() == 1
    assert reader.last_position() == 2
    with pytest.raises(sqlite3.OperationalError):
        reader.append_body(Tick(3))


def test_a_ledger_of_a_newer_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
        connection.execute("INSERT INTO meta VALUES ('format_version', 99)")
    with pytest.raises(CannotStart, match="format 99"):
        Ledger.open_for_writing(path, counted_entropy())
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("meta",)]


def test_a_ledger_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="there is no ledger"):
        Ledger.open_for_reading(tmp_path / "ledger.sqlite")


def test_a_process_killed_inside_a_transaction_leaves_none_of_it(tmp_path: Path) -> None:
    """Rows, offsets and the fold's position are one."""
    path = tmp_path / "ledger.sqlite"
    program = f"""
import os
from pathlib import Path
from offer_optimizer.store.codec import Tick
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction
ledger = Ledger.open_for_writing(Path({str(path)!r}), os.urandom)
tables = FoldTables.create(ledger.connection)
with transaction(ledger.connection):
    ledger.append_body(Tick(1))
    ledger.set_segment_offset("s", 10)
    tables.set_state("position", 1)
with transaction(ledger.connection):
    ledger.append_body(Tick(2))
    ledger.set_segment_offset("s", 20)
    tables.set_state("position", 2)
    os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], env=child_environment("0"), check=False)
    ledger = Ledger.open_for_writing(path, counted_entropy())
    found = (
        ledger.last_position(),
        ledger.segment_offsets(),
        FoldTables.create(ledger.connection).state("position"),
    )
    assert found == (1, {"s": 10}, 1)
