"""Values of a table: which rows can be used, and what is said of the others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.formats.csv_values import CsvColumns, Propensity, parse_propensity, read_values
from offer_optimizer.formats.lines import BadLines
from offer_optimizer.formats.table import Block, as_numbers

COLUMNS = CsvColumns("a", "r", "p", ("x",), time="t")


def block(**columns: list[str]) -> Block:
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return Block(arrays, lambda row: row + 2, len(next(iter(columns.values()))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", Propensity(0.5)),
        ("1/4", Propensity(0.25)),
        (" 1 / 4 ", Propensity(0.25)),
        ("p", Propensity(0, "p")),
    ],
    ids=["number", "fraction", "spaces", "column"],
)
def test_a_propensity_is_a_number_a_fraction_or_a_column(text: str, expected: Propensity) -> None:
    assert parse_propensity(text, ["a", "p"]) == expected


@pytest.mark.parametrize("text", ["q", "0", "1.5", "1/0", "-1", "nan", "1e999"], ids=str)
def test_any_other_propensity_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="propensity: "):
        parse_propensity(text, ["a", "p"])


def test_rows_that_lack_something_are_bad_lines_with_their_numbers() -> None:
    bad = BadLines()
    found = read_values(
        block(
            a=["mug", "", "mug", "pen", "cup", "", "mug"],
            r=["1", "1", "x", "inf", "1", "", "2e9"],
            p=["0.5", "0.5", "0.5", "0.5", "0.5", "", "0.5"],
            t=["2020-01-01", "2020-01-01", "2020-01-01", "2020-01-01", "2020-01-01", "", "2020-01-01"],
        ),
        COLUMNS,
        Propensity(column="p"),
        ["mug", "pen"],
        bad,
    )
    assert found.rows.tolist() == [0]
    assert found.time_us[0] == 1_577_836_800_000_000
    assert sorted((line.number, line.problem) for line in bad.kept) == [
        (3, "column 'a': '' is empty"),
        (4, "column 'r': 'x' is not a number up to 1e+09 in magnitude"),
        (5, "column 'r': 'inf' is not a number up to 1e+09 in magnitude"),
        (6, "column 'a': 'cup' is not one of the 2 offers"),
        (8, "column 'r': '2e9' is not a number up to 1e+09 in magnitude"),
    ]


def test_the_bad_lines_that_are_kept_are_the_first_whatever_is_wrong() -> None:
    bad = BadLines()
    data = block(a=["mug"] * 60, r=["1", "x"] * 30, p=["0", "1"] * 30, t=["0"] * 60)
    assert not len(read_values(data, COLUMNS, Propensity(column="p"), ["mug"], bad).rows)
    assert bad.count == 60
    assert [line.number for line in bad.kept] == list(range(2, 22))
    assert bad.kept[0].problem == "column 'p': '0' is no number in (0, 1]"


@pytest.mark.parametrize("propensity", ["0", "1.5", "", "-0.1", "NaN", "x"], ids=str)
def test_a_propensity_outside_its_range_is_a_bad_line(propensity: str) -> None:
    bad = BadLines()
    data = block(a=["mug"], r=["1"], p=[propensity], t=["0"])
    assert not len(read_values(data, COLUMNS, Propensity(column="p"), ["mug"], bad).rows)
    assert bad.count == 1
    assert "column 'p'" in bad.kept[0].problem


@pytest.mark.parametrize(
    "text",
    [
        "1577836800",
        "1577836800000",
        "2020-01-01T00:00:00Z",
        "2020-01-01 01:00:00+01:00",
        "2020-01-01T00:00:00",
    ],
    ids=str,
)
def test_times_are_seconds_milliseconds_or_iso(text: str) -> None:
    data = block(a=["mug"], r=["1"], p=["1"], t=[text])
    found = read_values(data, COLUMNS, Propensity(column="p"), ["mug"], BadLines())
    assert found.time_us.tolist() == [1_577_836_800_000_000]


def test_a_time_that_is_none_is_a_bad_line_and_its_neighbours_are_read() -> None:
    bad = BadLines()
    data = block(
        a=["mug"] * 3, r=["1"] * 3, p=["1"] * 3, t=["2020-01-01", "soon", "2020-01-01T00:00:01+00:00"]
    )
    found = read_values(data, COLUMNS, Propensity(value=1.0), ["mug"], bad)
    assert np.diff(found.time_us[found.rows]).tolist() == [1_000_000]
    assert [line.number for line in bad.kept] == [3]


def test_numbers_may_be_missing_but_not_be_anything_else() -> None:
    found = as_numbers(pa.array([" 1.5", "", "NA", "nan", "null", "-2e3"]))
    assert found is not None
    assert found.to_pylist() == [1.5, None, None, None, None, -2000.0]
    assert as_numbers(pa.array(["", "NA"])) is not None
    assert as_numbers(pa.array(["1", "inf"])) is None
    assert as_numbers(pa.array(["1", "one"])) is None
