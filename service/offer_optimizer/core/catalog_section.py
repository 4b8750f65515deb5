"""Reads typed fields out of one mapping of a catalog document and notes what is wrong with them.

A reader never raises for what a document says: it notes the problem with its line and returns None (or the
default), so that one look at a document finds all defects. Knows no offer, no placement.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from offer_optimizer.core import limits
from offer_optimizer.core.catalog_time import check_zone, format_duration, parse_time_us
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.yaml_tree import Entries, Items, Node, Scalar, describe, quote

ID_RULE: Final = "must begin with a letter or digit and go on with letters, digits, `.`, `_` or `-`"
PROBLEMS_SHOWN: Final = 200
"""A reader mends no more at once, and a reply has to stay small."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s?(s|m|h|d)")
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s?%")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER_RULE: Final = f"must be a finite number, at most {limits.NUMBER_MAGNITUDE:.0e}".replace("+0", "")


@dataclass(slots=True)
class Problems:
    """The defects found so far."""

    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, where: str, key: str, problem: str) -> None:
        """Note a defect; `where` names the part (`offer "x"`), `key` the field; both may be empty."""
        parts = [f"line {line}", *([where] if where else []), *([f"field {quote(key)}"] if key else [])]
        self.found.append((line, f"{', '.join(parts)}: {problem}"))

    def lines(self) -> tuple[str, ...]:
        """Return the defects in the order of the document."""
        ordered = [text for _, text in sorted(self.found, key=lambda entry: entry[0])]
        left = len(ordered) - PROBLEMS_SHOWN
        return tuple(ordered) if left <= 0 else (*ordered[:PROBLEMS_SHOWN], f"and {left} more problems")


class Section:
    """One mapping: `where` names it in messages, `prefix` begins its fields' names (`reward.`)."""

    def __init__(self, node: Entries, where: str, problems: Problems, prefix: str = "") -> None:
        self.line = node.line
        self.where = where
        self._nodes = node.nodes
        self._problems = problems
        self._prefix = prefix

    def problem(self, key: str, problem: str, *, line: int | None = None) -> None:
        """Note a defect at `line`, by default that of the key or, where it is missing, of the section."""
        at = line or (self._nodes[key][0] if key in self._nodes else self.line)
        self._problems.add(at, self.where, self._prefix + key if key else "", problem)

    def check_keys(
        self, known: Sequence[str], reserved: Sequence[str] = (), hints: Mapping[str, str] | None = None
    ) -> None:
        """Note each key that is not in `known`: as reserved, with its hint, or with the nearest known key."""
        for key in sorted(self._nodes.keys() - set(known)):
            if key in reserved:
                self.problem(key, f"{quote(key)} is reserved and not served by this release")
                continue
            elsewhere = hints or {}
            near = difflib.get_close_matches(key[: limits.NAME_BYTES], (*known, *elsewhere), n=1)
            hint = f"did you mean {quote(near[0])}?" if near else f"known are {', '.join(known)}"
            if near and near[0] in elsewhere:
                hint = elsewhere[near[0]] if near[0] == key else f"{hint} {elsewhere[near[0]]}"
            self.problem(key, f"is not a known key; {hint}")

    def node(self, key: str) -> Node | None:
        """Return a field's node. Notes an empty one, and returns None for it or where it is missing."""
        if key not in self._nodes:
            return None
        node = self._nodes[key][1]
        if isinstance(node, Scalar) and node.resolve() is None:
            self.problem(key, "is empty: give it a value or remove it")
            return None
        return node

    def has(self, key: str) -> bool:
        """Return whether the key is written, whatever its value."""
        return key in self._nodes

    def line_of(self, key: str) -> int:
        """Return the line of a key, or of the section where it is missing."""
        return self._nodes[key][0] if key in self._nodes else self.line

    def require(self, key: str) -> bool:
        """Return whether the key is written; note it as missing otherwise."""
        if key not in self._nodes:
            self.problem(key, "is missing")
            return False
        return True

    def filled_text(self, key: str, limit: int) -> str:
        """Return a text as `text` does, but note one that has no characters other than blanks."""
        node = self.node(key)
        if isinstance(node, Scalar) and not node.text.strip():
            self.problem(key, "is empty: give it a value or remove it")
            return ""
        return self.text(key, limit) if node is not None else ""

    def text(self, key: str, limit: int = limits.NAME_BYTES) -> str:
        """Return a text of at most `limit` UTF-8 bytes; "" where it is missing or wrong."""
        node = self.node(key)
        return "" if node is None else self.text_of(node, key, limit) or ""

    def text_of(self, node: Node, key: str, limit: int = limits.NAME_BYTES) -> str | None:
        """Return the text of a node that belongs to `key`; None where it is wrong."""
        value = node.resolve() if isinstance(node, Scalar) else None
        if not isinstance(value, str):
            advice = f"; write {quote(node.text)} in quotes" if isinstance(node, Scalar) and node.text else ""
            self.problem(key, f"must be text (is {describe(node)}){advice}", line=node.line)
            return None
        size = len(value.encode())
        if size > limit:
            self.problem(key, f"is {size} bytes, at most {limit}", line=node.line)
            return None
        return value

    def identifier(self, key: str) -> str | None:
        """Return a required id; None where it is missing or wrong."""
        if not self.require(key):
            return None
        node = self.node(key)
        return None if node is None else self.identifier_of(node, key)

    def identifier_of(self, node: Node, key: str) -> str | None:
        """Return the id that a node spells; None where it is wrong."""
        value = self.text_of(node, key)
        if value is not None and not _ID.fullmatch(value):
            self.problem(key, f"{ID_RULE} (is {quote(value)})", line=node.line)
            return None
        return value

    def identifiers(self, key: str, limit: int) -> list[tuple[int, str]]:
        """Return a list of distinct ids with their lines; wrong ones are left out, all if too many."""
        found: dict[str, int] = {}
        for node in self.items(key, limit):
            value = self.identifier_of(node, key)
            if value is not None and value in found:
                problem = f"{quote(value)} is listed twice, first in line {found[value]}"
                self.problem(key, problem, line=node.line)
            elif value is not None:
                found[value] = node.line
        return [(line, value) for value, line in found.items()]

    def items(self, key: str, limit: int) -> list[Node]:
        """Return the nodes of a list of at most `limit`; none where it is missing, wrong or too long."""
        node = self.node(key)
        if node is None:
            return []
        if not isinstance(node, Items):
            self.problem(key, f"must be a list (is {describe(node)})")
            return []
        if len(node.nodes) > limit:
            self.problem(key, f"has {len(node.nodes)} entries, at most {limit}")
            return []
        return node.nodes

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number in [low, high]; the default where it is missing or wrong."""
        node = self.node(key)
        if node is None:
            return default
        value = self.number_of(node, key)
        if value is not None and not low <= value <= high:
            self.problem(key, f"must be from {low:g} to {high:g} (is {describe(node)})")
            return default
        return default if value is None else value

    def number_of(self, node: Node, key: str) -> float | None:
        """Return the number of a node that belongs to `key`, within the magnitude limit, or None."""
        value = node.resolve() if isinstance(node, Scalar) else None
        if isinstance(value, str | bool) or value is None:
            self.problem(key, f"{_NUMBER_RULE} (is {describe(node)})", line=node.line)
            return None
        if not math.isfinite(value) or abs(value) > limits.NUMBER_MAGNITUDE:
            self.problem(key, f"{_NUMBER_RULE} (is {describe(node)})", line=node.line)
            return None
        return float(value) + 0.0

    def choice(self, key: str, allowed: Sequence[str], default: str | None) -> str | None:
        """Return one of `allowed`; the default where it is missing or wrong. None as default: required."""
        if default is None and not self.require(key):
            return None
        node = self.node(key)
        if node is None:
            return default
        if isinstance(node, Scalar) and node.text in allowed:
            return node.text
        self.problem(key, f"must be one of {', '.join(allowed)} (is {describe(node)})")
        return default

    def is_empty_list(self, key: str) -> bool:
        """Return whether a field is a list without entries."""
        node = self._nodes[key][1] if key in self._nodes else None
        return isinstance(node, Items) and not node.nodes

    def duration_s(self, key: str, default: float, low: float, high: float, *, or_else: str = "") -> float:
        """Return a duration such as 30m in seconds, in [low, high]; the default where missing or wrong.

        `or_else` names what the caller would have taken too.
        """
        node = self.node(key)
        if node is None:
            return default
        found = _DURATION.fullmatch(node.text) if isinstance(node, Scalar) else None
        if not found:
            forms = f"a duration like 3s, 30m, 12h or 7d{', or ' if or_else else ''}{or_else}"
            self.problem(key, f"must be {forms} (is {describe(node)})")
            return default
        seconds = float(found[1]) * _SECONDS[found[2]]
        if not low <= seconds <= high:
            self.problem(
                key, f"must be from {format_duration(low)} to {format_duration(high)} (is {describe(node)})"
            )
            return default
        return seconds

    def share(self, key: str, default: float) -> float:
        """Return a share in [0, 1], written as a number or in percent; the default where missing or wrong."""
        node = self.node(key)
        found = _SHARE.fullmatch(node.text) if isinstance(node, Scalar) else None
        value = float(found[1]) / 100.0 if found else None
        if value is None and node is not None:
            resolved = node.resolve() if isinstance(node, Scalar) else None
            value = float(resolved) if isinstance(resolved, float) or type(resolved) is int else -1.0
        if value is not None and not 0.0 <= value <= 1.0:
            problem = "must be a share from 0 to 1, or from 0% to 100%"
            self.problem(key, f"{problem} (is {describe(node) if node else 'empty'})")
            return default
        return default if value is None else value

    def whole(self, key: str, low: int, high: int) -> int | None:
        """Return a required whole number in [low, high]; None where it is missing or wrong."""
        node = self.node(key) if self.require(key) else None
        if node is None:
            return None
        value = node.resolve() if isinstance(node, Scalar) else None
        if type(value) is not int or not low <= value <= high:
            self.problem(key, f"must be a whole number from {low} to {high} (is {describe(node)})")
            return None
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false where it is missing or wrong."""
        node = self.node(key)
        value = node.resolve() if isinstance(node, Scalar) else None
        if node is not None and not isinstance(value, bool):
            self.problem(key, f"must be true or false (is {describe(node)})")
        return value is True

    def time_us(self, key: str) -> int | None:
        """Return a point in time in microseconds since the epoch; None where it is missing or wrong."""
        text = self.filled_text(key, limits.NAME_BYTES)
        if not text:
            return None
        try:
            return parse_time_us(text)
        except InvalidInput as error:
            self.problem(key, error.problem)
            return None

    def zone(self, key: str, default: str) -> str:
        """Return a time zone; the default where it is missing or wrong."""
        text = self.filled_text(key, limits.NAME_BYTES)
        if not text:
            return default
        try:
            check_zone(text)
        except InvalidInput as error:
            self.problem(key, error.problem)
            return default
        return text

    def mapping(self, key: str) -> Section | None:
        """Return the section inside a field; None where it is missing or no mapping."""
        node = self.node(key)
        if node is None:
            return None
        if not isinstance(node, Entries):
            self.problem(key, f"must be a mapping (is {describe(node)})")
            return None
        return Section(node, self.where, self._problems, f"{self._prefix}{key}.")

    def parts(self, key: str, limit: int) -> list[Section]:
        """Return the sections of a list of mappings; what is none is noted and left out."""
        found = []
        for number, node in enumerate(self.items(key, limit)):
            if isinstance(node, Entries):
                found.append(Section(node, self.where, self._problems, f"{self._prefix}{key}[{number}]."))
            else:
                self.problem(key, f"must list mappings (is {describe(node)})", line=node.line)
        return found

    def entries(self) -> Iterable[tuple[str, Node]]:
        """Return keys and nodes in the order of the document."""
        return [(key, node) for key, (_, node) in self._nodes.items()]
