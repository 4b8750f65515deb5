"""What the documents show comes from a run, and the scripts that people copy work."""

from __future__ import annotations

import csv
import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from offer_optimizer.cli.main import build_app
from offer_optimizer.evaluate import compare, evaluate, read_log
from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
LOG = "examples/randomised_test.csv"
RULE = "cel:context.device == 'phone' ? 'coupon' : 'size-guide'"


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def blocks(path: str, language: str) -> list[str]:
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)\n```", text, flags=re.DOTALL)


def test_the_worked_example_is_what_a_run_prints() -> None:
    log = read_log(
        LOG,
        format="csv",
        action="offer",
        reward="click",
        propensity="propensity",
        context="device,cart_value",
        visitor="visitor",
    )
    shown = blocks("docs/evaluation.md", "text")
    assert shown[0] == str(evaluate(log, ["logged", "always:coupon", RULE]))
    assert shown[1] == str(compare(log, RULE, "always:coupon", estimators=["dr"]))


def test_the_readme_s_command_prints_what_it_shows() -> None:
    command = next(block for block in blocks("README.md", "sh") if "offer-optimizer replay" in block)
    arguments = shlex.split(command.replace("\\\n", " "))[1:]
    done = CliRunner().invoke(build_app(), arguments)
    assert done.exit_code == 0
    shown = next(block for block in blocks("README.md", "text") if LOG in block)
    printed = [line for line in done.stdout.splitlines() if not line.startswith("- ")]
    assert shown.splitlines() == [line for line in printed if line]


def test_the_example_s_log_is_what_its_script_makes(tmp_path: Path) -> None:
    script = tmp_path / "make_randomised_test.py"
    script.write_bytes((EXAMPLES / "make_randomised_test.py").read_bytes())
    runpy.run_path(str(script), run_name="__main__")
    made, kept = tmp_path / "randomised_test.csv", EXAMPLES / "randomised_test.csv"
    assert list(csv.reader(made.open())) == list(csv.reader(kept.open()))


def test_the_script_to_copy_works(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "replay.py"))["main"](LOG)
    assert "The rule is better than the coupon for all, with confidence." in capsys.readouterr().out


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    log = read_log(LOG, action="offer", reward="click", propensity="propensity", context="device")
    found = evaluate(log, [RULE, "always:nothing", "vw:bits=10"], estimators=["snips", "dm"])
    found.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
