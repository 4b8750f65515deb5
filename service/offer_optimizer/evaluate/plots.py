"""Pictures of an evaluation by matplotlib, for notebooks and files. The report in HTML needs none of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offer_optimizer.core.errors import CannotStart
from offer_optimizer.evaluate.results import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(found: Evaluation, path: Path | None) -> Figure:
    """Draw estimates with intervals, weights, and learning curves where a policy learned.

    Saves the picture at `path` where one is given. Raises CannotStart without matplotlib.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError:
        raise CannotStart("plots need matplotlib: install offer-optimizer[plots]") from None
    learned = [result for result in found.policies if result.curve]
    panels = 2 + bool(learned)
    picture = Figure(figsize=(8.0, 3.2 * panels), layout="constrained")
    axes = picture.subplots(panels, 1)
    _estimates(axes[0], found)
    _weights(axes[1], found)
    if learned:
        _curves(axes[2], found)
    if path is not None:
        picture.savefig(path, dpi=150)
    return picture


def _estimates(axes: Any, found: Evaluation) -> None:  # noqa: ANN401  (matplotlib is an extra)
    names = list(dict.fromkeys(name for result in found.policies for name in result.estimates))
    for color, name in enumerate(names):
        for row, result in enumerate(found.policies):
            estimate = result.estimates[name]
            if estimate.value is None:
                continue
            y = -row - 0.7 * (color + 0.5) / len(names) + 0.35
            label = name if row == 0 else None
            axes.plot(estimate.value, y, "o", color=f"C{color}", label=label)
            if estimate.low is not None:
                axes.plot([estimate.low, estimate.high], [y, y], "-", color=f"C{color}")
    axes.set_yticks([-row for row in range(len(found.policies))])
    axes.set_yticklabels([_short(result.policy) for result in found.policies])
    axes.set_xlabel(f"reward a decision, {found.confidence:.0%} interval ({found.interval.value})")
    axes.legend(loc="best")


def _weights(axes: Any, found: Evaluation) -> None:  # noqa: ANN401  (matplotlib is an extra)
    used = np.flatnonzero(sum(result.weights.counts for result in found.policies))
    labels = found.policies[0].weights.labels()
    width = 0.8 / len(found.policies)
    for number, result in enumerate(found.policies):
        places = np.arange(len(used)) + number * width
        axes.bar(places, result.weights.counts[used], width, label=_short(result.policy))
    axes.set_xticks(np.arange(len(used)) + 0.4 - width / 2)
    axes.set_xticklabels([labels[bin_] for bin_ in used], rotation=30)
    axes.set_xlabel("importance weight")
    axes.set_ylabel("rows")
    axes.legend(loc="best")


def _curves(axes: Any, found: Evaluation) -> None:  # noqa: ANN401  (matplotlib is an extra)
    logged: list[tuple[int, float]] = []
    for result in found.policies:
        points = [(point.end_row, point.value) for point in result.curve if point.value is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=_short(result.policy))
            logged = [(point.end_row, point.logged) for point in result.curve]
    axes.plot(*zip(*logged, strict=True), color="0.6", label="as logged")
    axes.set_xlabel("rows of the log")
    axes.set_ylabel("reward a decision (SNIPS)")
    axes.legend(loc="best")


def _short(text: str) -> str:
    return text if len(text) <= 32 else f"{text[:29]}..."
