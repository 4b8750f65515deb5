"""Which policies a long run asks in turn, and the line that it ends with: what was reached, what was not."""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks import question
from offer_optimizer.policy import registry

POLICIES: Final = ("auto", "vw")
"""The default policy, and the one whose models cost most to load."""


def add_policies(parser: argparse.ArgumentParser) -> None:
    """Let a run be asked about some policies only."""
    names = sorted(name for name in registry.ENTRIES if registry.learns(name))
    parser.add_argument(
        "--policies", nargs="+", choices=names, default=list(POLICIES), help="asked one after the other"
    )


def conclude(asked: question.Asked, answer: question.Answer) -> None:
    """Finish, and say in one last line whether every figure with a limit was reached."""
    question.finish(asked, answer)
    missed = [question.line(figure).strip() for figure in answer.figures if figure.is_met is False]
    print(f"verdict {answer.name}: " + ("; ".join(missed) if missed else "all met"), flush=True)
