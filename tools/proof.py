"""Run every check at its full size and write what came out to results/proof.md; run by `make proof`.

The summary names commit and machine and quotes the sentences that tests and benchmarks measured. It is
written even when something failed, and then says so in its first lines.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SUMMARY: Final = ROOT / "results" / "proof.md"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended: its exit status, its duration and its last line."""

    name: str
    status: int
    duration_s: float
    last_line: str


def main() -> int:
    """Run the checks, write the summary, return 1 if a check failed."""
    with tempfile.TemporaryDirectory() as directory:
        figures = Path(directory) / "figures.txt"
        # One test at a time: full-size tests measure, and would measure each other.
        tests = [sys.executable, "-m", "pytest", "--size", "proof", "--figures", str(figures)]
        outcomes = [run("tests", tests), run("benchmarks", [sys.executable, "-m", "benchmarks"])]
        measured = figures.read_text(encoding="utf-8").splitlines() if figures.exists() else []
    SUMMARY.parent.mkdir(exist_ok=True)
    SUMMARY.write_text(describe(outcomes, measured), encoding="utf-8")
    print(f"wrote {SUMMARY.relative_to(ROOT)}")
    return 1 if any(outcome.status for outcome in outcomes) else 0


def run(name: str, command: list[str]) -> Outcome:
    """Run one check, passing its output through, and keep its last line."""
    began = time.monotonic()
    last_line = ""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        for line in child.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            last_line = line.strip() or last_line
    return Outcome(name, child.returncode, time.monotonic() - began, last_line)


def describe(outcomes: list[Outcome], measured: list[str]) -> str:
    """Return the summary as Markdown."""
    failed = [outcome.name for outcome in outcomes if outcome.status]
    lines = [
        "# Proof",
        "",
        f"**{'FAILED: ' + ', '.join(failed) if failed else 'Everything held.'}**",
        "",
        f"- commit: {describe_commit()}",
        f"- machine: {describe_machine()}",
        f"- date: {datetime.now(UTC):%Y-%m-%d}",
        "",
        "| check | exit | minutes | last line |",
        "|---|---|---|---|",
        *(f"| {o.name} | {o.status} | {o.duration_s / 60:.1f} | `{o.last_line}` |" for o in outcomes),
        "",
        "## Measured by the tests",
        "",
        *(f"- {sentence}" for sentence in measured),
    ]
    return "\n".join(lines).rstrip() + "\n"


def describe_commit() -> str:
    """Return the commit, and whether the tree differs from it."""
    commit = git("rev-parse", "--short=12", "HEAD") or "none"
    return f"{commit} with changes" if git("status", "--porcelain") else commit


def git(*arguments: str) -> str:
    """Return what git prints, or nothing where it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def describe_machine() -> str:
    """Return processor, cores and Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
