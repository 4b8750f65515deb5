"""What tests of every tier share: sizes, the reference data, free ports, figures, hypothesis profiles.

One code, three sizes: `test` on every change, `ci` in continuous integration, `proof` for the full numbers.
A test reads its size from the fixture `size` and never from the environment.
"""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeVar

import hypothesis
import pytest
from _pytest.terminal import TerminalReporter

REPOSITORY: Final = Path(__file__).resolve().parent.parent
TIERS: Final = ("unit", "policies", "integration", "crash", "fuzz", "statistical", "acceptance")
SIZES: Final = ("test", "ci", "proof")

# Properties of a test's report: they travel from xdist's workers to the process that prints the summary.
NO_SHARED_DATA: Final = "no shared data"
FIGURE: Final = "figure"
TALLY: Final = "tally"

SizeName = Literal["test", "ci", "proof"]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Size:
    """How much a heavy test does."""

    name: SizeName

    def pick(self, *, test: Value, ci: Value, proof: Value) -> Value:
        """Return the value for this size."""
        return {"test": test, "ci": ci, "proof": proof}[self.name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --size and --figures."""
    group = parser.getgroup("offer optimizer")
    group.addoption("--size", choices=SIZES, default="test", help="how much heavy tests do (default: test)")
    group.addoption("--figures", type=Path, metavar="FILE", help="write measured figures to FILE, one a line")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the hypothesis profile of the size; at full size nothing is stopped for taking long."""
    name = config.getoption("size")
    # The same examples in every run, on every machine: a red build is red for everybody. Only the full
    # size searches afresh; what it finds becomes an @example.
    hypothesis.settings.register_profile(
        "test", derandomize=True, database=None, deadline=None, max_examples=50, print_blob=True
    )
    hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("test"), max_examples=200)
    hypothesis.settings.register_profile(
        "proof", derandomize=False, database=None, deadline=None, max_examples=200, print_blob=True
    )
    hypothesis.settings.load_profile(name)
    if name == "proof" and config.getoption("timeout", None) is None:
        config.option.timeout = 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its tier: the folder below tests/ that it lies in."""
    for item in items:
        tier = item.path.relative_to(REPOSITORY / "tests").parts[0]
        if tier in TIERS:
            item.add_marker(tier)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, and once how many tests had no reference data to look at."""
    properties = [
        (report.nodeid, key, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "teardown"
        for key, value in report.user_properties
    ]
    without_data = {nodeid for nodeid, key, _ in properties if key == NO_SHARED_DATA}
    figures = sorted(f"{value} ({nodeid})" for nodeid, key, value in properties if key == FIGURE)
    figures += added_up(str(value) for _, key, value in properties if key == TALLY)
    if figures:
        terminalreporter.write_sep("-", "figures")
        for figure in figures:
            terminalreporter.write_line(figure)
    file = config.getoption("figures")
    if file is not None:
        file.write_text("".join(f"{figure}\n" for figure in figures), encoding="utf-8")
    if without_data:
        terminalreporter.write_line(f"skipped, no shared data: {len(without_data)} test(s)")


def added_up(tallies: Iterable[str]) -> list[str]:
    """Return a sentence for each title: the sum of what all tests and workers counted under it."""
    totals: dict[str, Counter[str]] = {}
    for tally in tallies:
        title, counts = json.loads(tally)
        totals.setdefault(title, Counter()).update(counts)
    sentences = []
    for title, total in sorted(totals.items()):
        parts = ", ".join(f"{name} {count:,}" for name, count in total.most_common())
        sentences.append(f"{title}: {total.total():,}: {parts}")
    return sentences


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    """Return how much a heavy test does in this run."""
    return Size(request.config.getoption("size"))


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that puts a measured figure, as a sentence, into the summary of the run."""

    def record(sentence: str) -> None:
        request.node.user_properties.append((FIGURE, sentence))

    return record


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Callable[[str, Mapping[str, int]], None]:
    """Return a function that adds counts to those of other tests under the same title, for the summary."""

    def add(title: str, counts: Mapping[str, int]) -> None:
        request.node.user_properties.append((TALLY, json.dumps([title, counts])))

    return add


@pytest.fixture
def shared_data(request: pytest.FixtureRequest) -> Path | None:
    """Return the folder of reference data sets, or None where there is none: then return from the test.

    OFFER_OPTIMIZER_SHARED_DATA names it; otherwise it is shared/data beside the repository.
    """
    folder = find_shared_data()
    if folder is None:
        request.node.user_properties.append((NO_SHARED_DATA, True))
    return folder


def find_shared_data() -> Path | None:
    """Return the folder of reference data sets, if there is one. A named one has to exist."""
    named = os.environ.get("OFFER_OPTIMIZER_SHARED_DATA")
    if named:
        if not Path(named).is_dir():
            raise NotADirectoryError(f"OFFER_OPTIMIZER_SHARED_DATA: {named} is not a folder")
        return Path(named)
    beside = REPOSITORY.parent / "shared" / "data"
    return beside if beside.is_dir() else None


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that names a free port of 127.0.0.1.

    Somebody may take it before you do: where the service can choose (port 0), let it.
    """

    def find() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find
