"""The target policy `cel:EXPRESSION`: CEL over the context that makes an offer id.

Columns are read as `context.NAME` or `context["any name"]`; wholly numeric ones are doubles, others strings,
and whole numbers in the expression are taken as doubles where that is what it needs. A value that a row lacks
is NaN or the empty string; `has(context.NAME)` asks. An id that is not eligible in a row is never replaced:
the row has no support.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from cel_expr_python import cel

from offer_optimizer.core import limits
from offer_optimizer.core.cel import Spelling, compile_text, runtime_complaint, with_decimals
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import Log, LogRows, Vocabulary
from offer_optimizer.evaluate.factors import (
    Value,
    column_or_missing,
    combinations,
    is_numeric,
)
from offer_optimizer.evaluate.target import LogFacts, StillRun, TargetRows, TargetRun, certain
from offer_optimizer.evaluate.target_fixed import unknown_offers

_SPELLING: Final = Spelling(("context",))
_FIELD: Final = "policy cel"
_KEPT: Final = 100_000
"""Combinations whose answer is remembered."""
_ANSWERS_LISTED: Final = 1000
"""Ids that the expression made, kept to tell which of them the log never had."""


@dataclass(frozen=True, slots=True)
class _Alias:
    """A variable that stands where the text reads a column, as long as what it replaces."""

    variable: str
    column: int
    asks: bool
    spelt: str


@dataclass(frozen=True, slots=True)
class CelPolicy:
    """Shows the offer whose id an expression makes."""

    text: str
    expression: str
    is_progressive: bool = False
    needs_facts: bool = False

    def __post_init__(self) -> None:
        _rewrite(self.expression)

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy."""
        return _CelRun(self.expression, log.vocabulary)


class _CelRun(StillRun):
    def __init__(self, expression: str, vocabulary: Vocabulary) -> None:
        self._text, self._columns, self._aliases = _rewrite(expression)
        self._vocabulary = vocabulary
        self._is_number: list[bool] | None = None
        self._seen = [False] * len(self._columns)
        self._compiled: Any = None
        self._answers: dict[tuple[Value, ...], str] = {}
        self._made: dict[str, None] = {}
        self._names: set[str] = set()

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun. Raises InvalidInput: the expression fails for a row, or makes no text."""
        known = self._is_number or [False] * len(self._columns)
        found = [
            column_or_missing(rows.contexts, name, is_number=kind)
            for name, kind in zip(self._columns, known, strict=True)
        ]
        self._seen = [seen or there for seen, (_, there) in zip(self._seen, found, strict=True)]
        if not all(self._seen):
            self._names.update(rows.contexts.names())
        columns = [column for column, _ in found]
        kinds = [is_numeric(column) for column in columns]
        if self._compiled is None or kinds != self._is_number:
            self._is_number, self._answers = kinds, {}
            self._compiled = self._compile(kinds)
        groups = combinations(columns, len(rows))
        numbers = [self._number(values) for values in groups.values]
        return certain(rows, np.array(numbers, dtype=np.int64)[groups.code] if numbers else -1)

    def refusal(self) -> str:
        """See TargetRun."""
        for name, seen in zip(self._columns, self._seen, strict=True):
            if not seen:
                near = difflib.get_close_matches(name, self._names, n=1)
                hint = f"; did you mean {show(near[0])}?" if near else ""
                return f"the log has no context column {show(name)}{hint}"
        return unknown_offers(list(self._made), self._vocabulary)

    def _number(self, values: tuple[Value, ...]) -> int:
        answer = self._answers.get(values)
        if answer is None:
            if len(self._answers) >= _KEPT:
                self._answers.clear()
            answer = self._answers[values] = self._evaluate(values)
            if len(self._made) < _ANSWERS_LISTED:
                self._made[answer] = None
        number = self._vocabulary.find(answer)
        return -1 if number is None else number

    def _evaluate(self, values: tuple[Value, ...]) -> str:
        data = {
            alias.variable: _is_there(values[alias.column]) if alias.asks else values[alias.column]
            for alias in self._aliases
        }
        try:
            answer = self._compiled.eval(data=data).value()
        except (RuntimeError, TypeError, ValueError) as error:
            raise InvalidInput(_FIELD, runtime_complaint(str(error)) + self._where(values)) from None
        if not isinstance(answer, str):
            raise InvalidInput(_FIELD, runtime_complaint(str(answer)) + self._where(values))
        return answer

    def _where(self, values: tuple[Value, ...]) -> str:
        named = [f"{show(name)} = {value!r}" for name, value in zip(self._columns, values, strict=True)]
        return f" (where {', '.join(named)})" if named else ""

    def _compile(self, kinds: Sequence[bool]) -> Any:  # noqa: ANN401  (the library has no types)
        """Compile for columns of these kinds. Raises InvalidInput with the place in the text as it was
        given.
        """
        try:
            return self._compiled_as(self._text, kinds)
        except InvalidInput as first:
            try:
                return self._compiled_as(with_decimals(self._text), kinds)
            except InvalidInput:
                problem = first.problem
        for alias in self._aliases:
            problem = problem.replace(alias.variable, alias.spelt)
        kinds_told = ", ".join(
            f"{show(name)} is {'a number' if kind else 'text'}"
            for name, kind in zip(self._columns, kinds, strict=True)
        )
        raise InvalidInput(_FIELD, f"{problem}{f' ({kinds_told})' if kinds_told else ''}")

    def _compiled_as(self, text: str, kinds: Sequence[bool]) -> Any:  # noqa: ANN401  (the library has no types)
        types = {
            alias.variable: cel.Type.BOOL
            if alias.asks
            else (cel.Type.DOUBLE if kinds[alias.column] else cel.Type.STRING)
            for alias in self._aliases
        }
        compiled = compile_text(cel.NewEnv(variables=types), text, _FIELD, limits.FORMULA_BYTES, lambda _: "")
        kind = compiled.return_type()
        if kind != cel.Type.STRING:
            raise InvalidInput(
                _FIELD, f"must make the id of an offer, a text in quotes, not {kind.name().lower()}"
            )
        return compiled


def _is_there(value: Value) -> bool:
    return value != "" if isinstance(value, str) else not math.isnan(value)


def _rewrite(text: str) -> tuple[str, list[str], list[_Alias]]:
    """Return the text with a variable of its length for every column that is read, and which they are.

    Raises InvalidInput where the context is read in another way: then what it depends on can't be told.
    """
    columns: dict[str, int] = {}
    aliases: list[_Alias] = []
    pieces: list[str] = []
    last = 0
    for start, end, reference in _SPELLING.places(text):
        asked = re.search(r"\bhas\(\s*$", text[last:start])
        closing = re.match(r"\s*\)", text[end:])
        asks = asked is not None and closing is not None
        if asked is not None and closing is not None:
            start, end = last + asked.start(), end + closing.end()  # noqa: PLW2901  (the whole question)
        spelt = text[start:end]
        column = columns.setdefault(reference.name, len(columns))
        alias = _Alias(f"c{len(aliases)}".ljust(len(spelt), "_"), column, asks, spelt)
        aliases.append(alias)
        pieces += [text[last:start], alias.variable]
        last = end
    rewritten = "".join([*pieces, text[last:]])
    if _SPELLING.maps(rewritten):
        raise InvalidInput(_FIELD, 'columns are read as `context.NAME` or `context["any name"]`, one by one')
    return rewritten, list(columns), aliases
