"""Reward formulas: CEL over the feedback of one decision and the chosen offer's numbers.

A formula is compiled and type-checked once; it must make a double, and `evaluate` returns a finite one or
raises. It sees six maps from name to double: `count`, `sum`, `first`, `last` and `delay_s` by feedback kind,
and `offer` by numeric attribute. Every declared kind has an entry in the first five, so `count.click` is
safe; only `offer.NAME` can be missing. CEL bounds itself: depth 32 and 10,000 steps of a loop.

Evaluating is safe from several threads. A compiled expression can't be pickled, so pickling a formula takes
its text along and compiles again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from offer_optimizer.core import limits
from offer_optimizer.core.cel import (
    Reference,
    Spelling,
    advise,
    compile_text,
    complaint,
    guards,
    runtime_complaint,
)
from offer_optimizer.core.errors import InvalidInput

BY_KIND: Final = ("count", "sum", "first", "last", "delay_s")
"""The maps by feedback kind, as formulas name them."""
OFFER: Final = "offer"
"""The map of the chosen offer's numeric attributes."""
_FIELD: Final = "reward.formula"

_SPELLING: Final = Spelling((*BY_KIND, OFFER))


class FormulaFault(InvalidInput):
    """A sound formula made no finite number of this feedback and this offer."""

    def __init__(self, problem: str) -> None:
        super().__init__(_FIELD, problem)


@dataclass(frozen=True, slots=True)
class FeedbackSummary:
    """The feedback of one decision, by kind, in ledger order.

    `count` of items, `sum` of values, `first` and `last` value, and `delay_s` from the decision to the first
    item in seconds. A kind without feedback has 0.0 in all five: ask `count` before trusting the others.
    """

    count: Mapping[str, float]
    sum: Mapping[str, float]
    first: Mapping[str, float]
    last: Mapping[str, float]
    delay_s: Mapping[str, float]

    @classmethod
    def build(cls, items: Sequence[tuple[str, float, float]], kinds: Sequence[str]) -> FeedbackSummary:
        """Summarise (kind, value, delay in seconds) in ledger order; kinds not in `kinds` are left out."""
        count, total, first, last, delay_s = (dict.fromkeys(kinds, 0.0) for _ in BY_KIND)
        for kind, value, delay in items:
            if kind not in count:
                continue
            if count[kind] == 0.0:
                first[kind], delay_s[kind] = value, delay
            count[kind] += 1.0
            total[kind] += value
            last[kind] = value
        return cls(count, total, first, last, delay_s)


class RewardFormula:
    """A compiled formula.

    Raises InvalidInput, field `reward.formula`, when the text is too long, doesn't compile or makes
    anything but a double; the message shows the mend where there is an obvious one.
    """

    __slots__ = ("_expression", "_maps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._expression = _compile(text)
        # By spelling: a map too many costs a microsecond, and one that is read is always spelt.
        self._maps = tuple(name for name in BY_KIND if re.search(rf"\b{name}\b", text))

    def __reduce__(self) -> tuple[type[RewardFormula], tuple[str]]:
        return RewardFormula, (self.text,)

    def __repr__(self) -> str:
        return f"RewardFormula({self.text!r})"

    def evaluate(self, summary: FeedbackSummary, offer: Mapping[str, float]) -> float:
        """Return the reward before clipping. Raises FormulaFault: a missing name, or not finite."""
        data: dict[str, Any] = {name: getattr(summary, name) for name in self._maps}
        data[OFFER] = offer
        try:
            found = self._expression.eval(data=data)
        except (RuntimeError, TypeError, ValueError) as error:
            raise FormulaFault(complaint(str(error))) from None
        value = found.value()
        if found.type() != cel.Type.DOUBLE or not isinstance(value, float):
            raise FormulaFault(runtime_complaint(str(value)))
        if not math.isfinite(value):
            raise FormulaFault(f"the result is {value}, not a finite number")
        return value

    def references(self) -> tuple[Reference, ...]:
        """Return the names it reads by a fixed spelling (`count.click`, `offer["cost"]`), once each."""
        return _SPELLING.references(self.text)

    def guards(self, name: str) -> bool:
        """Return whether it asks if the offer has `name`: `has(offer.NAME)` or `"NAME" in offer`."""
        return guards(self.text, Reference(OFFER, name))


def clip(value: float, low: float, high: float) -> tuple[float, bool]:
    """Return `value` moved into [low, high], and whether it had to move."""
    bounded = min(max(value, low), high)
    return bounded, bounded != value


@cache
def _environment() -> Any:  # noqa: ANN401  (the library has no types)
    numbers = cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE)
    return cel.NewEnv(variables=dict.fromkeys((*BY_KIND, OFFER), numbers))


def _compile(text: str) -> Any:  # noqa: ANN401  (the library has no types)
    expression = compile_text(_environment(), text, _FIELD, limits.FORMULA_BYTES, _mend)
    kind = expression.return_type()
    if kind == cel.Type.BOOL:
        mended = f"({text}) ? 1.0 : 0.0" if "?" in text else f"{text} ? 1.0 : 0.0"
        raise InvalidInput(_FIELD, f"must make a number, not true or false: write `{mended}`")
    if kind != cel.Type.DOUBLE:
        raise InvalidInput(_FIELD, f"must make a number (double), not {kind.name().lower()}{_mend(text)}")
    return expression


def _mend(text: str) -> str:
    return advise(text, _is_formula)


def _is_formula(text: str) -> bool:
    try:
        return bool(_environment().compile(text).return_type() == cel.Type.DOUBLE)
    except RuntimeError:
        return False
