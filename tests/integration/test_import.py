"""Beginning a data directory with a foreign log: everything works on it, or nothing is made."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from offer_optimizer.app.importing import import_history
from offer_optimizer.cli.main import build_app
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import CannotStart, InvalidInput, OfferOptimizerError
from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from offer_optimizer.evaluate.reading import read_log
from offer_optimizer.evaluate.report import report
from offer_optimizer.evaluate.verify import verify
from offer_optimizer.learn.rebuild import Rebuilt
from offer_optimizer.store.codec import Epoch
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.snapshots import SnapshotStore

CATALOG: Final = """
version: 1
offers:
  - {id: mug, type: MESSAGE}
  - {id: pen, type: COUPON, attributes: {cost: 0.5}}
  - {id: nothing, type: NOTHING}
caps:
  - {id: once, limit: 1, interruptions: true}
placements:
  - id: home
    offers: [nothing, pen, mug]
    baseline: [nothing]
    window: 10m
    policy: {name: vw, options: {bits: 12}}
    reward: {formula: sum.conversion, min: 0.0, max: 2.0, default: 0.0}
"""


def write_log(path: Path, count: int = 300, **changes: Any) -> Path:  # noqa: ANN401  (any JSON)
    """Write events of 30 visitors over two offers in the order of the log; the pen is worth 1.5."""
    chance = random.Random(2)
    lines = []
    for at in range(count):
        chosen = int(chance.random() < 0.75)
        event = {
            "_label_cost": -1.5 if chosen and chance.random() < 0.5 else 0.0,
            "_label_probability": 0.75 if chosen else 0.25,
            "_label_Action": chosen + 1,
            "_labelIndex": chosen,
            "Timestamp": f"2024-03-01T{at // 60:02d}:{at % 60:02d}:00Z",
            "c": {"u": {"id": f"v{at % 30}", "x": at % 7}, "_multi": [{"_tag": "mug"}, {"_tag": "pen"}]},
        }
        lines.append(json.dumps(event | changes))
    path.write_text("\n".join(lines))
    return path


def test_history_is_learned_reported_rebuilt_and_verified(tmp_path: Path) -> None:
    log = read_log(write_log(tmp_path / "log.json"), visitor="u.id")
    imported = import_history(log, tmp_path / "data", "home", CATALOG, "conversion")
    assert (imported.counts.imported, imported.learned_count, imported.open_count) == (300, 300, 0)
    directory = DataDirectory(tmp_path / "data")
    ledger = Ledger.open_for_reading(directory.ledger_path)
    (snapshot,) = [
        found
        for _, found in SnapshotStore(Files(), directory.snapshots).readable("home", epoch_of_home(ledger))
    ]
    rebuilt = Rebuilt(ledger, ledger.last_position(), lambda _done, _all: None)
    assert rebuilt.compare(snapshot).is_equal
    assert rebuilt.differing_rows(FoldTables(ledger.connection)) == []
    rebuilt.close()
    verification = verify(ledger)
    assert verification.is_clean()
    assert verification.imported_count == 300
    (theirs,), (ours,) = log.batches(), LedgerRowsLog(ledger, "home").batches()
    assert ours.reward.tolist() == theirs.reward.tolist()
    assert ours.propensity.tolist() == theirs.propensity.tolist()
    assert ours.time_us.tolist() == theirs.time_us.tolist()
    assert ours.pmf is None
    assert report(ledger, "home", 0, 2**60).decision_count == 300


def epoch_of_home(ledger: Ledger) -> bytes:
    bodies = (record.body() for record in ledger.rare_records(ledger.last_position()))
    return next(body.policy_epoch for body in bodies if isinstance(body, Epoch))


def test_visitors_are_who_they_will_be_and_caps_do_not_know_what_was_shown(tmp_path: Path) -> None:
    log = read_log(write_log(tmp_path / "log.json"), visitor="u.id")
    sticky = CATALOG.replace("    window: 10m", "    window: 10m\n    sticky_for: 10m")
    import_history(log, tmp_path / "data", "home", sticky, "conversion")
    directory = DataDirectory(tmp_path / "data")
    ledger = Ledger.open_for_reading(directory.ledger_path)
    key = ledger.known_visitor_key(Identity.load(Files(), directory.secret_path).digest("v3"))
    assert key is not None
    records = [record for record in ledger.records() if record.visitor_key == key]
    bodies = [body for record in records if isinstance(body := record.body(), Decision)]
    assert len(bodies) == 10
    assert all(body.imported and body.excluded_by_caller == ("nothing",) for body in bodies)
    # The log kept the chosen offer's probability alone; the pen, with 0.75, comes first in the placement.
    assert {tuple(body.slots[0].pmf.tolist()) for body in bodies} == {(0.75, 0.25)}
    tables = ledger.connection.execute("SELECT name FROM sqlite_master WHERE name LIKE '%counter'").fetchall()
    assert {name for (name,) in tables} == {"counter", "visitor_counter"}
    for (table,) in tables:
        assert ledger.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,), table  # noqa: S608


def test_a_pmf_that_was_logged_is_kept_in_the_order_of_the_placement(tmp_path: Path) -> None:
    three = [{"_tag": "mug"}, {"_tag": "nothing"}, {"_tag": "pen"}]
    changes = {"c": {"_multi": three}, "a": [1, 2, 3], "p": [0.75, 0.0625, 0.1875], "_labelIndex": 0}
    log = read_log(write_log(tmp_path / "log.json", 1, **changes, _label_probability=0.75))
    import_history(log, tmp_path / "data", "home", CATALOG, "conversion")
    ledger = Ledger.open_for_reading(DataDirectory(tmp_path / "data").ledger_path)
    (body,) = [body for record in ledger.records() if isinstance(body := record.body(), Decision)]
    assert body.slots[0].pmf.tolist() == [0.0625, 0.1875, 0.75]
    assert (body.slots[0].chosen, body.slots[0].propensity, body.excluded) == (2, 0.75, ())


@pytest.mark.parametrize(
    ("changes", "catalog", "kind", "problem"),
    [
        (
            {"c": {"_multi": [{"_tag": "mug"}, {"_tag": "hat"}]}},
            CATALOG,
            "conversion",
            "offer 'hat', which placement",
        ),
        ({}, CATALOG, "click", "makes 0 of feedback click with the value 1.5"),
        ({}, CATALOG.replace("max: 2.0", "max: 1.0"), "conversion", "makes 1 of feedback conversion"),
        (
            {},
            CATALOG.replace("id: home", "id: shop"),
            "conversion",
            "placement: 'home' is not in the catalog",
        ),
        ({}, CATALOG.replace("NOTHING", "NONE"), "conversion", "NONE"),
        ({"Timestamp": "2999-01-01"}, CATALOG, "conversion", "has no row that can be imported"),
    ],
    ids=["offer", "kind", "range", "placement", "catalog", "future"],
)
def test_what_does_not_fit_together_makes_nothing(
    tmp_path: Path, changes: dict[str, Any], catalog: str, kind: str, problem: str
) -> None:
    log = read_log(write_log(tmp_path / "log.json", 60, **changes))
    with pytest.raises(OfferOptimizerError, match=problem):
        import_history(log, tmp_path / "data", "home", catalog, kind)
    assert [path.name for path in tmp_path.iterdir()] == ["log.json"]


def test_a_directory_in_use_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("x")
    log = read_log(write_log(tmp_path / "log.json", 10))
    with pytest.raises(CannotStart, match="is not empty: history can only begin a data directory"):
        import_history(log, tmp_path / "data", "home", CATALOG, "conversion")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    log, data = write_log(tmp_path / "log.json"), tmp_path / "data"
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    with log.open("a") as file:
        file.write("\n{")
    done = run("import", log, "--data", data, "--placement", "home", "--catalog", tmp_path / "catalog.yaml")
    assert done.exit_code == 0, done.output
    assert "300 decisions imported" in done.output
    assert "line 301: " in done.output
    done = run(
        "export", data, "--placement", "home", "--as", "dsjson", "--lessons", "--to", tmp_path / "x.json"
    )
    assert done.exit_code == 0, done.output
    assert "300 rows written" in done.output
    assert "vw --dsjson --cb_explore_adf --cb_type mtr --squarecb" in done.output
    since = ("--from", "2026-01-01T00:00:00Z", "--to", tmp_path / "z.json")
    done = run("export", data, "--placement", "home", "--as", "dsjson", "--lessons", *since)
    assert (done.exit_code, "numbers are standardised" in done.output) == (1, True)
    done = run("export", data, "--placement", "home", "--as", "obp", "--to", tmp_path / "x.json")
    assert (done.exit_code, "exists: choose another name" in done.output) == (1, True)
    done = run("export", log, "--as", "dsjson", "--lessons", "--to", tmp_path / "y.json")
    assert (done.exit_code, "is for ledgers" in done.output) == (1, True)
    assert not (tmp_path / "y.json").exists()


def test_a_row_beyond_the_limits_of_requests_is_refused_and_counted(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.json", 5)
    wide = json.loads(path.read_text().splitlines()[0])
    wide["c"]["u"] = {f"f{at}": at for at in range(201)}
    path.write_text(path.read_text() + "\n" + json.dumps(wide))
    imported = import_history(read_log(path), tmp_path / "data", "home", CATALOG, "conversion")
    assert (imported.counts.imported, imported.counts.refused) == (5, 1)
    assert "201 features, at most 200" in imported.counts.kept[0].problem
    with pytest.raises(InvalidInput, match="needed to read ledger"):
        read_log(tmp_path / "data")
