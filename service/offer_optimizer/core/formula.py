"""Reward formulas: CEL over the feedback of one decision and the chosen offer's numbers.

A formula is compiled and type-checked once; it must make a double, and `evaluate` returns a finite one or
raises. It sees maps from name to double: `count`, `sum`, `first`, `last`, `min`, `max`, `mean`, `median` and
`delay_s` by feedback kind, and `offer` by numeric attribute. Every declared kind has an entry in all but the
last, so `count.click` is safe; only `offer.NAME` can be missing. CEL bounds itself: depth 32 and 10,000
steps of a loop.

Evaluating is safe from several threads. A compiled expression can't be pickled, so pickling a formula takes
its text along and compiles again.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
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

DELAY: Final = "delay_s"
_OF_VALUES: Final[dict[str, Callable[[list[float]], float]]] = {
    "count": len,
    "sum": math.fsum,  # whose result depends neither on the order nor on the release of Python
    "first": itemgetter(0),
    "last": itemgetter(-1),
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
}
BY_KIND: Final = (*_OF_VALUES, DELAY)
"""The maps by feedback kind, as formulas name them."""
OFFER: Final = "offer"
"""The map of the chosen offer's numeric attributes."""
_FIELD: Final = "reward.formula"

_SPELLING: Final = Spelling((*BY_KIND, OFFER))


class FormulaFault(InvalidInput):
    """A sound formula made no finite number of this feedback and this offer."""

    def __init__(self, problem: str) -> None:
        super().__init__(_FIELD, problem)


class FeedbackSummary:
    """The feedback of one decision by kind: a map for each name of BY_KIND, made when it is asked for.

    `count` of items; `sum`, `min`, `max`, `mean` and `median` of their values; `first` and `last` value;
    `delay_s` from the decision to the first item in seconds. A kind without feedback has 0.0 in all of them:
    ask `count` before trusting the others.
    """

    __slots__ = ("_delays_s", "_values", "kinds")

    def __init__(self, items: Sequence[tuple[str, float, float]], kinds: Sequence[str]) -> None:
        """Summarise (kind, value, delay in seconds), earliest first; kinds not in `kinds` are left out."""
        self.kinds = tuple(kinds)
        self._values: dict[str, list[float]] = {}
        self._delays_s: dict[str, float] = {}
        for kind, value, delay_s in items:
            if kind not in self.kinds:
                continue
            if kind not in self._values:
                self._values[kind], self._delays_s[kind] = [], delay_s
            self._values[kind].append(value)

    def by_kind(self, name: str) -> dict[str, float]:
        """Return the map that formulas know by a name of BY_KIND; all kinds have an entry."""
        found = dict.fromkeys(self.kinds, 0.0)
        if name == DELAY:
            return found | self._delays_s
        summarise = _OF_VALUES[name]
        for kind, values in self._values.items():
            found[kind] = float(summarise(values))
        return found


class RewardFormula:
    """A compiled formula.

    Raises InvalidInput, field `reward.formula`, when the text is too long, doesn't compile or makes
    anything but a double; the message shows the mend where there is an obvious one.
    """

    __slots__ = ("_expression", "_maps", "reads_offer", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._expression = _compile(text)
        # By spelling: a map too many costs a microsecond, and one that is read is always spelt.
        self._maps = tuple(name for name in BY_KIND if re.search(rf"\b{name}\b", text))
        self.reads_offer = re.search(rf"\b{OFFER}\b", text) is not None
        """Whether it may read the offer's attributes; where it doesn't, nobody need look them up."""

    def __reduce__(self) -> tuple[type[RewardFormula], tuple[str]]:
        return RewardFormula, (self.text,)

    def __repr__(self) -> str:
        return f"RewardFormula({self.text!r})"

    def evaluate(self, summary: FeedbackSummary, offer: Mapping[str, float]) -> float:
        """Return the reward before clipping. Raises FormulaFault: a missing name, or not finite."""
        data: dict[str, Any] = {name: summary.by_kind(name) for name in self._maps}
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
