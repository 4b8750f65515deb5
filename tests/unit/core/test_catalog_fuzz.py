"""Hostile documents: whatever the text, the answer is a catalog or InvalidCatalog."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog

EXAMPLE = (Path(__file__).resolve().parents[3] / "examples" / "catalog.yaml").read_text()
LINES = EXAMPLE.splitlines(keepends=True)
SCRAPS = (
    "",
    "[",
    "]",
    "{",
    "}",
    "- ",
    ": ",
    "&a ",
    "*a",
    "!!x ",
    "'",
    '"',
    "|\n",
    "\n",
    "  ",
    "\t",
    "null",
    ".nan",
)
MORE = (
    "-1e999",
    "9" * 30,
    "true",
    "\x00",
    "\ud800",
    "#",
    "? ",
    "<<: ",
    "0x1f",
    "offers:\n",
    '"\\ud800"',
    "1" * 5000,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "offers", "reward", "name", "formula", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def parse(document: str) -> tuple[Catalog | None, tuple[str, ...]]:
    try:
        return parse_catalog(document), ()
    except InvalidCatalog as error:
        return None, error.problems


def check(document: str) -> bool:
    """Return whether a document is taken; fail on any error but InvalidCatalog, or if storing changes it."""
    catalog, problems = parse(document)
    if catalog is None:
        assert problems
        assert all(problem and "\n" not in problem for problem in problems)
        return False
    assert Catalog.model_validate_json(catalog.model_dump_json()) == catalog
    return True


def test_the_example_is_valid() -> None:
    assert check(EXAMPLE)


@given(st.text(max_size=200) | st.text("abid:-[]{}&*!|>'\"%@,?# \n\t01", max_size=200))
def test_any_text_is_a_catalog_or_refused(document: str) -> None:
    check(document)


@given(VALUES, VALUES, VALUES)
def test_any_values_are_a_catalog_or_refused(kinds: object, offers: object, placements: object) -> None:
    check(json.dumps({"kinds": kinds, "offers": [offers], "placements": [placements]}))


@given(st.integers(0, len(EXAMPLE) - 1), st.integers(0, 30), st.sampled_from((*SCRAPS, *MORE)))
def test_a_damaged_example_is_a_catalog_or_refused(start: int, length: int, scrap: str) -> None:
    check(EXAMPLE[:start] + scrap + EXAMPLE[start + length :])


@given(st.randoms(use_true_random=False))
def test_shuffled_and_repeated_lines_are_a_catalog_or_refused(chance: random.Random) -> None:
    lines = list(LINES)
    for _ in range(chance.randint(1, 4)):
        lines[chance.randrange(len(lines))] = chance.choice(LINES)
    check("".join(lines))


@pytest.mark.parametrize(
    "scrap", ["[", "[\n", "{a: ", "- ", "? ", "{[", "a: ", "'", "a:\n", "!", "[a,", "#", "- \n", "? a\n"]
)
def test_a_megabyte_of_anything_is_answered(scrap: str) -> None:
    """The timeout of a test is the limit: a parser that is quadratic in depth would take hours."""
    assert not check(scrap * (limits.DOCUMENT_BYTES // len(scrap)))
