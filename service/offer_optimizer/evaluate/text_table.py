"""A table as text: columns as wide as what stands in them, the first row underlined."""

from __future__ import annotations

from collections.abc import Sequence

_WIDEST = 60


def text_table(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as text; the first is the header. Long cells of the last rows are not cut."""
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([rows[0], rule, *rows[1:]])
