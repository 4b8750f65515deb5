"""Rules and times in a document: tried before they are in force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_time import format_duration, format_time, parse_time_us
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput

DOCUMENT = """\
offers:
  - id: a
    type: COUPON
    attributes: {cost: 2, tone: warm, tags: [x]}
  - id: b
    type: MESSAGE
placements:
  - id: p
    offers: [a, b]
caps:
  - {id: weekly, offers: [a], limit: 3, within: 7d}
  - {id: two-a-day, interruptions: true, limit: 2, within: day}
"""


def with_offer(line: str) -> str:
    return DOCUMENT.replace("    type: COUPON\n", f"    type: COUPON\n    {line}\n")


def with_placement(line: str) -> str:
    return DOCUMENT.replace("    offers: [a, b]\n", f"    offers: [a, b]\n    {line}\n")


def problems(document: str) -> tuple[str, ...]:
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(document)
    return caught.value.problems


@pytest.mark.parametrize("rule", [
    "number.cart > 50.0",
    'visitor["two-a-day"] < 1.0 && visitor.weekly < 2.0',
    "offer.cost < number.cart",
    "has(offer.margin) && offer.margin > 1.0",
    "'\"margin\" in offer && offer.margin > 1.0'",
    "'offer_category.tone == \"warm\"'",
    "'\"visitor.no offer.no\" != \"\" // visitor.no'",
])  # fmt: skip
def test_a_sound_rule_of_an_offer_is_taken_as_it_is_written(rule: str) -> None:
    assert parse_catalog(with_offer(f"eligible: {rule}")).offers[0].eligible == rule.strip("'")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("number.cart > 50", 'line 4, offer "a", field "eligible": at character 13: `>` can\'t take'),
        ("number.cart", "must make true or false, not double"),
        ("''", "is empty: give it a value or remove it"),
        ("visitor.weekyl < 1.0", 'there is no cap "weekyl"; did you mean `visitor["weekly"]`?'),
        ("visitor.two < 1.0", 'there is no cap "two"; did you mean `visitor["two-a-day"]`?'),
        ("'visitor[\"zzz\"] < 1.0'", 'there is no cap "zzz"; declare it under caps'),
        (
            "offer.margin > 1.0",
            "offer \"a\" has no number 'margin' among its attributes; give it one, or ask",
        ),
        ("'offer.tone == 1.0'", "'tone' is text: write `offer_category.tone`"),
        ("'offer_category.cost == \"x\"'", "'cost' is a number: write `offer.cost`"),
        ("'offer_category.tags == \"x\"'", "'tags' is a list, and rules read numbers and texts of offers"),
        ('\'offer["co" + "st"] + offer["no" + "ne"] > 1.0\'', "offer \"a\": there is no 'none' to read"),
    ],
)
def test_a_rule_that_cannot_be_served_is_named_with_line_part_and_field(rule: str, said: str) -> None:
    found = problems(with_offer(f"eligible: {rule}"))
    assert any(said in problem for problem in found), found
    assert all(problem.startswith('line 4, offer "a", field "eligible": ') for problem in found)


def test_a_rule_of_a_placement_is_tried_on_each_of_its_offers() -> None:
    found = problems(with_placement("eligible: offer.cost < 3.0"))
    assert len(found) == 1
    assert found[0].startswith('line 10, placement "p", field "eligible": offer "b" has no number \'cost\'')
    parse_catalog(with_placement("eligible: has(offer.cost) && offer.cost < 3.0"))
    # Where it is asked for first, an attribute may be a number of one offer and a text of another.
    parse_catalog(with_placement("eligible: '!has(offer.tone) || offer.tone > 3.0'"))


def test_a_cap_with_a_defect_is_not_missing_as_well() -> None:
    document = with_offer("eligible: visitor.weekly < 1.0").replace("limit: 3", "limit: 0")
    assert len(problems(document)) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("start_time: 2026-11-27T00:00:00", "says no zone: write it like `2026-11-27T00:00:00Z`,"),
        ("start_time: 2026-11-27 00:00", 'or `2026-11-27 00:00 Europe/Berlin` (is "2026-11-27 00:00")'),
        ("start_time: 2026-11-27", "says no time of day; write it like"),
        ("start_time: 2026-11-27 Europe/Berlin", "says no time of day"),
        ("start_time: tomorrow", "must be a point in time like `2026-11-27T00:00:00+01:00` or"),
        ("start_time: 2026-02-30T00:00Z", "is no date: day is out of range"),
        ("start_time: 2026-02-20T25:00Z", "is no date: hour must be in 0..23"),
        ("start_time: 1969-02-20T00:00Z", "must be from 1970 to 2200"),
        ("start_time: 2026-02-20T00:00+24:00", "has no sound offset"),
        ("start_time: 2026-02-20 00:00 Europe/Berln", "did you mean Europe/Berlin?"),
        ("start_time: 2026-02-20 00:00 localtime", "there is no time zone"),
        ("start_time: 2026-03-29 02:30 Europe/Berlin", "does not exist in Europe/Berlin, the clocks"),
        ("start_time: 2026-10-25 02:30 Europe/Berlin", ":30:00+02:00` or `2026-10-25T02:30:00+01:00`"),
        ("start_time: 20261127", "must be text"),
        ("end_time: ''", "is empty: give it a value or remove it"),
    ],
)  # fmt: skip
def test_a_time_that_is_no_point_in_time_is_answered_with_the_mend(line: str, said: str) -> None:
    found = problems(with_offer(line))
    assert len(found) == 1
    assert found[0].startswith('line 4, offer "a", field "')
    assert said in found[0]


def test_a_start_at_or_behind_the_end_is_refused() -> None:
    line = "start_time: 2026-01-01T01:00+01:00\n    end_time: {}"
    assert "must be later than start_time" in problems(with_offer(line.format("2026-01-01T00:00Z")))[0]
    parse_catalog(with_offer(line.format("2026-01-01T00:00:00.000001Z")))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26T23:00:00Z",
        "2026-11-27T00:00:00+01:00",
        "2026-11-27t00:00+01:00",
        "2026-11-27 00:00 +01:00",
        "2026-11-27 00:00 Europe/Berlin",
        "2026-11-27T00:00:00.000 Europe/Berlin",
    ],
)
def test_every_form_of_a_point_in_time_means_the_same(text: str) -> None:
    assert format_time(parse_time_us(text)) == "2026-11-26T23:00:00Z"


@given(st.integers(0, 7_289_654_399_999_999))
def test_a_time_that_is_shown_can_be_read_again(time_us: int) -> None:
    assert parse_time_us(format_time(time_us)) == time_us


@given(
    st.text(max_size=30)
    | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d ?[A-Z+][A-Za-z:0-9/]{0,9}", fullmatch=True)
)
def test_any_text_is_a_point_in_time_or_refused(text: str) -> None:
    try:
        time_us = parse_time_us(text)
    except InvalidInput:
        return
    assert time_us >= -86_400_000_000


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0s"), (90.0, "90s"), (1800.0, "30m"), (86400.0, "1d")])
def test_a_duration_is_shown_in_the_largest_whole_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
