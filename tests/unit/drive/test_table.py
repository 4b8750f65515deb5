"""Reading a randomised test: what is a number, what is a category, and what is refused with its line."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offer_optimizer.core import limits
from offer_optimizer.drive.errors import DriveRefused
from offer_optimizer.drive.table import Columns, parse_number, read_table

COLUMNS = Columns(action="arm", reward="visit", context=("age", "city"))


def read(text: str, columns: Columns = COLUMNS) -> object:
    return read_table(text.splitlines(keepends=True), columns)


def test_numbers_are_numbers_and_the_rest_are_categories() -> None:
    table = read_table(
        [
            "arm,visit,age,city,later\n",
            "A,1,31,Oslo,9\n",
            "B,0,,12\n".replace("\n", ",\n"),
            '"A",0.5,4e1,"x, y",\n',
        ],
        COLUMNS,
    )
    assert [(row.number, row.arm, row.reward) for row in table.rows] == [
        (1, "A", 1.0),
        (2, "B", 0.0),
        (3, "A", 0.5),
    ]
    assert [row.numbers for row in table.rows] == [{"age": 31.0}, {}, {"age": 40.0}]
    assert [row.categories for row in table.rows] == [{"city": "Oslo"}, {"city": "12"}, {"city": "x, y"}]
    assert table.arms == ("A", "B")
    assert table.numeric == {"age"}
    assert table.reward_range() == (0.0, 1.0)


def test_one_word_among_numbers_makes_the_whole_column_a_category() -> None:
    table = read_table(["arm,visit,age,city\n", "A,1,31,1\n", "B,0,unknown,2\n"], COLUMNS)
    assert [row.categories for row in table.rows] == [{"age": "31"}, {"age": "unknown"}]
    assert table.numeric == {"city"}


def test_a_column_without_any_value_gives_no_feature() -> None:
    table = read_table(["arm,visit,age,city\n", "A,1,,1\n"], COLUMNS)
    assert table.rows[0].categories == {}
    assert table.rows[0].numbers == {"city": 1.0}


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1_000", "", "1,5", "0x10", "ten"])
def test_what_is_not_a_finite_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@example("1e308")
@given(st.floats(allow_nan=False, allow_infinity=False).map(repr))
def test_every_finite_number_is_read_exactly(text: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert math.isfinite(number)
    assert number == float(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("arm,visit,age,city\n", "a header and no rows"),
        ("arm,visit,age\nA,1,2\n", "no column 'city'; the file has 'arm', 'visit', 'age'"),
        ("arm,visit,age,city,age\nA,1,2,3,4\n", "column 'age' appears 2 times"),
        ("arm,visit,age,city\nA,yes,2,3\n", "line 2, column 'visit': 'yes' is not a finite number"),
        ("arm,visit,age,city\nA,1,2,3\nA,,2,3\n", "line 3, column 'visit': '' is not a finite number"),
        ("arm,visit,age,city\nA,nan,2,3\n", "line 2, column 'visit': 'nan' is not a finite number"),
        ("arm,visit,age,city\n ,1,2,3\n", "line 2, column 'arm': no arm"),
        ("arm,visit,age,city\nA,1,2\n", "line 2: 3 cells, the header has 4"),
        ("arm,visit,age,city\nA,1,2e9,3\n", "line 2, column 'age': 2e9 is over 1e\\+09 in magnitude"),
        ("arm,visit,age,city\nA,1,2," + "x" * 129 + "\n", "line 2, column 'city': 129 bytes, at most 128"),
    ],
)
def test_a_bad_file_is_refused_with_place_and_limit(text: str, message: str) -> None:
    with pytest.raises(DriveRefused, match=message):
        read(text)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns("arm", "visit", ("age", "age")), "'age' is named 2 times"),
        (Columns("arm", "visit", ("visit",)), "'visit' is not known before deciding"),
        (Columns("arm", "visit", ("arm",)), "'arm' is not known before deciding"),
        (Columns("arm", "arm", ("age",)), "--action and --reward are both 'arm'"),
        (Columns("arm", "visit", tuple(f"c{i}" for i in range(201))), "201 columns, at most 200"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(columns: Columns, message: str) -> None:
    with pytest.raises(DriveRefused, match=message):
        read("arm,visit,age,city\nA,1,2,3\n", columns)


def test_arms_are_limited_to_what_one_decision_can_hold() -> None:
    def lines(count: int) -> list[str]:
        return ["arm,visit,age,city\n", *(f"a{index},1,2,3\n" for index in range(count))]

    assert len(read_table(lines(limits.CANDIDATES), COLUMNS).arms) == limits.CANDIDATES
    with pytest.raises(DriveRefused, match="arm: 201 arms, at most 200"):
        read_table(lines(limits.CANDIDATES + 1), COLUMNS)
