"""`offer-optimizer report` over a data directory on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from offer_optimizer.cli.main import build_app
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.sqlite import open_writer
from tests.unit.evaluate.ledgers import Shop
from tests.unit.learn.worlds import World


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory whose ledger has 20 decisions ten minutes apart, all windows closed."""
    shop = Shop(world=World(open_writer(DataDirectory(tmp_path).ledger_path)), step_us=600_000_000)
    for number in range(20):
        shop.decide(f"v{number}", number % 3, click=number % 2 == 0)
    shop.close()
    shop.world.connection.close()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["report", *arguments], env={"COLUMNS": "200"})


def test_every_placement_of_the_catalog_is_reported_in_sentences_and_a_table(data: Path) -> None:
    result = run("--data", str(data))
    assert result.exit_code == 0, result.output
    for words in ("home", "other", "20 decisions", "Reward a decision", "Uplift", "save5", "not causal"):
        assert words in result.output


def test_json_is_one_object_by_placement_and_since_cuts_the_range(data: Path) -> None:
    result = run("--data", str(data), "--placement", "home", "--since", "1h", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["placements"]
    assert list(found) == ["home"]
    assert found["home"]["decision_count"] == 6
    everything = json.loads(run("--data", str(data), "--since", "all", "--json").output)["placements"]
    assert {name: part["decision_count"] for name, part in everything.items()} == {"home": 20, "other": 0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--since", "week"), "--since: must be"), (("--placement", "nowhere"), "nowhere")],
)
def test_a_wrong_option_is_one_plain_line(data: Path, arguments: tuple[str, ...], words: str) -> None:
    result = run("--data", str(data), *arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output


def test_without_a_ledger_the_command_says_so(tmp_path: Path) -> None:
    result = run("--data", str(tmp_path))
    assert result.exit_code == 1
    assert "there is no ledger" in result.output
