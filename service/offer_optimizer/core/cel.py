"""What rules and reward formulas share: CEL compiled once, complaints with a mend, names by spelling.

An expression reads maps by name (`category.device`, `offer["cost"]`). CEL bounds itself: depth 32 and 10,000
steps of a loop. Evaluating a compiled expression is safe from several threads. Knows no rule and no formula.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show

_SKIPPED: Final = r"""
    //[^\n]*                                                                # a comment
  | (?<!\w)(?:[rR][bB]?|[bB][rR])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')  # text without escapes
  | \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3}                     # text over several lines
  | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'                               # text
"""
_SLIPS: Final = re.compile(
    rf"""(?P<skipped>{_SKIPPED})
      | (?<![\w.])(?P<integer>\d+)(?![\w.])
      | (?<![\w.])(?P<word>and|or|not|AND|OR|NOT)(?!\w)
      | (?<![=!<>])(?P<equals>=)(?!=)
      | (?P<unequal><>)""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: Final = {"and": "&&", "or": "||", "not": "!"}


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that an expression reads: `count.click` is map "count", name "click"."""

    map: str
    name: str


class Spelling:
    """Finds, in the text of expressions, which of the maps named here they read. Sound texts only."""

    def __init__(self, maps: Sequence[str]) -> None:
        names = "|".join(maps)
        self._maps = re.compile(
            rf"(?P<skipped>{_SKIPPED})|(?<![\w.])(?P<map>{names})(?!\w)", re.VERBOSE | re.DOTALL
        )
        self._words = re.compile(
            rf"(?P<skipped>{_SKIPPED})|(?<!\w)(?P<map>{names})(?!\w)", re.VERBOSE | re.DOTALL
        )
        self._references = re.compile(
            rf"""(?<![\w.])(?P<map>{names})\s*
                 (?: \.\s*(?P<name>[A-Za-z_]\w*)\b(?!\s*\()
                   | \[\s*(?: "(?P<double>[^"\\\n]*)" | '(?P<single>[^'\\\n]*)' )\s*\] )
               | (?P<skipped>{_SKIPPED})""",
            re.VERBOSE | re.DOTALL,
        )

    def maps(self, text: str) -> frozenset[str]:
        """Return the maps that are spelt outside texts and comments."""
        return frozenset(found["map"] for found in self._maps.finditer(text) if found["map"])

    def references(self, text: str) -> tuple[Reference, ...]:
        """Return the names read by a fixed spelling (`count.click`, `offer["cost"]`), once each."""
        return tuple(dict.fromkeys(self._each(text)))

    def names(self, text: str) -> frozenset[Reference] | None:
        """Return the names read by a fixed spelling; None where there is more, as in `size(tag)`."""
        words = sum(1 for found in self._words.finditer(text) if found["map"])
        fixed = list(self._each(text))
        return frozenset(fixed) if len(fixed) == words else None

    def places(self, text: str) -> Iterator[tuple[int, int, Reference]]:
        """Yield where each such name stands, as [start, end), and what it is."""
        for found in self._references.finditer(text):
            if found["map"]:
                name = found["name"] or found["double"] or found["single"] or ""
                yield found.start(), found.end(), Reference(found["map"], name)

    def _each(self, text: str) -> Iterator[Reference]:
        yield from (reference for _, _, reference in self.places(text))


def guards(text: str, reference: Reference) -> bool:
    """Return whether a text asks if the name is there: `has(offer.NAME)` or `"NAME" in offer`."""
    name, map_name = re.escape(reference.name), re.escape(reference.map)
    dotted = rf"has\(\s*{map_name}\s*\.\s*{name}\s*\)"
    return bool(re.search(rf"""{dotted}|["']{name}["']\s+in\s+{map_name}\b""", text))


def compile_text(environment: Any, text: str, where: str, limit: int, mend: Callable[[str], str]) -> Any:  # noqa: ANN401  (the library has no types)
    """Compile a text of at most `limit` UTF-8 bytes.

    Raises InvalidInput, field `where`, with the place of the first complaint and what `mend` advises.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput(where, "is not valid text") from None
    if size > limit:
        raise InvalidInput(where, f"is {size} bytes, at most {limit}")
    try:
        return environment.compile(text)
    except RuntimeError as error:
        problem = complaint(str(error))
        advice = "; text is written in quotes" if "undeclared reference" in problem else ""
        raise InvalidInput(where, problem + (mend(text) or advice)) from None


def complaint(message: str) -> str:
    """Return the first complaint of CEL's message as "at character 7: ..."."""
    found = re.search(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)", message)
    if not found:
        return message.splitlines()[0][:200] if message else "can't be read"
    line, column, problem = int(found[1]), int(found[2]), found[3]
    problem = problem.replace(" (in container '')", "").replace(" [INVALID_ARGUMENT]", "")
    operator = re.search(r"overload for '_?\??([^_\w'?]+)(?::?_)?' applied to '\((.*)\)'", problem)
    if operator:
        problem = f"`{operator[1]}` can't take ({operator[2]})"
    problem = problem.split(" expecting {")[0][:200]
    if line < 1:
        return problem
    where = f"at character {column}" if line == 1 else f"at line {line} of the text, character {column}"
    return f"{where}: {problem}"


def runtime_complaint(message: str) -> str:
    """Return why an evaluation failed, for people."""
    missing = re.search(r'Key not found in map : "(.*)"', message)
    if missing:
        return f"there is no {show(missing[1])} to read"
    return message.splitlines()[0][:200] if message else "can't be evaluated"


def advise(text: str, is_sound: Callable[[str], bool]) -> str:
    """Return the mend of the slips that people make, with the whole text where that alone mends it.

    Integers for decimals, `=` for `==`, `<>` for `!=`, and words for `&&`, `||` and `!`.
    """
    decimals = with_decimals(text)
    operators = _SLIPS.sub(lambda found: found[0] if found["integer"] else _operator(found), text)
    both = _SLIPS.sub(lambda found: found[0] + ".0" if found["integer"] else _operator(found), text)
    if operators != text:
        sound = next((mended for mended in (operators, both) if is_sound(mended)), "")
        rule = "; the operators are `==`, `!=`, `&&`, `||` and `!`"
        return f"{rule}: write `{sound}`" if sound else rule
    if decimals == text:
        return ""
    if not is_sound(decimals):
        return "; numbers are written as decimals: `1.0`, not `1`"
    return f"; numbers are written as decimals, `1.0`, not `1`: write `{decimals}`"


def with_decimals(text: str) -> str:
    """Return the text with every integer outside of texts and comments written as a decimal."""
    return _SLIPS.sub(lambda found: found[0] + ".0" if found["integer"] else found[0], text)


def _operator(found: re.Match[str]) -> str:
    if found["word"]:
        return _OPERATORS[found["word"].lower()]
    if found["equals"]:
        return "=="
    return "!=" if found["unequal"] else found[0]
