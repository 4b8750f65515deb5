"""Vowpal Wabbit as somebody uses it who has read its tutorial: text lines, raw numbers, its own exploration.

Names are percent-encoded so that text can't break; that is all that is taken from our policy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import vowpalwabbit

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.vw_text import encode

PLAIN: Final = ("--cb_explore_adf", "-q", "co", "-q", "ca")
"""Default options (epsilon 0.05, mtr, learning rate 0.5), with the crosses that context needs to matter."""
SQUARECB: Final = (*PLAIN, "--squarecb")
AZURE: Final = (
    *("--cb_explore_adf", "--epsilon", "0.2", "--power_t", "0", "-l", "0.001"),
    *("--cb_type", "mtr", "-q", "::"),
)
"""Azure AI Personalizer's default learning settings.

Source: Microsoft, "Learning policy and settings" of the documentation of Azure AI Personalizer.
"""


class PlainVw:
    """A Vowpal Wabbit workspace that is asked and taught in text."""

    def __init__(self, arguments: Sequence[str], seed: int) -> None:
        arg_list = [*arguments, "--quiet", "--no_stdin", "--random_seed", str(seed)]
        self._workspace: Any = vowpalwabbit.Workspace(arg_list=arg_list)
        self._lines: dict[bytes, str] = {}

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """Return what VW answers, normalised: its float32 sums to 1 within 4e-5."""
        answer = np.array(self._workspace.predict(self._example(context, actions)), dtype=np.float64)
        pmf: Pmf64 = answer / answer.sum()
        return pmf

    def learn(self, example: Example) -> None:
        """Learn the reward as a negative cost, with the propensity that was served."""
        lines = self._example(example.context, example.actions)
        at = 1 + example.chosen
        lines[at] = f"0:{-example.reward:.6f}:{example.propensity:.6f} {lines[at]}"
        self._workspace.learn(lines)

    def save(self) -> bytes:
        """Return the model file."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "model")
            self._workspace.save(str(path))
            return path.read_bytes()

    def close(self) -> None:
        """Let go of the workspace."""
        self._workspace.finish()

    def _example(self, context: Features, actions: Sequence[Action]) -> list[str]:
        return [f"shared |c {_tokens(context)}", *(self._line(action) for action in actions)]

    def _line(self, action: Action) -> str:
        line = self._lines.get(action.key)
        if line is None:
            line = f"|o id={encode(action.id)} |a {_tokens(action.attributes)}"
            self._lines[action.key] = line
        return line


def _tokens(features: Features) -> str:
    tokens = [f"{encode(name)}={encode(value)}" for name, value in features.categories]
    tokens += [f"{encode(name)}:{number:.7f}" for name, number in features.numbers]
    return " ".join(tokens)
