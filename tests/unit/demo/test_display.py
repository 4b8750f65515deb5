"""Progress reads well from the first moment, when nothing is known, to the last."""

import math

from rich.console import Console

from offer_optimizer.demo.catalog import BASELINE, LEARNED, UNIFORM
from offer_optimizer.demo.display import Display, build_panel, format_line
from offer_optimizer.demo.recorder import Progress

UNKNOWN = dict.fromkeys((LEARNED, UNIFORM, BASELINE), math.nan)
START = Progress(0.0, 0, 0.0, UNKNOWN, math.nan, math.nan, math.nan, 0, 0)
LATER = Progress(
    40.0, 16_000, 399.6, {LEARNED: 0.431, UNIFORM: 0.28, BASELINE: -0.2}, 0.5, 1.24, 3.46, 45, 12
)


def render(progress: Progress) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(build_panel(progress, 75.0))
    return capture.get()


def test_the_panel_shows_dashes_before_anything_is_known() -> None:
    text = render(START)
    assert "nan" not in text
    assert "p99 - ms" in text


def test_the_panel_shows_what_is_known() -> None:
    text = render(LATER)
    for part in (
        "16,000",
        "400 a second",
        "0.431",
        "0.280",
        "-0.200",
        "50%",
        "45 versions",
        "p99 3.5 ms",
        "12 pages",
    ):
        assert part in text


def test_a_log_gets_one_line_every_ten_seconds() -> None:
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture, Display(console, 75.0) as display:
        for quarter in range(4 * 31):
            display.show(quarter / 4, lambda _: LATER)
    lines = capture.get().splitlines()
    assert lines == [format_line(LATER)] * 3
    assert "learned 0.43 uniform 0.28 baseline -0.20" in lines[0]
