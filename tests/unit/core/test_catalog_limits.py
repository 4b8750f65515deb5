"""Catalog documents: limits are inclusive, policies are the caller's, messages are bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from offer_optimizer.core import limits
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput
from tests.unit.core.small_catalog import SMALL, offers_of, only_problem, problems, replaced


def test_policies_are_checked_by_the_caller_and_refused_with_their_line() -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def check(name: str, options: Mapping[str, Any]) -> None:
        asked.append((name, options))
        if name != "vw":
            raise InvalidInput("policy.name", f"{name} is unknown")

    document = SMALL + "    policy: {name: vw, options: {a: 1}}\n"
    parse_catalog(document, check)
    assert asked == [("vw", {"a": 1})]
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(SMALL + "    policy: wv\n", check)
    assert caught.value.problems == ('line 14, placement "p", field "policy": policy.name: wv is unknown',)


@pytest.mark.parametrize(
    ("at_limit", "over", "said"),
    [
        (
            offers_of(limits.OFFERS) + "placements: []",
            offers_of(limits.OFFERS + 1) + "placements: []",
            "2001 entries, at most 2000",
        ),
        (
            "placements:\n"
            + "".join(f"  - {{id: p{n}, offers: [o0]}}\n" for n in range(limits.PLACEMENTS))
            + offers_of(1),
            "placements:\n"
            + "".join(f"  - {{id: p{n}, offers: [o0]}}\n" for n in range(limits.PLACEMENTS + 1))
            + offers_of(1),
            "201 entries, at most 200",
        ),
        (
            f"placements: [{{id: p, offers: [{', '.join(f'o{n}' for n in range(limits.CANDIDATES))}]}}]\n"
            + offers_of(201),
            f"placements: [{{id: p, offers: [{', '.join(f'o{n}' for n in range(limits.CANDIDATES + 1))}]}}]\n"
            + offers_of(201),
            "201 entries, at most 200",
        ),
        (
            f"kinds: [{', '.join(f'k{n}' for n in range(limits.KINDS))}]\nplacements: []\n" + offers_of(1),
            f"kinds: [{', '.join(f'k{n}' for n in range(limits.KINDS + 1))}]\nplacements: []\n"
            + offers_of(1),
            "51 entries, at most 50",
        ),
        (
            SMALL.replace(
                "{cost: 2}", "{" + ", ".join(f"x{n}: 1" for n in range(limits.OFFER_FEATURES)) + "}"
            ),
            SMALL.replace(
                "{cost: 2}", "{" + ", ".join(f"x{n}: 1" for n in range(limits.OFFER_FEATURES + 1)) + "}"
            ),
            "51 features, at most 50",
        ),
        (
            SMALL.replace("id: p", "id: " + "p" * limits.NAME_BYTES),
            SMALL.replace("id: p", "id: " + "p" * (limits.NAME_BYTES + 1)),
            "is 129 bytes, at most 128",
        ),
        (
            SMALL.replace("COUPON", "COUPON\n    payload: " + "ü" * (limits.PAYLOAD_BYTES // 2)),
            SMALL.replace("COUPON", "COUPON\n    payload: " + "ü" * (limits.PAYLOAD_BYTES // 2) + "x"),
            "is 16385 bytes, at most 16384",
        ),
        (
            SMALL.replace("COUPON", "COUPON\n    payload: [" + "x" * (limits.PAYLOAD_BYTES - 4) + "]"),
            SMALL.replace("COUPON", "COUPON\n    payload: [" + "x" * (limits.PAYLOAD_BYTES - 3) + "]"),
            "is 16385 bytes as JSON, at most 16384",
        ),
        (
            SMALL.replace("cost: 2", "cost: 1e9"),
            SMALL.replace("cost: 2", "cost: 1.00001e9"),
            "at most 1e9 (is 1.00001e9)",
        ),
        (
            SMALL + "    reward: {formula: '1.0" + " " * (limits.FORMULA_BYTES - 3) + "'}\n",
            SMALL + "    reward: {formula: '1.0" + " " * (limits.FORMULA_BYTES - 2) + "'}\n",
            "is 2001 bytes, at most 2000",
        ),
        (
            SMALL + "#" * (limits.DOCUMENT_BYTES - len(SMALL)),
            SMALL + "#" * (limits.DOCUMENT_BYTES - len(SMALL) + 1),
            "1048577 bytes, at most 1048576",
        ),
    ],
    ids=[
        "offers",
        "placements",
        "candidates",
        "kinds",
        "attributes",
        "name",
        "payload",
        "json",
        "number",
        "formula",
        "document",
    ],
)
def test_each_limit_is_inclusive(at_limit: str, over: str, said: str) -> None:
    parse_catalog(at_limit)
    assert said in only_problem(over)


def test_the_number_of_problems_shown_is_bounded() -> None:
    document = "offers:\n" + "".join(f"  - {{id: o{n}}}\n" for n in range(500)) + "placements: []\n"
    found = problems(document)
    assert len(found) == 201
    assert found[-1] == "and 300 more problems"


def test_lines_are_counted_as_editors_do_with_any_line_end_and_byte_order_mark() -> None:
    document = "\ufeff" + replaced("{cost: 0}", "{cost: x}").replace("\n", "\r\n")
    assert only_problem(document).startswith('line 9, offer "b"')


def test_messages_never_hold_a_line_break_of_the_document() -> None:
    found = problems(replaced("- id: a", '- id: "a\\nb"'))
    assert all("\n" not in problem for problem in found)


def test_all_defects_are_reported_in_the_order_of_the_document() -> None:
    document = SMALL.replace("COUPON", "X").replace("cost: 0", "cost: z").replace("[b]", "[q]")
    assert [problem.split(",")[0] for problem in problems(document)] == ["line 5", "line 9", "line 13"]
    upside_down = "placements:\n- {id: p, offers: [x]}\noffers:\n- {id: a, type: X}\n"
    assert [problem.split(",")[0] for problem in problems(upside_down)] == ["line 2", "line 4"]


def test_an_offer_with_a_defect_is_not_missing_as_well() -> None:
    assert 'field "type"' in only_problem(replaced("type: COUPON", "type: X"))


def test_an_offer_without_a_number_that_the_formula_reads_is_named() -> None:
    document = (
        replaced(" {cost: 0}", " {tone: x}") + "    reward: {formula: count.click - offer.cost, min: -9}\n"
    )
    assert only_problem(document).startswith(
        'line 14, placement "p", field "reward.formula": offer "b" has no number \'cost\'; give it one, or'
    )


def test_an_offer_without_a_number_that_the_formula_asks_for_first_is_fine() -> None:
    formula = '"count.click - (has(offer.cost) ? offer.cost : 0.0)"'
    parse_catalog(replaced(" {cost: 0}", " {tone: x}") + f"    reward: {{formula: {formula}, min: -9}}\n")


def test_lists_that_have_to_be_there_are_missed() -> None:
    assert problems("version: 1\n") == (
        'line 1, field "offers": is missing',
        'line 1, field "placements": is missing',
    )
    assert only_problem("offers: []\nplacements: []\n") == 'line 1, field "offers": must list at least 1'


def test_a_placement_needs_an_offer() -> None:
    document = SMALL.replace("    offers: [a, b]\n    baseline: [b]\n", "    offers: []\n")
    assert only_problem(document).endswith('placement "p", field "offers": must list at least one offer')


def test_a_catalog_may_have_no_placement_yet() -> None:
    assert parse_catalog("offers: [{id: a, type: NOTHING}]\nplacements: []\n").placements == ()
