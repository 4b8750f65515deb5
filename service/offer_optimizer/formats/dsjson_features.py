"""JSON objects as features, and the names that this gives them.

    {"user": {"age": 31, "city": "Bern"}, "likes": ["a", "b"], "scores": [0.5, 2]}
    numbers user.age, scores[0], scores[1]; category user.city; tags likes

A name is the path to a value: keys with a dot between, a backslash before every dot, backslash or opening
bracket that is part of a key, positions in brackets. So different paths have different names. An object in a
list goes by the list's own name, and only the second and later ones by their positions, because namespaces
are often wrapped in a list of one. Strings are categories, strings in lists are tags, true and false are 1
and 0, null is nothing. Keys that begin with `_` are left out, as Vowpal Wabbit does; `_text` becomes tags, a
word each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Final

from offer_optimizer.core import limits
from offer_optimizer.core.features import Features, show
from offer_optimizer.formats.lines import LineProblem

DEPTH: Final = 16
"""Objects and lists in each other."""
_SYNTAX: Final = re.compile(r"[\\.\[]")
_PART: Final = re.compile(r"(?:[^\\.]|\\.)+")


def flatten(value: Mapping[str, Any], where: str, leave_out: Collection[str] = ()) -> Features:
    """Return an object as features, without the names to leave out. Raises LineProblem; `where` begins it."""
    maps = _Maps(where, leave_out)
    maps.add_object("", value, 0)
    return Features(
        categories=tuple(sorted(maps.categories.items())),
        numbers=tuple(sorted(maps.numbers.items())),
        tags=tuple((name, tuple(sorted(values))) for name, values in sorted(maps.tags.items())),
    )


def split_name(name: str) -> list[str]:
    """Return the keys that a name was made of; positions stay at the end of theirs."""
    return [re.sub(r"\\(.)", r"\1", part) for part in _PART.findall(name)]


@lru_cache(maxsize=65536)
def _join(path: str, key: str) -> str:
    escaped = _SYNTAX.sub(lambda found: "\\" + found[0], key)
    return f"{path}.{escaped}" if path else escaped


class _Maps:
    """Collects the features of one object."""

    def __init__(self, where: str, leave_out: Collection[str]) -> None:
        self._where = where
        self._leave_out = leave_out
        self.categories: dict[str, str] = {}
        self.numbers: dict[str, float] = {}
        self.tags: dict[str, set[str]] = {}

    def add_object(self, path: str, value: Mapping[str, Any], depth: int) -> None:
        """Add what an object holds."""
        for key, item in value.items():
            if not key:
                raise LineProblem(f"{self._where}: a key in {show(path)} is empty")
            if key == "_text" and isinstance(item, str):
                self._tag(_join(path, key), item.split())
            elif not key.startswith("_"):
                self._add(_join(path, key), item, depth + 1)

    def _add(self, name: str, item: object, depth: int) -> None:
        if isinstance(item, str):
            if name not in self._leave_out:
                self.categories[name] = item
        elif isinstance(item, int | float):
            self._number(name, item)
        elif item is None or name in self._leave_out:
            return
        elif depth >= DEPTH:
            raise LineProblem(f"{self._where}: {show(name)} is deeper than {DEPTH}")
        elif isinstance(item, dict):
            self.add_object(name, item, depth)
        elif isinstance(item, list):
            self._list(name, item, depth)

    def _list(self, name: str, items: list[object], depth: int) -> None:
        for position, item in enumerate(items):
            if isinstance(item, str):
                self._tag(name, [item])
            elif isinstance(item, dict) and position == 0:
                self.add_object(name, item, depth)
            else:
                self._add(f"{name}[{position}]", item, depth + 1)

    def _tag(self, name: str, values: list[str]) -> None:
        if name not in self._leave_out and values:
            self.tags.setdefault(name, set()).update(values)

    def _number(self, name: str, raw: float) -> None:
        if name in self._leave_out:
            return
        try:
            number = float(raw)
        except OverflowError:
            number = math.inf
        if not abs(number) <= limits.NUMBER_MAGNITUDE:
            problem = f"{number:g} is over {limits.NUMBER_MAGNITUDE:g} in magnitude"
            raise LineProblem(f"{self._where}: {show(name)}: {problem}")
        # Adding zero turns -0.0 into 0.0: equal features are equal.
        self.numbers[name] = number + 0.0
