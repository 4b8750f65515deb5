"""`offer-optimizer replay` as a build uses it: one JSON object, an exit status, a report of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from offer_optimizer.cli.main import build_app

CSV = ("--format", "csv", "--action", "shown", "--reward", "won", "--propensity", "1/2", "--context", "x")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chance = np.random.default_rng(8)
    path = tmp_path_factory.mktemp("log") / "<test>.csv"
    lines = ["shown,won,x,who"]
    for row in range(1500):
        shown = int(chance.integers(0, 2))
        won = int(chance.random() < (0.5 if shown else 0.2))
        lines.append(f"{'<b>' if shown else 'plain & old'},{won},{row % 7},v{row % 600}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["replay", str(log), *CSV, *arguments])


def test_json_is_one_object_of_the_promised_shape(log: Path) -> None:
    done = run(log, "--policy", "always:<b>", "--policy", "always:nobody", "--visitor", "who", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert list(found) == ["rows", "policies"]
    assert found["rows"] == 1500
    good, refused = found["policies"]["always:<b>"], found["policies"]["always:nobody"]
    assert list(good) == ["ess", "max_weight", "unsupported_share", "refused", "estimates"]
    assert list(good["estimates"]) == ["ips", "snips", "dr"]
    assert good["refused"] is None
    assert good["estimates"]["ips"]["low"] < good["estimates"]["ips"]["value"]
    assert refused["unsupported_share"] == 1.0
    assert "no offer 'nobody'" in refused["refused"]
    assert refused["estimates"]["ips"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("gate", "status", "word"),
    [
        ("always:<b> - always:plain & old > 0.1", 0, "holds"),
        ('"always:plain & old" - P1 > 0', 1, "DOES NOT HOLD"),
        ("P1 > 0.1", 0, "holds"),
        ("P1 > 0.9", 1, "DOES NOT HOLD"),
        ("P3 > 0.1", 2, "REFUSED"),
        ("P1 - P3 > 0.1", 2, "REFUSED"),
        ("P1 ~ 3", 2, "gate:"),
    ],
    ids=["holds", "fails", "one-holds", "one-fails", "refused", "half-refused", "unreadable"],
)
def test_a_gate_sets_the_exit_status(log: Path, gate: str, status: int, word: str) -> None:
    policies = ("always:<b>", "always:plain & old", "always:nobody")
    arguments = [part for policy in policies for part in ("--policy", policy)]
    done = run(log, *arguments, "--estimator", "snips", "--gate", gate)
    assert done.exit_code == status
    assert word in done.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--policy", "alway:x"), "did you mean"),
        (("--policy", "uniform", "--estimator", "mips"), "mips"),
        (("--policy", "uniform", "--interval", "exact"), "exact"),
        (("--policy", "uniform", "--reward-range", "much"), "LOW,HIGH"),
        (("--policy", "uniform", "--html", "/nowhere/at/all.html"), "can't be written"),
        (("--policy", "cel:context.y > 1.0 && 'a'"), "policy cel"),
        (("--policy", "uniform", "--interval", "empirical-bernstein", "--gate", "P1 > 0"), "REFUSED"),
    ],
    ids=["policy", "estimator", "interval", "range", "html", "cel", "bounds"],
)
def test_what_can_t_be_answered_is_status_2(log: Path, arguments: tuple[str, ...], problem: str) -> None:
    done = run(log, *arguments)
    assert done.exit_code == 2
    assert problem in done.output


def test_the_table_tells_what_was_assumed(log: Path) -> None:
    done = run(log, "--policy", "uniform", "--policy", "vw:bits=10")
    assert "1,500 rows" in done.stdout
    assert "each counts as a visitor of its own" in done.stdout
    assert "Judged progressively" in done.stdout


def test_with_json_the_notes_stay_on_the_other_stream(log: Path) -> None:
    done = run(log, "--policy", "uniform", "--json")
    assert json.loads(done.stdout)["rows"] == 1500
    assert "each counts as a visitor of its own" in done.stderr


def test_a_gate_by_cut_weights_takes_their_bias_off(log: Path, tmp_path: Path) -> None:
    """The interval of dros begins above 0.45; the policy may be worth less by the bias bound."""
    report = tmp_path / "report.html"
    done = run(
        log, "--policy", "always:<b>", *("--estimator", "dros", "--gate", "P1 > 0.45", "--html", str(report))
    )
    assert done.exit_code == 1
    assert "for cut weights taken off" in done.output
    assert "off by up to 0." in report.read_text(encoding="utf-8")


def test_a_forced_gate_is_marked(log: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    few = tmp_path / "few.csv"
    few.write_text("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[:301]), encoding="utf-8")
    arguments = ("--policy", "always:<b>", "--gate", "P1 > 0", "--html", str(report))
    assert run(few, *arguments).exit_code == 2
    done = run(few, *arguments, "--force")
    assert done.exit_code == 0
    assert "holds, the lower end" in done.output
    assert "FORCED although 300 visitors" in done.output
    assert "forced although 300 visitors" in report.read_text(encoding="utf-8")


def test_what_a_guaranteed_interval_rests_on_is_said(log: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    options = ("--interval", "empirical-bernstein", "--reward-range", "0,1", "--html", str(report))
    done = run(log, "--policy", "always:<b>", "--visitor", "who", *options)
    assert (
        "ips, snips by rewards in [0, 1] as stated; at most 3 decisions a visitor, the most seen"
        in done.stdout
    )
    text = report.read_text(encoding="utf-8")
    assert "the most seen; weights up to 2, " in text
    assert "figures of dr are withheld" in text


def test_the_report_stands_alone_and_escapes_what_it_is_given(log: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    run(
        log,
        *("--policy", "always:<b>", "--policy", "always:nobody", "--policy", "vw:bits=10"),
        *("--gate", "P1 - P3 > 0", "--html", str(report), "--interval", "bootstrap"),
    )
    text = report.read_text(encoding="utf-8")
    assert "<b>.csv" not in text
    assert "always:&lt;b&gt;" in text
    assert not re.search(r"<script|<link|<img|<iframe|@import|https?://|url\(", text)
    for words in (
        "figures are withheld",
        "Learning on the log",
        "What this assumes",
        "bootstrap intervals",
        "The gate",
    ):
        assert words in text
    assert text.count("<svg") == text.count("</svg>") >= 4
