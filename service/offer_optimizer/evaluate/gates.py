"""Gates: a statement about policies that a build depends on, "A - B > NUMBER" or "A > NUMBER".

A and B are policy texts as they were given, with or without double quotes, or P1, P2, ... by their order. A
gate holds where the lower end of the interval is above the number: one comparison, named beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show

_SHAPE = (
    'write "POLICY - POLICY > NUMBER" or "POLICY > NUMBER", with policies as they were given, or P1, P2, ...'
)


@dataclass(frozen=True, slots=True)
class Gate:
    """`first`, less `second` where there is one, must be above `bound`. Both are indices of policies."""

    text: str
    first: int
    second: int | None
    bound: float


def parse_gate(text: str, policies: Sequence[str]) -> Gate:
    """Return the gate that a text states about policies. Raises InvalidInput."""
    left, sign, right = text.rpartition(">")
    try:
        bound = float(right)
    except ValueError:
        bound = math.nan
    if not sign or not math.isfinite(bound):
        raise InvalidInput("gate", f"{show(text)}: {_SHAPE}")
    names = _names(policies)
    left = left.strip()
    if left in names:
        return Gate(text, names[left], None, bound)
    # A policy's own text may hold a minus: every way to cut is tried, and names are whole texts.
    found = {
        (names[first], names[second])
        for at, letter in enumerate(left)
        if letter == "-"
        and (first := left[:at].strip()) in names
        and (second := left[at + 1 :].strip()) in names
    }
    if len(found) != 1:
        given = ", ".join(map(show, policies))
        raise InvalidInput("gate", f"{show(text)} names no policies that were given ({given}): {_SHAPE}")
    one, other = found.pop()
    if one == other:
        raise InvalidInput("gate", f"{show(text)} compares a policy with itself")
    return Gate(text, one, other, bound)


def _names(policies: Sequence[str]) -> dict[str, int]:
    """Return the index of a policy by all that it may be called."""
    by_order = {f"P{number}": number - 1 for number in range(1, len(policies) + 1)} | {"P": 0}
    texts = {text: index for index, text in enumerate(policies)}
    return by_order | texts | {f'"{text}"': index for text, index in texts.items()}
