"""The bake-off as pictures. Imports matplotlib, so import this module only when a picture is wanted."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.bakeoff import standings
from benchmarks.bakeoff.entrants import entrant
from benchmarks.bakeoff.passes import Figures
from benchmarks.bakeoff.problems import SHOP_NAMES
from benchmarks.bakeoff.tables import TABLES

# Okabe and Ito 2008: told apart by everybody. Ours are drawn through, peers dashed.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
_GREY: Final = "#9A9A9A"


def save_curves(figures: Figures, path: Path) -> None:
    """Draw each shop's learning curves, as shares of the way from even to best choices, into `path` (PNG)."""
    names = [name for name in SHOP_NAMES if name in figures.facts]
    figure, grid = plt.subplots(3, 3, figsize=(13, 10), sharey=True, layout="constrained")
    try:
        for axes, name in zip(grid.flat, names, strict=False):
            _draw_curves(axes, figures, name)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
        figure.suptitle("Reward in simulated shops: 0 is choosing evenly, 1 the best possible on average")
        figure.savefig(path, dpi=90)
    finally:
        plt.close(figure)


def save_regrets(figures: Figures, path: Path) -> None:
    """Draw the mean normalised regret of tables and shops with intervals over seeds, into `path` (PNG)."""
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    who = list(figures.passes)
    try:
        for axes, title, every in zip(panels, ("tables", "shops"), (TABLES, SHOP_NAMES), strict=True):
            names = [name for name in every if name in figures.facts]
            if not names:
                continue
            means = [standings.mean(standings.regrets(figures, name, names)) for name in who]
            colours = [_side(name) for name in who]
            widths = [mean.half_width or 0.0 for mean in means]
            axes.barh(who, [mean.value for mean in means], xerr=widths, color=colours, ecolor="#444444")
            axes.set_title(f"{title}: mean normalised regret (less is better)", fontsize=10, loc="left")
            _tidy(axes, "x")
        panels[0].invert_yaxis()
        figure.savefig(path, dpi=90)
    finally:
        plt.close(figure)


def _side(who: str) -> str:
    """Return the colour of ours, of peers, and of what everybody has to beat."""
    if who == "uniform":
        return _GREY
    return COLOURS[4] if entrant(who).is_peer else COLOURS[0]


def _draw_curves(axes: Axes, figures: Figures, name: str) -> None:
    best = statistics.fmean(facts.best or 0.0 for facts in figures.facts[name])
    even = statistics.fmean(facts.uniform for facts in figures.facts[name])
    rounds = figures.facts[name][0].rounds
    ours = [who for who in figures.passes if not entrant(who).is_peer and who != "uniform"]
    for who, by_problem in figures.passes.items():
        points = [statistics.fmean(p) for p in zip(*(r.curve for r in by_problem[name]), strict=True)]
        at = [(index + 0.5) * rounds / len(points) for index in range(len(points))]
        place = list(figures.passes).index(who)
        colour = _GREY if who == "uniform" else COLOURS[place % len(COLOURS)]
        share = [(point - even) / (best - even) for point in points]
        style = "-" if who in ours else "--"
        axes.plot(at, share, style, color=colour, linewidth=1.8 if who in ours else 1.1, label=who)
    axes.set_title(name, fontsize=10, loc="left")
    axes.set_ylim(-0.25, 1.1)
    _tidy(axes, "y")


def _tidy(axes: Axes, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if grid == "x" else "y", color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
