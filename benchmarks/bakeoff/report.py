"""The bake-off's figures as tables for people and as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks.bakeoff import standings
from benchmarks.bakeoff.passes import Facts, Figures
from benchmarks.bakeoff.problems import SHOP_NAMES
from benchmarks.bakeoff.race import Result
from benchmarks.bakeoff.shops import SHOPS
from benchmarks.bakeoff.standings import Mean
from benchmarks.bakeoff.tables import REPLAYED, TABLES

_DIGITS: Final = 4


def tables(figures: Figures) -> str:
    """Return all tables in Markdown."""
    real = [name for name in figures.facts if name in TABLES or name == REPLAYED]
    shops = [name for name in figures.facts if name in SHOP_NAMES]
    parts = [_summary(figures, real, shops)]
    if real:
        parts.append("Reward a round on real data:\n\n" + _rewards(figures, real))
    if shops:
        parts.append("The shops (rewards a round are means over seeds):\n\n" + _shops(figures, shops))
        parts.append("NR in the shops, with 95 % intervals over seeds:\n\n" + _regrets(figures, shops))
        parts.append(
            "Rounds until 90 % of the best possible (median over seeds):\n\n" + _rounds(figures, shops)
        )
    return "\n\n".join(parts)


def _summary(figures: Figures, real: Sequence[str], shops: Sequence[str]) -> str:
    supervised = [name for name in real if name in TABLES]
    head = [
        "",
        "NR tables",
        "NR shops",
        "rank tables",
        "rank shops",
        "us pmf / learn (median; largest)",
        "state",
    ]
    rows = []
    for who, by_problem in figures.passes.items():
        row = [who]
        both = (supervised, shops)
        row += [
            _interval(standings.mean(standings.regrets(figures, who, group))) if group else "–"
            for group in both
        ]
        row += [f"{standings.mean_rank(figures, who, group):.1f}" if group else "–" for group in both]
        asked = [min(result.pmf_us for result in found) for found in by_problem.values()]
        taught = [min(result.learn_us for result in found) for found in by_problem.values()]
        typical = f"{statistics.median(asked):.0f} / {statistics.median(taught):.0f}"
        row.append(f"{typical}; {max(asked):.0f} / {max(taught):.0f}")
        row.append(_size(max(result.state_bytes for found in by_problem.values() for result in found)))
        rows.append(row)
    return _markdown(head, rows)


def _rewards(figures: Figures, names: Sequence[str]) -> str:
    rows = [
        [who, *(f"{statistics.fmean(result.reward for result in found[name]):.3f}" for name in names)]
        for who, found in figures.passes.items()
    ]
    fixed = [f"{figures.facts[name][0].best_fixed:.3f}" for name in names]
    return _markdown(["", *names], [*rows, ["best fixed, in hindsight", *fixed]])


def _shops(figures: Figures, names: Sequence[str]) -> str:
    head = [
        "shop",
        "what it is",
        "rounds",
        "live offers",
        "columns",
        "uniform",
        "best fixed",
        "best possible",
    ]
    rows = []
    for shop in SHOPS:
        if shop.name in names:
            found = figures.facts[shop.name]
            sizes = [f"{shop.rounds:,}", str(shop.live or shop.offers), str(shop.columns())]
            levels = [
                [f.uniform for f in found],
                [f.best_fixed for f in found],
                [f.best or 0.0 for f in found],
            ]
            rows.append([shop.name, shop.about, *sizes, *(f"{statistics.fmean(v):.3f}" for v in levels)])
    return _markdown(head, rows)


def _regrets(figures: Figures, names: Sequence[str]) -> str:
    rows = [
        [who, *(_interval(standings.mean(standings.regrets(figures, who, [name]))) for name in names)]
        for who in figures.passes
    ]
    fixed = []
    for name in names:
        found = [standings.regret(name, facts, facts.best_fixed) for facts in figures.facts[name]]
        fixed.append(_interval(standings.mean([value for value in found if value is not None])))
    return _markdown(["", *names], [*rows, ["best fixed, in hindsight", *fixed]])


def _rounds(figures: Figures, names: Sequence[str]) -> str:
    rows = []
    for who in figures.passes:
        found = [standings.reached(figures, who, name) for name in names]
        rows.append([who, *("–" if math.isinf(value) else f"{value:,.0f}" for value in found)])
    return _markdown(["", *(f"{name} ({figures.facts[name][0].rounds:,})" for name in names)], rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def _interval(mean: Mean) -> str:
    return f"{mean.value:.2f}" + ("" if mean.half_width is None else f" ± {mean.half_width:.2f}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def as_json(figures: Figures) -> dict[str, object]:
    """Return facts, every pass and the mean curves as plain values."""
    return {
        "problems": {name: [_facts(facts) for facts in found] for name, found in figures.facts.items()},
        "entrants": {
            who: {name: _passes(found) for name, found in by_problem.items()}
            for who, by_problem in figures.passes.items()
        },
    }


def _facts(facts: Facts) -> dict[str, object]:
    return {
        "round_count": facts.rounds,
        "offer_count": facts.offers,
        "uniform": round(facts.uniform, 6),
        "best_fixed": round(facts.best_fixed, 6),
        "best_possible": None if facts.best is None else round(facts.best, 6),
    }


def _passes(found: Sequence[Result]) -> dict[str, object]:
    curves = zip(*(result.curve for result in found), strict=False)
    return {
        "reward": [round(result.reward, 6) for result in found],
        "reached": [result.reached for result in found],
        "pmf_us": [round(result.pmf_us, 1) for result in found],
        "learn_us": [round(result.learn_us, 1) for result in found],
        "state_bytes": [result.state_bytes for result in found],
        "mean_curve": [round(statistics.fmean(points), _DIGITS) for points in curves],
    }
