"""Short runs are compared with short ones, under tolerances that come from how much those differed."""

from __future__ import annotations

import pytest

from benchmarks import question
from benchmarks.__main__ import ENTRIES
from benchmarks.question import Figure

SHORT = [entry.name for entry in ENTRIES if entry.in_short]
FEWEST = 5
LEAST_TOLERANCE = 0.3
"""So much may be allowed however little the runs differed: continuous integration has busier neighbours."""


def kept(name: str) -> list[Figure]:
    """Return the figures of a benchmark's kept short runs."""
    (file,) = question.kept_files(question.RESULTS, name, "plain", is_short=True)
    return question.read(file)


@pytest.mark.parametrize("name", SHORT)
def test_every_short_benchmark_has_a_baseline_of_several_short_runs(name: str) -> None:
    compared = [figure for figure in kept(name) if figure.tolerance is not None]
    assert compared
    for figure in compared:
        assert len(figure.runs) >= FEWEST, figure.text
        assert min(figure.runs) <= figure.measured <= max(figure.runs)


@pytest.mark.parametrize("name", SHORT)
def test_a_tolerance_allows_for_what_kept_runs_differed_by_and_for_no_loss_that_matters(name: str) -> None:
    for figure in kept(name):
        if figure.tolerance is None:
            continue
        runs = [Figure(figure.text, value, at_least=figure.at_least) for value in figure.runs]
        worst = max(run.loss(figure.measured) for run in runs)
        assert worst <= figure.tolerance, f"{figure.text}: runs differ by {worst:.0%}"
        assert figure.tolerance <= max(LEAST_TOLERANCE, 3.0 * worst), f"{figure.text}: {worst:.0%} would do"


def test_runs_are_merged_into_their_medians_with_all_of_them_beside() -> None:
    contents = [
        {"name": "x", "figures": [{"text": "speed", "measured": value}, {"text": "told", "measured": 1.0}]}
        for value in (3.0, 1.0, 2.0)
    ]
    found = question.figures_of(question.merge(contents))
    assert [(one.text, one.measured, list(one.runs)) for one in found] == [
        ("speed", 2.0, [3.0, 1.0, 2.0]),
        ("told", 1.0, [1.0, 1.0, 1.0]),
    ]
