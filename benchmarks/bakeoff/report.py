"""The bake-off's figures as a table for people and as JSON. Computes nothing but means over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.bakeoff.race import Result
from benchmarks.bakeoff.rounds import TABLES

Figures = Mapping[str, Mapping[str, Sequence[Result]]]
"""Results of the seeds, by entrant and data set."""
UNIFORM: Final = {"digits": 1 / 10, "wine": 1 / 3, "vowel": 1 / 11, "vehicle": 1 / 4, "satellite": 1 / 6}


def regret(name: str, reward: float) -> float:
    """Return the normalised regret of a table's reward a round: 0 is the best full-information learner's."""
    return (TABLES[name] - reward) / (TABLES[name] - UNIFORM[name])


def mean_regret(results: Mapping[str, Sequence[Result]]) -> float | None:
    """Return the mean regret over the tables that were raced and the seeds, None where there are none."""
    found = [regret(name, result.reward) for name in TABLES if name in results for result in results[name]]
    # Every table was raced with the same seeds, so this is the mean of the tables' means.
    return statistics.fmean(found) if found else None


def seed_noise(results: Mapping[str, Sequence[Result]]) -> float | None:
    """Return the standard deviation over seeds of the mean regret, None for less than two seeds."""
    tables = [name for name in TABLES if name in results]
    by_seed = zip(*(results[name] for name in tables), strict=True)
    means = [
        statistics.fmean(regret(name, r.reward) for name, r in zip(tables, s, strict=True)) for s in by_seed
    ]
    return statistics.stdev(means) if len(means) > 1 else None


def table(figures: Figures) -> str:
    """Return the table in Markdown."""
    names = list(next(iter(figures.values())))
    lines = [
        f"| reward a round | {' | '.join(names)} | mean NR | ± seeds | us pmf / learn (largest) |",
        "|---" * (len(names) + 4) + "|",
    ]
    for entrant, results in figures.items():
        rewards = [f"{statistics.fmean(r.reward for r in results[name]):.3f}" for name in names]
        mean, noise = mean_regret(results), seed_noise(results)
        pmf_us = max(min(r.pmf_us for r in results[name]) for name in names)
        learn_us = max(min(r.learn_us for r in results[name]) for name in names)
        summary = [_number(mean), _number(noise), f"{pmf_us:.0f} / {learn_us:.0f}"]
        lines.append(f"| {entrant} | {' | '.join([*rewards, *summary])} |")
    return "\n".join(lines)


def as_json(figures: Figures) -> dict[str, object]:
    """Return every pass and the summaries as plain values."""
    found: dict[str, object] = {}
    for entrant, results in figures.items():
        found[entrant] = {
            "mean_normalised_regret": mean_regret(results),
            "seed_deviation": seed_noise(results),
            "passes": {
                name: [
                    {
                        "reward": round(result.reward, 6),
                        "round_count": result.rounds,
                        "pmf_us": round(result.pmf_us, 2),
                        "learn_us": round(result.learn_us, 2),
                        "state_bytes": result.state_bytes,
                    }
                    for result in passes
                ]
                for name, passes in results.items()
            },
        }
    return found


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
