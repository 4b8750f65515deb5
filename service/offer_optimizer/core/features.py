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
        return len(self.categories) + len(self.numbers) + sum(len(values) for _, values in self.tags)


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
    # Maps of protobuf are passed as they are: looking up the sorted names is what copying one would cost.
    texts = [(name, categories[name]) for name in sorted(categories)]
    # Adding zero turns -0.0 into 0.0, and an integer into a float: equal features must give equal bytes.
    amounts = [(name, numbers[name] + 0.0) for name in sorted(numbers)]
    if not _are_plain(texts):
        _check_categories(texts, where)
    _check_numbers(amounts, where)
    found = Features(tuple(texts), tuple(amounts), _sorted_tags(tags, where) if tags else ())
    if found.count() > limit:
        raise InvalidInput(where, f"{found.count()} features, at most {limit}")
    names = [name for group in (texts, amounts, found.tags) for name, _ in group]
    if len(names) != len(set(names)):
        twice = min(name for name in names if names.count(name) > 1)
        raise InvalidInput(where, f"{show(twice)} is used in more than one map")
    return found


# The path of an error is built only for an error: these run for every feature of every request.


def _are_plain(texts: list[tuple[str, str]]) -> bool:
    """Return whether no name is empty and nothing can be over the limit, whatever its characters."""
    return not texts or (texts[0][0] != "" and max([len(text) for pair in texts for text in pair]) <= _SHORT)


def _check_categories(texts: list[tuple[str, str]], where: str) -> None:
    for name, value in texts:
        if not _fits_name(name):
            check_name(name, f"{where}.categories")
        if not _fits_text(value):
            check_text(value, f"{where}.categories[{show(name)}]")


def _check_numbers(amounts: list[tuple[str, float]], where: str) -> None:
    for name, number in amounts:
        if not 0 < len(name) <= _SHORT:
            check_name(name, f"{where}.numbers")
        if not -limits.NUMBER_MAGNITUDE <= number <= limits.NUMBER_MAGNITUDE:
            check_number(number, f"{where}.numbers[{show(name)}]")


def _sorted_tags(tags: Mapping[str, Iterable[str]], where: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for name in sorted(tags):
        if not _fits_name(name):
            check_name(name, f"{where}.tags")
        values = tuple(sorted(set(tags[name])))
        for value in values:
            if len(value) > _SHORT:
                check_text(value, f"{where}.tags[{show(name)}]")
        found.append((name, values))
    return tuple(found)


def _fits_text(text: str) -> bool:
    # An ASCII character takes one byte.
    length = len(text)
    return length * 4 <= limits.NAME_BYTES or (length <= limits.NAME_BYTES and text.isascii())


def _fits_name(name: str) -> bool:
    return bool(name) and _fits_text(name)


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
    if len(text) > limits.NAME_BYTES or len(text.encode()) > limits.NAME_BYTES:
        raise InvalidInput(where, f"{show(text)} is {len(text.encode())} bytes, at most {limits.NAME_BYTES}")


def check_number(number: float, where: str) -> None:
    """Raise InvalidInput unless `number` is finite and within the magnitude limit, inclusive."""
    if not math.isfinite(number):
        raise InvalidInput(where, f"{number} is not finite")
    if abs(number) > limits.NUMBER_MAGNITUDE:
        raise InvalidInput(where, f"{number:g} is over {limits.NUMBER_MAGNITUDE:g} in magnitude")
