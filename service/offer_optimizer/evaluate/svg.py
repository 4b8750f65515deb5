"""Plain charts as SVG text: no library, no files, no script. Colours come from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 860
_LEFT: Final = 300
_ROW: Final = 22
_TICKS: Final = 6


@dataclass(frozen=True, slots=True)
class Mark:
    """A figure with its interval in a row of a chart; `tone` is the number of its colour."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    tone: int


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: points (x, y) in the order of x."""

    label: str
    points: Sequence[tuple[float, float]]
    tone: int


def interval_chart(marks: Sequence[Mark], axis: str) -> str:
    """Return rows of points with their intervals; a mark without a value is a row that says so."""
    ends = [end for mark in marks for end in (mark.value, mark.low, mark.high) if end is not None]
    if not ends:
        return ""
    scale = _Scale(min(ends), max(ends), _LEFT, WIDTH - 20)
    height = _ROW * len(marks) + 50
    parts = [_grid(scale, 10, height - 40, height - 22), _text(scale.middle, height - 4, axis, "middle")]
    for row, mark in enumerate(marks):
        y = 10 + _ROW * row + _ROW / 2
        parts.append(_text(_LEFT - 12, y + 4, mark.label, "end"))
        if mark.value is None:
            parts.append(_text(_LEFT + 4, y + 4, "withheld", "start"))
            continue
        if mark.low is not None and mark.high is not None:
            x, end = scale.at(mark.low), scale.at(mark.high)
            parts.append(f'<line class="t{mark.tone}" x1="{x:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="t{mark.tone}" cx="{scale.at(mark.value):.1f}" cy="{y}" r="4.5"/>')
    return _frame(height, parts, axis)


def bar_chart(labels: Sequence[str], counts: Sequence[int], axis: str, tone: int) -> str:
    """Return a bar for each count, its height by the square root: small ones matter and stay visible."""
    height, base = 180, 130
    tallest = math.sqrt(max([*counts, 1]))
    step = (WIDTH - 80) / max(len(counts), 1)
    parts = [_text(WIDTH / 2, height - 6, axis, "middle")]
    for number, (label, count) in enumerate(zip(labels, counts, strict=True)):
        x, size = 40 + step * number, 105 * math.sqrt(count) / tallest
        parts.append(
            f'<rect class="t{tone}" x="{x + 2:.1f}" y="{base - size:.1f}" width="{step - 4:.1f}" '
            f'height="{size:.1f}"/>'
        )
        parts.append(_text(x + step / 2, base + 16, label, "middle"))
        parts.append(_text(x + step / 2, base - size - 5, f"{count:,}", "middle"))
    return _frame(height, parts, axis)


def line_chart(lines: Sequence[Line], x_axis: str, y_axis: str) -> str:
    """Return curves over one axis, with their names."""
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    across = _Scale(0.0, max(x for x, _ in points), 70, WIDTH - 20)
    up = _Scale(min(y for _, y in points), max(y for _, y in points), 210, 30)
    parts = [
        _grid(across, 30, 210, 228),
        _text(across.middle, 246, x_axis, "middle"),
        _text(8, 16, y_axis, "start"),
    ]
    parts += [_text(62, up.at(tick) + 4, f"{tick:g}", "end") for tick in up.ticks()]
    for number, line in enumerate(lines):
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline class="t{line.tone}" points="{path}"/>')
        parts.append(_text(WIDTH - 24, 44 + 16 * number, line.label, "end", f"t{line.tone}"))
    return _frame(255, parts, y_axis)


class _Scale:
    """Numbers to pixels, with round ticks."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
        self._low, self._high = low - margin, high + margin
        self._start, self._end = start, end

    @property
    def middle(self) -> float:
        return (self._start + self._end) / 2

    def at(self, number: float) -> float:
        share = (number - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        rough = (self._high - self._low) / _TICKS
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * many for many in (1, 2, 5, 10) if unit * many >= rough)
        first = math.ceil(self._low / step)
        return [round(index * step, 12) for index in range(first, math.floor(self._high / step) + 1)]


def _grid(scale: _Scale, top: float, bottom: float, label_y: float) -> str:
    parts = []
    for tick in scale.ticks():
        x = scale.at(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(_text(x, label_y, f"{tick:g}", "middle"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str, tone: str = "") -> str:
    shown = text if len(text) <= 44 else f"{text[:41]}..."
    kind = f' class="{tone}"' if tone else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(shown)}</text>'


def _frame(height: float, parts: Sequence[str], title: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return f"{head}{''.join(parts)}</svg>"
