"""The learning curve as text: one character row a level, one column group a stretch of the run. Pure."""

from __future__ import annotations

import math
from typing import Final

from offer_optimizer.demo.catalog import BASELINE, LEARNED, UNIFORM
from offer_optimizer.demo.results import Results

HEIGHT: Final = 12
STEP: Final = 5
"""Characters a stretch."""
MARKS: Final = {BASELINE: "b", UNIFORM: "u", LEARNED: "●"}
"""In the order they are drawn: where two meet, the later one is seen."""


def draw_curve(results: Results) -> str:
    """Return reward per decision over time for the three placements, the best possible as a dotted line."""
    tops = [
        mean.value for point in results.curve for mean in point.reward.values() if not math.isnan(mean.value)
    ]
    low = min(0.0, *tops)
    high = max(results.best_possible.value, *tops) * 1.05
    width = len(results.curve) * STEP
    rows = [[" "] * width for _ in range(HEIGHT)]

    def row_of(value: float) -> int:
        return HEIGHT - 1 - round((value - low) / (high - low) * (HEIGHT - 1))

    rows[row_of(results.best_possible.value)] = list(("·  " * width)[:width])
    for placement, mark in MARKS.items():
        for index, point in enumerate(results.curve):
            value = point.reward[placement].value
            if not math.isnan(value):
                rows[row_of(value)][index * STEP + STEP // 2] = mark
    lines = []
    for index, row in enumerate(rows):
        level = high - (high - low) * index / (HEIGHT - 1)
        label = f"{level:6.2f}" if index % 2 == 0 or index == HEIGHT - 1 else " " * 6
        lines.append(f"{label} ┤{''.join(row).rstrip()}")
    lines.append(f"{'':6} └{'─' * width}")
    end = f"{results.duration_s:.0f} s"
    lines.append(f"{'':8}0 s{end:>{width - 3}}")
    lines.append(f"{'':8}● learned   u uniform   b baseline   · best possible")
    return "\n".join(lines)
