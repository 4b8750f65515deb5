"""The screen of `status`: alarms first, each with cause and remedy, then a few lines for each placement."""

from __future__ import annotations

import io

from rich.console import Console

from offer_optimizer.cli.status_text import loop_sentences, placement_lines, print_status, show_s
from offer_optimizer.evaluate.alarms import ADVICE
from offer_optimizer.store.rollup_tables import Measure
from tests.unit.evaluate.health_worlds import health, rollups


def screen(found: dict[str, object]) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_status(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_healthy_loop_says_so_first() -> None:
    lines = screen(health(rollups()).to_dict()).splitlines()
    assert lines[0] == "All is well."
    assert "home, the last 24 hours" in lines
    assert any(line.split()[:2] == ["decisions", "23,000,"] for line in lines)


def test_alarms_come_first_with_cause_and_remedy() -> None:
    text = screen(health(rollups({(Measure.FEEDBACK, "INVALID (other)"): 60})).to_dict())
    lines = text.splitlines()
    assert lines[:2] == ["1 alarm", "invalid_feedback  home"]
    assert lines[2].startswith("  360 of 5,490 items of feedback")
    assert f"  Likely cause: {ADVICE['invalid_feedback'].likely_cause}" in lines
    assert f"  What to do: {ADVICE['invalid_feedback'].remedy}" in lines


def test_names_are_printed_as_they_are() -> None:
    found = health(rollups()).to_dict()
    found["placements"][0]["placement"] = "[bold]home"
    assert "[bold]home" in screen(found)


def test_a_loop_that_is_behind_or_asleep_is_described() -> None:
    found = health([]).to_dict() | {"learner_lag_s": 90.0, "ledger_time_us": 0, "unknown_count": 4}
    assert " ".join(loop_sentences(found)) == (
        "The learner is 90 s behind. 4 items name a decision that nobody knows."
    )


def test_what_is_not_known_is_a_dash_and_what_is_steered_is_said() -> None:
    (item,) = health([], published_us=None, frozen_since_us=1, learn_probability=0.25).to_dict()["placements"]
    said = dict(placement_lines(item))
    assert said["answered"] == "– of decisions; – of feedback was late"
    assert said["reward"] == "– a decision"
    assert said["model"].endswith("frozen, silence learned with probability 0.25")


def test_lengths_of_time_are_short() -> None:
    assert [show_s(s) for s in (0.25, 90.0, 150.0, 7200.0, 200_000.0)] == [
        "0.25 s", "90 s", "2.5 min", "2 h", "2.31 d",
    ]  # fmt: skip
