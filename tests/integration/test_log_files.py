"""Logs in files, of every format: guessed, read, restarted, and refused with a reason."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from offer_optimizer.core.errors import DamagedFile, InvalidInput, NotFound
from offer_optimizer.core.log import Log, LogRows
from offer_optimizer.evaluate.reading import guess_format, read_log
from offer_optimizer.formats.csv_file import CsvLog
from offer_optimizer.formats.csv_values import CsvColumns
from offer_optimizer.formats.lines import LINE_BYTES

EVENT: Final = {
    "_label_cost": -1.0,
    "_label_probability": 0.5,
    "_label_Action": 2,
    "_labelIndex": 1,
    "a": [2, 1],
    "c": {"u": {"id": "v1", "x": 1}, "_multi": [{"_tag": "mug"}, {"_tag": "pen"}]},
    "p": [0.5, 0.5],
}
CSV: Final = "v,shown,won,age,city\na,mug,1,31,Bern\nb,pen,0,,Rom\na,mug,0.5,40,\n"
TEST: Final[dict[str, Any]] = {"action": "shown", "reward": "won", "propensity": "1/2", "context": "age,city"}


def everything(log: Log) -> list[LogRows]:
    """Read a log twice; both readings have to be the same."""
    first, second = list(log.batches()), list(log.batches())
    for one, other in zip(first, second, strict=True):
        for name in ("visitor", "time_us", "reward", "chosen", "propensity", "offers"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    return first


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["log.json", "log.json.gz"])
def test_dsjson_is_read_line_by_line_plain_or_gzipped(tmp_path: Path, name: str) -> None:
    lines = [
        json.dumps(EVENT),
        "",
        "{",
        json.dumps(EVENT | {"_skipLearn": True}),
        json.dumps(EVENT | {"pdrop": 0.5}),
    ]
    log = read_log(write(tmp_path / name, "\n".join(lines)), visitor="u.id")
    (rows,) = everything(log)
    assert rows.reward.tolist() == [1.0, 1.0]
    assert rows.weight is not None
    assert rows.weight.tolist() == [1.0, 2.0]
    assert rows.visitor[0] == rows.visitor[1] >= 0
    assert list(rows.contexts.names()) == ["u.x"]
    assert [log.vocabulary.ids[offer] for offer in rows.chosen] == ["pen", "pen"]
    assert [line.number for line in log.bad_lines] == [3]
    assert log.notes == ["1 events marked _skipLearn: they were never shown"]


def test_a_line_too_long_is_counted_and_the_next_one_read(tmp_path: Path) -> None:
    text = json.dumps(EVENT) + "\n" + "x" * (3 * LINE_BYTES) + "\n" + json.dumps(EVENT) + "\n"
    log = read_log(write(tmp_path / "log.json", text))
    assert sum(len(rows) for rows in log.batches()) == 2
    assert [(line.number, line.problem) for line in log.bad_lines] == [(2, "is longer than 2,097,152 bytes")]


def test_only_the_first_bad_lines_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log.json", "{\n" * 5000), format="dsjson")
    assert list(log.batches()) == []
    assert log.bad_line_count == 5000
    assert [line.number for line in log.bad_lines] == list(range(1, 21))


def test_a_file_cut_in_its_compression_is_damaged(tmp_path: Path) -> None:
    data = gzip.compress("\n".join(f"{json.dumps(EVENT)} {at}" for at in range(2000)).encode())
    path = tmp_path / "log.json.gz"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedFile, match=r"log.json.gz: line \d+"):
        list(read_log(path).batches())


@pytest.mark.parametrize("name", ["test.csv", "test.csv.gz"])
def test_a_csv_of_a_test_is_read_in_columns(tmp_path: Path, name: str) -> None:
    log = read_log(write(tmp_path / name, CSV), visitor="v", **TEST)
    (rows,) = everything(log)
    assert rows.reward.tolist() == [1.0, 0.0, 0.5]
    assert log.vocabulary.ids == ["mug", "pen"]
    assert rows.chosen.tolist() == [0, 1, 0]
    assert rows.offers.tolist() == [[0, 1]] * 3
    assert rows.pmf is not None
    assert rows.visitor[0] == rows.visitor[2] != rows.visitor[1]
    np.testing.assert_array_equal(rows.contexts.column("age"), [31.0, np.nan, 40.0])
    assert rows.contexts.column("city") == ["Bern", "Rom", ""]


@pytest.mark.parametrize(
    ("sign", "given"), [(";", ";"), ("\t", "\t"), ("\t", "\\t")], ids=["semicolon", "tab", "t"]
)
def test_values_may_have_another_character_between(tmp_path: Path, sign: str, given: str) -> None:
    path = write(tmp_path / "test.csv", "shown,won,age\nmug,1,3\n".replace(",", sign))
    with pytest.raises(InvalidInput, match="name it as delimiter"):
        read_log(path, format="csv", **(TEST | {"context": "age"}))
    (rows,) = everything(read_log(path, delimiter=given, **(TEST | {"context": "age"})))
    assert rows.reward.tolist() == [1.0]


def test_columns_are_decided_over_the_whole_file(tmp_path: Path) -> None:
    """One text behind five megabytes of numbers makes the whole column texts."""
    numbers = "".join(f"mug,1,{at % 10},{at % 7}\n" for at in range(600_000))
    path = write(tmp_path / "test.csv", "shown,won,a,b\n" + numbers + "pen,0,many,3\n")
    log = read_log(path, **(TEST | {"context": "*"}))
    first = next(iter(log.batches()))
    assert first.contexts.column("a")[:3] == ["0", "1", "2"]
    assert np.asarray(first.contexts.column("b")).dtype == np.float64
    assert log.vocabulary.ids == ["mug", "pen"]


def test_what_becomes_context_by_a_star_is_told_and_can_be_left_out(tmp_path: Path) -> None:
    options = TEST | {"context": "*", "leave_out": "v"}
    log = read_log(write(tmp_path / "test.csv", CSV), **options)
    assert log.notes == ["context is every column without another use: age, city"]


def test_another_reward_is_another_column_and_the_first_one_stays_out_of_the_context(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", CSV)
    log = CsvLog(path, CsvColumns("shown", "won", "1/2", ("*",), leave_out=("v",))).with_reward("age")
    (rows,) = log.batches()
    assert rows.reward.tolist() == [31.0, 40.0]
    assert list(rows.contexts.names()) == ["city"]
    with pytest.raises(InvalidInput, match="no column has the name 'spend'"):
        log.with_reward("spend")


def test_bad_lines_of_a_csv_have_their_numbers(tmp_path: Path) -> None:
    text = 'shown,won,age\nmug,1,3\nmug,1\nmug,x,3\n\n"pen",0,3\nmug,1,3,4\npen,oh,1\n'
    log = read_log(write(tmp_path / "test.csv", text), **(TEST | {"context": "age"}))
    (rows,) = everything(log)
    assert len(rows) == 2
    assert [line.number for line in log.bad_lines] == [3, 4, 7, 8]
    assert log.bad_lines[0].problem == "has 2 values, the header has 3"
    assert log.bad_lines[3].problem.startswith("column 'won': 'oh' is not a number")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"action": "shwon"}, "no column has the name 'shwon'; the header names v, shown"),
        ({"context": "age,cty"}, "no column has the name 'cty'"),
        ({"context": ""}, "context: is needed to read csv"),
        ({"propensity": "2"}, r"propensity: 2 is outside \(0, 1\]"),
        ({"placement": "home"}, "placement: is no option of csv; it has: action"),
    ],
    ids=["action", "context", "no-context", "propensity", "foreign"],
)
def test_a_wrong_option_names_itself(tmp_path: Path, options: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        read_log(write(tmp_path / "test.csv", CSV), **(TEST | options))


def test_numbers_beyond_the_limit_name_their_column(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "test.csv", CSV.replace("31", "3e9")), **TEST)
    with pytest.raises(InvalidInput, match=r"column 'age': holds 3e\+09, numbers go up to 1e\+09"):
        list(log.batches())


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_bytes(CSV.encode() + b"b,\xff\xfe,1,2,3\n")
    with pytest.raises(DamagedFile, match=r"test\.csv: behind line"):
        list(read_log(path, **TEST).batches())


def test_formats_are_guessed_by_what_is_there(tmp_path: Path) -> None:
    assert guess_format(write(tmp_path / "a", "\ufeff \n" + json.dumps(EVENT))) == "dsjson"
    assert guess_format(write(tmp_path / "b.gz", CSV)) == "csv"
    header = "item_id,position,click,propensity_score,timestamp\n"
    assert guess_format(write(tmp_path / "c.csv", header)) == "obd"
    assert guess_format(tmp_path) == "obd"
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "day.parquet", "PAR1")
    assert guess_format(tmp_path / "d") == guess_format(tmp_path / "d" / "day.parquet") == "parquet"
    (tmp_path / "e").mkdir()
    with pytest.raises(InvalidInput, match="name one with format: ledger, parquet, dsjson, csv, obd"):
        guess_format(tmp_path / "e")
    with pytest.raises(InvalidInput, match="'xml' is unknown; there are: ledger"):
        read_log(tmp_path / "a", format="xml")
    with pytest.raises(NotFound, match="there is no such file"):
        read_log(tmp_path / "nowhere")


def test_progress_comes_to_its_end(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    path = write(tmp_path / "log.json.gz", (json.dumps(EVENT) + "\n") * 3000)
    list(read_log(path, progress=lambda done, total: heard.append((done, total))).batches())
    assert heard[-1] == (path.stat().st_size, path.stat().st_size)
    assert heard == sorted(heard)


def test_hillstrom_has_its_arms(shared_data: Path | None) -> None:
    if shared_data is None:
        return
    context = "recency,history_segment,history,mens,womens,zip_code,newbie,channel"
    path = shared_data / "hillstrom" / "hillstrom_dev.csv.gz"
    reference = json.loads((path.parent / "reference.json").read_text())["dev"]["arms"]
    for reward in ("visit", "conversion", "spend"):
        log = read_log(path, action="segment", reward=reward, propensity="1/3", context=context)
        batches = list(log.batches())
        rewards, chosen = (
            np.concatenate([getattr(rows, name) for rows in batches]) for name in ("reward", "chosen")
        )
        for number, arm in enumerate(log.vocabulary.ids):
            own = rewards[chosen == number]
            assert len(own) == reference[arm]["n"]
            assert own.mean() == pytest.approx(reference[arm][reward]["mean"], rel=1e-9)


def test_open_bandit_logs_have_their_figures(shared_data: Path | None, figure: Callable[[str], None]) -> None:
    if shared_data is None:
        return
    folder = shared_data / "obd" / "men"
    for name, mean in (("random", 0.0046), ("bts", 0.0069)):
        log = read_log(folder / f"{name}.csv.gz")
        (rows,) = log.batches()
        assert (len(rows), len(log.vocabulary), log.bad_line_count) == (10_000, 34, 0)
        assert rows.reward.mean() == pytest.approx(mean, abs=1e-12)
        assert (rows.pmf is not None) == (name == "random")
        assert set(rows.contexts.column("position")) == {"1", "2", "3"}
        assert rows.attributes is not None
        assert len(rows.attributes[0]) == 34
    with pytest.raises(InvalidInput, match=r"holds 2 logs \(bts.csv.gz, random.csv.gz\)"):
        read_log(folder)


def test_the_multiclass_bandit_log_gives_its_ips(shared_data: Path | None) -> None:
    """The target's probability of the logged action, over the logged one: the IPS of the reference."""
    if shared_data is None:
        return
    path = shared_data / "multiclass" / "digits_bandit_log.csv.gz"
    log = read_log(
        path, action="action", reward="reward", propensity="pscore", context="target_greedy_action"
    )
    batches = list(log.batches())
    total = count = 0.0
    for rows in batches:
        greedy = np.asarray(rows.contexts.column("target_greedy_action"))
        chosen = np.array([float(log.vocabulary.ids[offer]) for offer in rows.chosen])
        target = 0.9 * (chosen == greedy) + 0.01
        total += float((target * rows.reward / rows.propensity).sum())
        count += len(rows)
    reference = json.loads((path.parent / "bandit_log_reference.json").read_text())
    assert any(abs(total / count - value) < 1e-6 for value in _numbers(reference)), (
        f"{total / count} is not among the figures of the reference"
    )


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


def test_dsjson_logs_give_the_ips_of_their_first_offer(shared_data: Path | None) -> None:
    if shared_data is None:
        return
    folder = shared_data / "dsjson_logs"
    reference = json.loads((folder / "estimator_reference.json").read_text())
    for name in ("cb_0.json", "cb_100_0.json", "cb_1000_0.json"):
        (rows,) = read_log(folder / name).batches()
        assert len(rows) == reference[name]["n"]
        first = rows.chosen == rows.offers[:, 0]
        ips = float((first * rows.reward / rows.propensity).mean())
        assert ips == pytest.approx(reference[name]["baseline1"]["ips"], abs=1e-6)
        assert rows.reward.mean() == pytest.approx(reference[name]["logged"]["ips"], abs=1e-6)
