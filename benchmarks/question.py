"""What every benchmark answers with: figures, each with the limit of docs/design.md, section 11.

A benchmark is a file with a `main` that asks `ask` for its options and ends with `finish`. A full run leaves
one small file in results/, which replaces the one before it of the same build. Short runs are compared with
short ones: their baseline is a file of its own, written from several of them by `python -m benchmarks --short
--keep`. Knows nothing of how a figure is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import machine

RESULTS: Final = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `limit` is what it has to reach (None: only told), `at_least` from which side.

    `tolerance` is how far it may be worse than the baseline in a short run, as a share of the baseline; it
    comes from how much repeated short runs differed, which stand as `runs` beside the baseline, their median.
    None where it is told and not compared.
    """

    text: str
    measured: float
    limit: float | None = None
    at_least: bool = True
    tolerance: float | None = None
    runs: Sequence[float] = ()

    @property
    def is_met(self) -> bool | None:
        """Whether the limit is reached; None without one."""
        if self.limit is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def loss(self, baseline: float) -> float:
        """Return by what share of the baseline it is worse; negative where it is better."""
        if baseline == 0.0:
            return 0.0
        worse = baseline - self.measured if self.at_least else self.measured - baseline
        return worse / abs(baseline)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run of one benchmark found."""

    name: str
    question: str
    figures: Sequence[Figure]
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a benchmark was asked to run. `facts` is the machine as it was at the start."""

    options: argparse.Namespace
    facts: dict[str, object]

    @property
    def is_short(self) -> bool:
        """Whether seconds have to do."""
        return bool(self.options.short)


def parser(name: str, document: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    found = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=document)
    found.add_argument("--short", action="store_true", help="seconds instead of minutes; nothing is kept")
    found.add_argument("--json", type=Path, help="write what was found to this file")
    found.add_argument("--date", default=datetime.now(UTC).date().isoformat(), help="to note in what is kept")
    found.add_argument("--out", type=Path, default=RESULTS, help="folder of what is kept")
    return found


def ask(found: argparse.ArgumentParser) -> Asked:
    """Read the command line."""
    return Asked(found.parse_args(), machine.describe())


def build() -> str:
    """Return which build of the service is on the path: `compiled` or `plain`."""
    spec = importlib.util.find_spec("offer_optimizer.decide.runtime")
    is_native = spec is not None and spec.origin is not None and not spec.origin.endswith(".py")
    return "compiled" if is_native else "plain"


def finish(asked: Asked, answer: Answer) -> None:
    """Print the figures; write them where --json says, and keep those of a full run."""
    for figure in answer.figures:
        print(line(figure))
    options = asked.options
    kept = {
        "question": answer.question,
        "date": options.date,
        "build": build(),
        "is_short": asked.is_short,
        "machine": asked.facts,
        "figures": [asdict(figure) for figure in answer.figures],
        "details": answer.details,
    }
    text = json.dumps(kept, indent=1) + "\n"
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")
    if not asked.is_short:
        print(f"kept as {keep(options.out, answer.name, text)}")


def line(figure: Figure) -> str:
    """Return one figure for people."""
    if figure.limit is None:
        return f"  {figure.text}: {figure.measured:.4g}"
    side = "at least" if figure.at_least else "at most"
    verdict = "met" if figure.is_met else "NOT MET"
    return f"  {figure.text}: {figure.measured:.4g} ({side} {figure.limit:g}: {verdict})"


def keep(folder: Path, name: str, text: str) -> str:
    """Write the one file of a benchmark, build and size, in place of the one before; return its name."""
    content = json.loads(text)
    folder.mkdir(parents=True, exist_ok=True)
    is_short = content.get("is_short", False)
    for old in kept_files(folder, name, content["build"], is_short=is_short):
        old.unlink()
    suffix = "" if content["build"] == "plain" else f"-{content['build']}"
    file = folder / f"{name}{suffix}{'-short' if is_short else ''}-{content['date']}.json"
    file.write_text(text, encoding="utf-8")
    return file.name


def kept_files(folder: Path, name: str, of_build: str, *, is_short: bool = False) -> list[Path]:
    """Return the files of a benchmark, build and size, oldest first; one without a build is a plain one's."""
    found = []
    for file in folder.glob(f"{name}-*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.get("build", "plain") == of_build and content.get("is_short", False) is is_short:
            found.append(file)
    return sorted(found, key=lambda file: file.stem[-10:])


def baseline(folder: Path, name: str, of_build: str, *, is_short: bool = False) -> dict[str, float]:
    """Return the kept figures of a benchmark by text; empty where there are none of this build and size."""
    files = kept_files(folder, name, of_build, is_short=is_short)
    return {one.text: one.measured for one in read(files[-1])} if files else {}


def merge(contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what several runs of a benchmark found as one: of each figure the median, and all of them."""
    runs = [figures_of(content) for content in contents]
    figures = [
        replace(figure, measured=statistics.median(values), runs=values)
        for figure, values in ((one[0], [each.measured for each in one]) for one in zip(*runs, strict=True))
    ]
    return contents[0] | {"figures": [asdict(figure) for figure in figures], "details": {}}


def losses(figures: Sequence[Figure], kept: dict[str, float]) -> list[str]:
    """Return a sentence for every figure that is worse than the baseline by more than its tolerance."""
    found = []
    for figure in figures:
        before = kept.get(figure.text)
        if before is None or figure.tolerance is None:
            continue
        loss = figure.loss(before)
        if loss > figure.tolerance:
            found.append(
                f"{figure.text}: {figure.measured:.3g}, {loss:.0%} worse than {before:.3g} (at most "
                f"{figure.tolerance:.0%})"
            )
    return found


def read(file: Path) -> list[Figure]:
    """Return the figures of a file that a benchmark wrote."""
    return figures_of(json.loads(file.read_text(encoding="utf-8")))


def figures_of(content: dict[str, Any]) -> list[Figure]:
    """Return the figures of what a benchmark wrote."""
    return [Figure(**one) for one in content.get("figures", ())]
