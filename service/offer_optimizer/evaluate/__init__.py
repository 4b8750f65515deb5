"""Evaluation: what policies earned, and would have earned, with intervals or a refusal.

For people's own scripts:

    from offer_optimizer.evaluate import compare, evaluate, read_log

    log = read_log("test.csv", format="csv", action="segment", reward="visit", propensity="1/3", context="*")
    print(evaluate(log, policy="always:Mens E-Mail"))

Importing this package loads nothing else: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from offer_optimizer.evaluate.comparison import compare
    from offer_optimizer.evaluate.estimate import Estimate
    from offer_optimizer.evaluate.intervals import Interval
    from offer_optimizer.evaluate.reading import read_log
    from offer_optimizer.evaluate.replay import Progress, Settings, evaluate
    from offer_optimizer.evaluate.results import Comparison, Difference, Evaluation, PolicyResult
    from offer_optimizer.evaluate.target import TargetPolicy, TargetRows, aligned, certain
    from offer_optimizer.evaluate.target_texts import parse_target

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "Evaluation",
    "Interval",
    "PolicyResult",
    "Progress",
    "Settings",
    "TargetPolicy",
    "TargetRows",
    "aligned",
    "certain",
    "compare",
    "evaluate",
    "parse_target",
    "read_log",
]

_HOMES: Final = {
    "Comparison": "results",
    "Difference": "results",
    "Estimate": "estimate",
    "Evaluation": "results",
    "Interval": "intervals",
    "PolicyResult": "results",
    "Progress": "replay",
    "Settings": "replay",
    "TargetPolicy": "target",
    "TargetRows": "target",
    "aligned": "target",
    "certain": "target",
    "compare": "comparison",
    "evaluate": "replay",
    "parse_target": "target_texts",
    "read_log": "reading",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (of whatever kind the name is)
    """Fetch a public name from the module that has it."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
