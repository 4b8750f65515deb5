"""What benchmarks answer with, and what short runs are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.question import Figure, losses
from benchmarks.tail import APPEND, CLIENT, MACHINE, UNKNOWN, Event, Slow, cause_of, causes


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [
        (Figure("speed", 0.7, 0.7), True),
        (Figure("speed", 0.69, 0.7), False),
        (Figure("cost", 1.1, 1.1, at_least=False), True),
        (Figure("cost", 1.2, 1.1, at_least=False), False),
        (Figure("told", 5.0), None),
    ],
    ids=["just enough", "too little", "just cheap enough", "too much", "no limit"],
)
def test_a_figure_is_met_from_its_side(figure: Figure, *, is_met: bool | None) -> None:
    assert figure.is_met is is_met


@pytest.mark.parametrize(
    ("figure", "kept", "fails"),
    [
        (Figure("speed", 0.79, tolerance=0.2), 1.0, True),
        (Figure("speed", 0.81, tolerance=0.2), 1.0, False),
        (Figure("speed", 3.00, tolerance=0.2), 1.0, False),
        (Figure("cost", 1.21, at_least=False, tolerance=0.2), 1.0, True),
        (Figure("cost", 0.10, at_least=False, tolerance=0.2), 1.0, False),
        (Figure("speed", 0.01), 1.0, False),
        (Figure("new", 0.01, tolerance=0.2), 1.0, False),
    ],
    ids=["slower", "within", "faster", "dearer", "cheaper", "not compared", "not in the baseline"],
)
def test_a_figure_may_be_worse_than_its_baseline_by_its_tolerance(
    figure: Figure, kept: float, *, fails: bool
) -> None:
    assert bool(losses([figure], {"speed": kept, "cost": kept})) is fails


@pytest.mark.parametrize(
    ("late_ms", "events", "expected"),
    [
        (20.0, [Event("swap", 1.0, 9.0, 9.0)], CLIENT),
        (0.0, [Event("late", 1.0, 30.0, 30.0), Event("swap", 1.0, 5.0, 5.0)], MACHINE),
        (0.0, [Event("swap", 1.0, 25.0, 25.0), Event("append", 1.0, 26.0, 0.1)], "swap"),
        (0.0, [Event("append", 1.0, 28.0, 0.1)], APPEND),
        (0.0, [Event("collection 2", 1.0, 28.0, 28.0)], "collection"),
        (0.0, [Event("learner: collection 2", 1.0, 30.0, 30.0)], UNKNOWN),
        (0.0, [Event("swap", 2.0, 30.0, 30.0)], UNKNOWN),
    ],
    ids=["client", "machine", "swap", "append", "collection", "the learner alone", "at another time"],
)
def test_a_slow_decision_is_put_down_to_what_held_it_up(
    late_ms: float, events: Sequence[Event], expected: str
) -> None:
    slow = Slow(30.0, 1.0, late_ms)
    assert cause_of(slow, events) == expected
    assert causes([slow], events) == {expected: 1}


def test_kept_figures_of_a_build_are_found_and_replace_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a folder in memory: file names say the build, so that a plain run is never compared with another."""
    from benchmarks import question

    kept: dict[str, str] = {}

    class Folder:
        def mkdir(self, **_: object) -> None: ...

        def glob(self, pattern: str) -> list[Path]:
            return [Path(name) for name in kept if name.startswith(pattern.removesuffix("*.json"))]

        def __truediv__(self, name: str) -> Path:
            return Path(name)

    monkeypatch.setattr(Path, "read_text", lambda path, **_: kept[path.name])
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: kept.update({path.name: text}))
    monkeypatch.setattr(Path, "unlink", lambda path, **_: kept.pop(path.name))
    folder: Path = Folder()  # type: ignore[assignment]
    for build, date, measured in (("plain", "2026-01-01", 1.0), ("compiled", "2026-01-02", 2.0)) * 2:
        figures = [{"text": "speed", "measured": measured}]
        question.keep(folder, "x", json.dumps({"build": build, "date": date, "figures": figures}))
    assert sorted(kept) == ["x-2026-01-01.json", "x-compiled-2026-01-02.json"]
    assert question.baseline(folder, "x", "plain") == {"speed": 1.0}
    assert question.baseline(folder, "x", "compiled") == {"speed": 2.0}
    assert question.baseline(folder, "y", "plain") == {}
    short = {
        "build": "plain",
        "date": "2026-01-03",
        "is_short": True,
        "figures": [{"text": "speed", "measured": 3.0}],
    }
    question.keep(folder, "x", json.dumps(short))
    assert question.baseline(folder, "x", "plain") == {"speed": 1.0}
    assert question.baseline(folder, "x", "plain", is_short=True) == {"speed": 3.0}
