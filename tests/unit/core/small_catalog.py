"""A small catalog document, and what its tests ask of the reader."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog

SMALL = """\
version: 1
kinds: [rating]
offers:
  - id: a
    type: COUPON
    attributes: {cost: 2}
  - id: b
    type: NOTHING
    attributes: {cost: 0}
placements:
  - id: p
    offers: [a, b]
    baseline: [b]
"""


def problems(document: str) -> tuple[str, ...]:
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(document)
    return caught.value.problems


def only_problem(document: str) -> str:
    found = problems(document)
    assert len(found) == 1, found
    return found[0]


def replaced(old: str, new: str) -> str:
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


def offers_of(count: int) -> str:
    return "offers:\n" + "".join(f"  - {{id: o{n}, type: MESSAGE}}\n" for n in range(count))
