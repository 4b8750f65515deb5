"""Target policies say what they would do in each row, and never what somebody else would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.log import Floats, LogRows
from offer_optimizer.evaluate.replay import evaluate
from offer_optimizer.evaluate.results import PolicyResult
from offer_optimizer.evaluate.target import TargetRows, aligned, certain
from offer_optimizer.evaluate.target_texts import parse_options, parse_target
from tests.unit.evaluate.memory_log import MemoryLog, cut, make_log


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    return make_log(np.random.default_rng(2), 3000)


def follow(log: MemoryLog, text: str) -> TargetRows:
    run = parse_target(text).start(log, None)
    return run.follow(log.rows)


def judge(log: MemoryLog, text: str) -> PolicyResult:
    return evaluate(log, text, estimators=["ips"]).policies[0]


def column(log: MemoryLog, name: str) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.asarray(log.rows.contexts.column(name))


def test_always_is_certain_of_its_offer(log: MemoryLog) -> None:
    found = follow(log, "always:b")
    assert (found.chosen == (log.rows.chosen == 1)).all()
    assert not found.unsupported.any()


def test_an_offer_that_the_log_never_had_is_refused_with_a_hint(log: MemoryLog) -> None:
    assert "the log has no offer 'B'" in judge(log, "always:B").refused


def test_an_offer_that_was_not_eligible_has_no_support(log: MemoryLog) -> None:
    offers = np.array(log.rows.offers)
    offers[:100, 1] = -1
    rows = LogRows(**{**vars(log.rows), "offers": offers, "chosen": np.zeros(len(offers), dtype=np.int64)})
    found = certain(rows, 1)
    assert found.unsupported[:100].all()
    assert not found.unsupported[100:].any()


def test_an_offer_that_was_logged_with_probability_zero_has_no_support(log: MemoryLog) -> None:
    pmf = np.tile(np.array([0.5, 0.0, 0.5], dtype=np.float32), (len(log.rows), 1))
    rows = LogRows(**{**vars(log.rows), "pmf": pmf})
    assert certain(rows, 1).unsupported.all()
    assert aligned(rows, np.full((len(rows), 3), 1 / 3)).unsupported == pytest.approx(1 / 3)


def test_uniform_is_the_log_of_a_uniform_log(log: MemoryLog) -> None:
    assert follow(log, "uniform").chosen == pytest.approx(log.rows.propensity)
    assert follow(log, "logged").chosen == pytest.approx(log.rows.propensity)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("context.x > 4.0 ? 'a' : 'b'", lambda x, d: np.where(x > 4, 0, 1)),
        ("context.x > 4 ? 'a' : 'b'", lambda x, d: np.where(x > 4, 0, 1)),
        (
            'context["a name"] > 4 && context.device == "phone" ? "a" : "b"',
            lambda x, d: np.where((x > 4) & d, 0, 1),
        ),
        ("has(context.device) ? 'c' : 'a'", lambda x, d: np.full(len(x), 2)),
        ("size(context.device) == 5 ? 'a' : 'c'", lambda x, d: np.where(d, 0, 2)),
        ("'b'", lambda x, d: np.full(len(x), 1)),
    ],
    ids=["double", "whole-number", "quoted-name", "has", "size", "constant"],
)
def test_cel_chooses_by_the_context(log: MemoryLog, expression: str, wanted: object) -> None:
    assert callable(wanted)
    offers = wanted(column(log, "x"), column(log, "device") == "phone")
    assert (follow(log, f"cel:{expression}").offers[:, 0] == offers).all()


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("context.x > 'five' ? 'a' : 'b'", "can't take"),
        ("context.x", "must make the id of an offer"),
        ("context['x' + 'y'] > 1.0 ? 'a' : 'b'", "one by one"),
        ("context", "one by one"),
        ("context.device == phone ? 'a' : 'b'", "undeclared reference"),
    ],
    ids=["types", "number", "computed-name", "whole", "unquoted"],
)
def test_cel_that_is_no_choice_is_an_error(log: MemoryLog, expression: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as error:
        follow(log, f"cel:{expression}")
    assert "c0" not in str(error.value)


def test_cel_that_reads_a_column_that_is_not_there_is_refused_with_a_hint(log: MemoryLog) -> None:
    assert "did you mean 'device'" in judge(log, "cel:context.devise == 'phone' ? 'a' : 'b'").refused


def test_cel_asks_once_for_each_combination(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    from offer_optimizer.evaluate import target_cel

    asked: list[object] = []
    real = target_cel._CelRun._evaluate

    def counting(self: target_cel._CelRun, values: tuple[float | str, ...]) -> str:
        asked.append(values)
        return real(self, values)

    monkeypatch.setattr(target_cel._CelRun, "_evaluate", counting)
    judge(log, "cel:context.x > 4 && context.device == 'phone' ? 'a' : 'b'")
    assert len(asked) == len(set(asked)) == 20


def table(tmp_path: Path, text: str) -> str:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return f"pmf:{path}"


def by_device(rows: LogRows) -> Floats:
    """Return what the tables below say."""
    is_phone = np.asarray(rows.contexts.column("device")) == "phone"
    return np.where(is_phone[:, None], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7])


@pytest.mark.parametrize(
    "text",
    [
        "offer,device,probability\na,phone,.7\nb,phone,.2\nc,phone,.1\na,desk,.1\nb,desk,.2\nc,desk,.7\n",
        "device,p:a,p:b,p:c\nphone,.7,.2,.1\ndesk,.1,.2,.7\n",
        "offer,device=phone,device=desk\na,.7,.1\nb,.2,.2\nc,.1,.7\n",
        "item_id,device_phone,device_desk\na,.7,.1\nb,.2,.2\nc,.1,.7\n",
    ],
    ids=["long", "wide", "by-offer", "underscore"],
)
def test_a_table_is_looked_up_by_context(log: MemoryLog, tmp_path: Path, text: str) -> None:
    found = follow(log, table(tmp_path, text))
    assert found.mass == pytest.approx(by_device(log.rows))


def test_what_a_table_puts_on_offers_that_were_not_eligible_has_no_support(
    log: MemoryLog, tmp_path: Path
) -> None:
    offers = np.array(log.rows.offers)
    offers[:50, 2] = -1
    chosen = np.where(np.arange(len(offers)) < 50, 0, log.rows.chosen)
    rows = LogRows(**{**vars(log.rows), "offers": offers, "chosen": chosen})
    run = parse_target(table(tmp_path, "p:a,p:b,p:c,p:unknown\n.4,.3,.2,.1\n")).start(log, None)
    found = run.follow(rows)
    assert found.unsupported[:50] == pytest.approx(0.3)
    assert found.unsupported[50:] == pytest.approx(0.1)
    assert "no offer 'unknown'" in run.refusal()


def test_a_table_may_be_keyed_by_row(log: MemoryLog, tmp_path: Path) -> None:
    lines = "".join(f"{row},0.{row % 10},{1 - (row % 10) / 10:.1f}\n" for row in range(3000))
    run = parse_target(table(tmp_path, f"row,p:a,p:b\n{lines}")).start(log, None)
    parts = [run.follow(rows).mass[:, 0] for rows in log.batches()]
    assert np.concatenate(parts) == pytest.approx(np.arange(3000) % 10 / 10)
    assert run.refusal() == ""


def test_a_table_of_another_number_of_rows_is_refused(log: MemoryLog, tmp_path: Path) -> None:
    """A line that could not be read moves all behind it: weights look fine, and the figure is of nothing."""
    lines = "".join(f"{row},0.5,0.5\n" for row in range(3001))
    run = parse_target(table(tmp_path, f"row,p:a,p:b\n{lines}")).start(log, None)
    for rows in log.batches():
        run.follow(rows)
    assert "of 3,001 rows, the log has 3,000" in run.refusal()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("device,p:a,p:b\nphone,.7,.2\n", "sum to 0.9"),
        ("device,p:a\nphone,1\n", "no entry where"),
        ("device,p:a\nphone,much\n", "line 2: 'much' is not a probability"),
        ("colour,p:a\nred,1\n", "no context column"),
        ("x,p:a\nmany,1\n", "where the log's column has numbers"),
        ("decision_id,p:a\nd,1\n", "decision_id"),
        ("p:a,p:a\n1,1\n", "two columns"),
        ("a,b\n1,1\n", "needs a column named offer"),
        ("offer,left,right\na,1,1\n", "NAME=VALUE"),
        ("", "needs a column"),
    ],
    ids=["sum", "missing", "word", "column", "kind", "id", "twice", "form", "keys", "empty"],
)
def test_a_table_that_does_not_fit_is_an_error(
    log: MemoryLog, tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(InvalidInput, match=problem):
        follow(log, table(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alway:a", "did you mean 'always'"),
        ("always", "write always:OFFER"),
        ("uniform:a", "takes nothing"),
        ("vw:bits=99", "bits"),
        ("vw:bits", "is not NAME=VALUE"),
        ("vw:{", "JSON"),
        ("", "is unknown"),
    ],
    ids=["typo", "argument", "surplus", "range", "option", "json", "empty"],
)
def test_a_text_that_is_no_policy_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        parse_target(text)


def test_options_are_written_with_commas_or_as_json() -> None:
    plain = parse_options("exploration=epsilon, epsilon=0.1,interactions=false")
    assert plain == parse_options('{"exploration": "epsilon", "epsilon": 0.1, "interactions": false}')


def test_a_learned_policy_is_judged_before_it_learns(log: MemoryLog) -> None:
    """At its first row it knows nothing, so it is uniform there, and later it is not."""
    target = parse_target("vw:exploration=epsilon,epsilon=0.1,bits=12", (0.0, 1.0))
    run = target.start(log, None)
    try:
        learned = run.follow(cut(log.rows, 0, 1500))
    finally:
        run.close()
    assert learned.mass[0] == pytest.approx(1 / 3, abs=1e-6)
    assert learned.mass[-100:].max(axis=1).mean() > 0.8
    assert any("Judged progressively" in note for note in run.notes())


def test_rows_that_may_not_be_learned_are_judged_only(log: MemoryLog) -> None:
    rows = LogRows(**{**vars(cut(log.rows, 0, 200)), "is_learned": np.zeros(200, dtype=np.bool_)})
    run = parse_target("vw:exploration=epsilon,epsilon=0.1,bits=12", (0.0, 1.0)).start(log, None)
    try:
        assert run.follow(rows).mass == pytest.approx(1 / 3, abs=1e-6)
        assert any("Learned 0 of 200 rows" in note for note in run.notes())
    finally:
        run.close()


@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3))
def test_any_pmf_has_mean_weight_one(weights: list[float]) -> None:
    """Over the possible choices of one row, what a target would do sums to what is supported."""
    rows = cut(make_log(np.random.default_rng(1), 3).rows, 0, 3)
    rows = LogRows(**{**vars(rows), "chosen": np.array([0, 1, 2])})
    pmf = np.array(weights) / sum(weights)
    found = aligned(rows, np.tile(pmf, (3, 1)))
    assert found.chosen.sum() == pytest.approx(1.0)
    assert (found.chosen / rows.propensity).mean() == pytest.approx(1.0)
