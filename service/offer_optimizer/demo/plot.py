"""The learning curve as PNG. Imports matplotlib, so import this module only when a picture is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from offer_optimizer.demo import shop
from offer_optimizer.demo.catalog import BASELINE, LEARNED, UNIFORM
from offer_optimizer.demo.intervals import Mean
from offer_optimizer.demo.results import Results

# Wong 2011, "Points of view: Color blindness": told apart by everybody, in grey too.
COLOURS: Final = {LEARNED: "#0072B2", UNIFORM: "#E69F00", BASELINE: "#7A7A7A"}
NAMES: Final = {LEARNED: "learned", UNIFORM: "uniform", BASELINE: f"baseline ({shop.BASELINE_OFFER})"}


def save_plot(results: Results, path: Path) -> None:
    """Draw rewards over time, and how often the learned policy showed the best offer, into `path` (PNG)."""
    figure, (rewards, shares) = plt.subplots(
        2, 1, figsize=(10, 7.2), sharex=True, height_ratios=(2.4, 1), layout="constrained"
    )
    try:
        _draw_rewards(rewards, results)
        _draw_best_share(shares, results)
        figure.suptitle(
            "A shop learns what to show to whom", fontsize=14, fontweight="bold", x=0.01, ha="left"
        )
        figure.savefig(path, dpi=140)
    finally:
        plt.close(figure)


def _draw_rewards(axes: Axes, results: Results) -> None:
    for placement in (BASELINE, UNIFORM, LEARNED):
        points = [(point.middle_s, point.reward[placement]) for point in results.curve]
        _draw_line(axes, points, COLOURS[placement], NAMES[placement])
    levels = ((results.best_possible, "best possible", "--"), (results.best_fixed, "best fixed", ":"))
    for mean, name, style in levels:
        axes.axhline(mean.value, color="#333333", linestyle=style, linewidth=1.2)
        _label_level(axes, mean.value, f"{name}\n{mean.value:.2f}", "#333333")
    axes.set_ylabel("reward per decision")
    axes.set_title(
        f"Realised reward inside the {shop.WINDOW_S:g} s window; bands are 95 % intervals by visitor",
        fontsize=10,
        loc="left",
        color="#444444",
    )
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.legend(loc="upper left", frameon=False, ncols=3, fontsize=10)
    _tidy(axes)
    # Room for the legend above the highest band.
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (high - low) * 0.08)


def _draw_best_share(axes: Axes, results: Results) -> None:
    _draw_line(
        axes, [(point.middle_s, point.best_share) for point in results.curve], COLOURS[LEARNED], "learned"
    )
    chance = 1 / len(shop.OFFER_IDS)
    axes.axhline(chance, color=COLOURS[UNIFORM], linewidth=1.2, linestyle="--")
    _label_level(axes, chance, f"by chance\n{chance:.0%}", "#9A6A00")
    axes.set_ylim(0.0, 1.0)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_ylabel("best offer shown")
    axes.set_xlabel("seconds since the start")
    axes.set_xlim(0.0, results.duration_s)
    _tidy(axes)


def _draw_line(axes: Axes, points: list[tuple[float, Mean]], colour: str, name: str) -> None:
    known = [(middle_s, mean) for middle_s, mean in points if mean.cluster_count > 1]
    middles = [middle_s for middle_s, _ in known]
    axes.plot(
        middles, [mean.value for _, mean in known], color=colour, linewidth=2, marker="o", ms=4, label=name
    )
    axes.fill_between(
        middles,
        [mean.low for _, mean in known],
        [mean.high for _, mean in known],
        color=colour,
        alpha=0.13,
        lw=0,
    )


def _label_level(axes: Axes, level: float, text: str, colour: str) -> None:
    """Name a horizontal line in the right margin, where no data can hide it."""
    axes.annotate(
        text,
        xy=(1.0, level),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
    )


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
