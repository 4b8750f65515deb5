"""YAML text as a tree of nodes that know their line.

The parser gives events; we build the tree from them, so that nothing a document says can cost more than its
size: aliases, anchors and tags are refused, depth is bounded, keys are unique. Scalars stay text until
somebody asks (`resolve`, by the YAML 1.2 core schema: `yes` and `on` are text). Knows nothing of catalogs.

libyaml parses where the wheel has it: 1 MiB takes 0.15 s, against 5 s in pure Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import yaml

from offer_optimizer.core import limits
from offer_optimizer.core.errors import InvalidCatalog

DEPTH: Final = 12
"""Levels of lists and mappings, inclusive. A catalog needs five, a payload some more."""

BYTE_ORDER_MARK: Final = "\ufeff"
"""Harmless at the very beginning, where some editors write it; offsets count from behind it."""

_LOADER: Final[Any] = getattr(yaml, "CLoader", yaml.Loader)
# Control characters, and the line ends of other standards, where parsers count another line than editors do.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_EXACT_INTEGER_DIGITS: Final = 18
NODES: Final = 200_000
"""Keys, values, lists and mappings of a document, inclusive; a megabyte of offers has half of it."""
_DUPLICATES: Final = 100
"""Keys written twice before we stop reading: no such document is a catalog with slips."""

Plain: TypeAlias = "str | float | bool | list[Plain] | dict[str, Plain] | None"
"""What a node says, as JSON has it."""


@dataclass(slots=True)
class Scalar:
    """One value. `line` counts from 1; `end` is the number of lines up to its last one.

    It is written in the characters from `offset` up to `offset_end`, counted from behind a byte order mark.
    """

    line: int
    end: int
    text: str
    quoted: bool
    offset: int = 0
    offset_end: int = 0

    def resolve(self) -> str | float | bool | None:
        """Return the value by the core schema; integers beyond 18 digits become floats."""
        if self.quoted:
            return self.text
        if self.text in _WORDS:
            return _WORDS[self.text]
        if _INTEGER.fullmatch(self.text):
            return int(self.text) if len(self.text) <= _EXACT_INTEGER_DIGITS else float(self.text)
        if _FLOAT.fullmatch(self.text):
            return float(self.text)
        special = _SPECIAL.fullmatch(self.text)
        if special:
            return float((special[1] or "") + "inf") if special[2] else float("nan")
        return self.text


@dataclass(slots=True)
class Items:
    """A list. `column` counts from 0; `flow` ones are written in brackets, which open at `offset`."""

    line: int
    column: int
    offset: int
    flow: bool
    end: int = 0
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Entries:
    """A mapping from key to (line of the key, node); `column`, `flow` and `offset` as for a list."""

    line: int
    column: int
    offset: int
    flow: bool
    end: int = 0
    nodes: dict[str, tuple[int, Node]] = field(default_factory=dict)

    @classmethod
    def of(cls, key: str, node: Scalar) -> Entries:
        """Return a mapping with one entry, in the place of a value that is short for it."""
        return cls(node.line, 0, 0, flow=True, end=node.end, nodes={key: (node.line, node)})


Node = Scalar | Items | Entries


@dataclass(frozen=True, slots=True)
class Tree:
    """The root of a document, and (line, problem) for each key that is written twice."""

    root: Node
    problems: tuple[tuple[int, str], ...]


def read_tree(text: str) -> Tree:
    """Parse one document. Raises InvalidCatalog for text that is no such document."""
    _check_text(text)
    events = yaml.parse(text.removeprefix(BYTE_ORDER_MARK), Loader=_LOADER)
    problems: list[tuple[int, str]] = []
    try:
        return Tree(_document(events, problems), tuple(problems))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refuse(mark.line + 1 if mark else 1, _explain(error)) from None
    except yaml.YAMLError as error:
        raise _refuse(1, str(error).splitlines()[0]) from None


def plain(node: Node) -> Plain:
    """Return what a node says as plain values; keys are text."""
    if isinstance(node, Scalar):
        return node.resolve()
    if isinstance(node, Items):
        return [plain(item) for item in node.nodes]
    return {key: plain(value) for key, (_, value) in node.nodes.items()}


def describe(node: Node) -> str:
    """Return what a node is, for "(is ...)" in a message: quoted text, the number as written, or its kind."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
        return "a mapping"
    value = node.resolve()
    if value is None:
        return "empty"
    return quote(node.text) if isinstance(value, str) else node.text[:40]


def quote(text: str) -> str:
    """Return text for a message: in double quotes, short, on one line."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short) + '"'


def _check_text(text: str) -> None:
    if len(text) > limits.DOCUMENT_BYTES or len(text.encode(errors="replace")) > limits.DOCUMENT_BYTES:
        size = len(text.encode(errors="replace"))
        raise InvalidCatalog((f"the document is {size} bytes, at most {limits.DOCUMENT_BYTES}",))
    found = _FORBIDDEN.search(text, 1 if text.startswith(BYTE_ORDER_MARK) else 0)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise _refuse(line, f"character U+{ord(found[0]):04X} is not allowed; escape it inside double quotes")


def _refuse(line: int, problem: str) -> InvalidCatalog:
    return InvalidCatalog((f"line {line}: {problem}",))


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "can't be read"
    if "cannot start any token" in problem and "'\\t'" in problem:
        problem += "; indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        problem += "; text with a colon needs quotes"
    context = f" ({error.context} from line {error.context_mark.line + 1})" if error.context_mark else ""
    return f"not valid YAML: {problem}{context}"


def _document(events: Iterator[Any], problems: list[tuple[int, str]]) -> Node:
    root: Node | None = None
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            if root is not None:
                raise _refuse(line, "a second document begins; there may be only one")
            root = _Builder(problems).build(events)
    if root is None:
        raise _refuse(1, "the document is empty")
    return root


class _Builder:
    """Builds the tree of one document, without recursion: depth is counted, never trusted."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self._problems = problems
        self._open: list[Items | Entries] = []
        self._keys: list[tuple[int, str] | None] = []

    def build(self, events: Iterator[Any]) -> Node:
        count = 0
        for event in events:
            closed = self._take(event)
            count += closed is not None
            if count > NODES:
                raise _refuse(event.start_mark.line + 1, f"has over {NODES} values, keys counted")
            if closed is not None and self._put(closed):
                return closed
        raise _refuse(1, "the document is empty")

    def _take(self, event: Any) -> Node | None:  # noqa: ANN401  (the parser's events share no useful type)
        """Return the node that this event completes, if any."""
        line = event.start_mark.line + 1
        last_line = event.end_mark.line + 1
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._keys.pop()
            closed = self._open.pop()
            if closed.flow:
                closed.end = last_line
            return closed
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _refuse(line, f"anchors and aliases are not allowed (is {quote(event.anchor)})")
        if event.tag is not None:
            raise _refuse(line, f"tags are not allowed (is {quote(event.tag)})")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if len(self._open) >= DEPTH:
            raise _refuse(line, f"nested deeper than {DEPTH} levels")
        made = Entries if isinstance(event, yaml.MappingStartEvent) else Items
        mark = event.start_mark
        self._open.append(made(line, mark.column, mark.index, bool(event.flow_style)))
        self._keys.append(None)
        return None

    def _put(self, node: Node) -> bool:
        """Put a complete node into the one it belongs to; return whether it is the root."""
        if not self._open:
            return True
        parent = self._open[-1]
        if not parent.flow:
            parent.end = max(parent.end, node.end)
        if isinstance(parent, Items):
            parent.nodes.append(node)
            return False
        key = self._keys[-1]
        if key is None:
            if not isinstance(node, Scalar):
                raise _refuse(node.line, "a key must be plain text")
            self._keys[-1] = (node.line, node.text)
            return False
        self._keys[-1] = None
        line, name = key
        if name in parent.nodes:
            first = parent.nodes[name][0]
            self._problems.append((line, f"key {quote(name)} is written twice, first in line {first}"))
            if len(self._problems) > _DUPLICATES:
                raise InvalidCatalog(tuple(f"line {at}: {problem}" for at, problem in self._problems))
        else:
            parent.nodes[name] = (line, node)
        return False


def _scalar(event: Any) -> Scalar:  # noqa: ANN401  (the parser's events share no useful type)
    start, end = event.start_mark, event.end_mark
    # The mark behind a block text is where the next line begins; behind all others it is in their last line.
    behind = end.line if event.style in ("|", ">") and end.column == 0 else end.line + 1
    if _SURROGATE.search(event.value):
        raise _refuse(start.line + 1, "half of a surrogate pair is not a character")
    return Scalar(start.line + 1, behind, event.value, not event.implicit[0], start.index, end.index)
