"""Features of a context or an offer, validated and in one canonical order.

Names are sorted by their UTF-8 bytes (the order of code points is the same), because protobuf maps
iterate in another order in every process and Vowpal Wabbit sums in feature order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from offer_optimizer.core import limits
from offer_optimizer.core.checked import checked_dataclass
from offer_optimizer.core.errors import InvalidInput

_SHORT: Final = limits.NAME_BYTES // 4
"""Characters of a text that can't be over the limit: each takes four bytes at most."""


@checked_dataclass(frozen=True, slots=True)
class Features:
    """Typed features; each tuple is ascending by name, so equal features compare and hash equal."""

    categories: tuple[tuple[str, str], ...] = ()
    numbers: tuple[tuple[str, float], ...] = ()
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def count(self) -> int:
        """Return how many features there are; every value of a tag set counts as one."""
        return len(self.categories) + len(self.numbers) + sum([len(values) for _, values in self.tags])


EMPTY = Features()


def build_features(
    categories: Mapping[str, str],
    numbers: Mapping[str, float],
    tags: Mapping[str, Iterable[str]],
    *,
    where: str,
    limit: int,
) -> Features:
    """Validate three maps and put them in canonical order.

    `where` begins the field path of errors; `limit` is the largest allowed feature count, inclusive.
    Raises InvalidInput naming field and limit.
    """
    text_names, number_names, tag_names = sorted(categories), sorted(numbers), sorted(tags)
    found = Features(
        _checked_categories(text_names, categories, where),
        _checked_numbers(number_names, numbers, where),
        _checked_tags(tag_names, tags, where),
    )
    if found.count() > limit:
        raise InvalidInput(where, f"{found.count()} features, at most {limit}")
    names = [*text_names, *number_names, *tag_names]
    if len(names) != len(set(names)):
        twice = min(name for name in names if names.count(name) > 1)
        raise InvalidInput(where, f"{show(twice)} is used in more than one map")
    return found


# These run for every feature of every request: so maps of protobuf are passed as they are, since looking up
# their names costs what copying them would, and the path of an error is built only for an error.


def _checked_categories(
    names: list[str], categories: Mapping[str, str], where: str
) -> tuple[tuple[str, str], ...]:
    found = []
    for name in names:
        value = categories[name]
        if not name or (len(name) > _SHORT and _is_over(name)):
            check_name(name, f"{where}.categories")
        if len(value) > _SHORT and _is_over(value):
            check_text(value, f"{where}.categories[{show(name)}]")
        found.append((name, value))
    return tuple(found)


def _checked_numbers(
    names: list[str], numbers: Mapping[str, float], where: str
) -> tuple[tuple[str, float], ...]:
    found = []
    for name in names:
        number = numbers[name]
        if not name or (len(name) > _SHORT and _is_over(name)):
            check_name(name, f"{where}.numbers")
        if not -limits.NUMBER_MAGNITUDE <= number <= limits.NUMBER_MAGNITUDE:
            check_number(number, f"{where}.numbers[{show(name)}]")
        # Adding zero turns -0.0 into 0.0, and an integer into a float: equal features must give equal bytes.
        found.append((name, number + 0.0))
    return tuple(found)


def _checked_tags(
    names: list[str], tags: Mapping[str, Iterable[str]], where: str
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for name in names:
        if not name or (len(name) > _SHORT and _is_over(name)):
            check_name(name, f"{where}.tags")
        values = tuple(sorted(set(tags[name])))
        for value in values:
            if len(value) > _SHORT and _is_over(value):
                check_text(value, f"{where}.tags[{show(name)}]")
        found.append((name, values))
    return tuple(found)


def _is_over(text: str) -> bool:
    return len(text) > limits.NAME_BYTES or len(text.encode()) > limits.NAME_BYTES


def show(name: str) -> str:
    """Return a name for an error message: quoted, escaped and short."""
    return ascii(name if len(name) <= 40 else name[:37] + "...")


def check_name(name: str, where: str) -> None:
    """Raise InvalidInput unless `name` is not empty and fits the limit."""
    if not name:
        raise InvalidInput(where, "a name is empty")
    check_text(name, where)


def check_text(text: str, where: str) -> None:
    """Raise InvalidInput unless `text` fits the limit in UTF-8 bytes; any character is allowed."""
    if _is_over(text):
        raise InvalidInput(where, f"{show(text)} is {len(text.encode())} bytes, at most {limits.NAME_BYTES}")


def check_number(number: float, where: str) -> None:
    """Raise InvalidInput unless `number` is finite and within the magnitude limit, inclusive."""
    if not math.isfinite(number):
        raise InvalidInput(where, f"{number} is not finite")
    if abs(number) > limits.NUMBER_MAGNITUDE:
        raise InvalidInput(where, f"{number:g} is over {limits.NUMBER_MAGNITUDE:g} in magnitude")
