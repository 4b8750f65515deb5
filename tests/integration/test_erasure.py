"""A visitor is taken out of a ledger that lives through days; what is derived from it stays what it was."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from offer_optimizer.app.archivist import ChildArchivist
from offer_optimizer.core.control import Erasure
from offer_optimizer.core.feedback import Fate
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.core.redaction import Redaction, decode_redaction, encode_redaction
from offer_optimizer.evaluate import evaluate, read_log
from offer_optimizer.evaluate.visitor_history import LedgerVisitors, VisitorPage
from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.learn.base_snapshot import model_row
from offer_optimizer.learn.erase import VisitorEraser
from offer_optimizer.learn.erase_archive import erase_archived
from offer_optimizer.store.erasing import keys_of
from offer_optimizer.store.files import Files
from offer_optimizer.store.outcomes import logged_decisions, merged_keys
from offer_optimizer.store.sqlite import transaction
from tests.integration.days import SLOW, Days
from tests.integration.erasing_days import (
    AUDIT,
    VISITOR,
    ErasingDays,
    HereArchivist,
    NoCache,
    digest_of,
    left_of,
)
from tests.integration.test_retention_crash import DyingDisk, Killed
from tests.traces import traces
from tests.unit.learn.worlds import PLACEMENT, feedback_of


@pytest.fixture
def days(tmp_path: Path) -> Iterator[ErasingDays]:
    found = ErasingDays(tmp_path / "days")
    yield found
    found.close()


def _rows(days: Days) -> list[LoggedDecision]:
    return list(logged_decisions(days.world.ledger, 0, days.world.fold.position, lambda _done, _all: None))


def _everything(days: Days) -> list[LoggedDecision]:
    archive = days.directory.archive
    names = [name for name in (PLACEMENT, SLOW) if (archive / name).exists()]
    return [row for name in names for row in ParquetLog.open(archive, name).rows()] + _rows(days)


def test_a_rebuild_derives_what_is_left_and_models_stay(days: ErasingDays) -> None:
    days.live(2)
    keys = keys_of(days.world.ledger, digest_of(VISITOR))
    before, shas = _rows(days), days.shas()
    assert left_of(days, keys)
    days.ask()
    days.erase()
    assert days.rebuilt() == []
    assert days.shas() == shas, "models keep what they learned"
    assert left_of(days, keys) == []
    days.live(1)
    assert days.rebuilt() == []
    assert days.shas_from_base() == days.shas()
    after = {row.position: row for row in _rows(days)}
    for row in before:
        _check_row(row, after[row.position], keys)


def _check_row(old: LoggedDecision, new: LoggedDecision, keys: frozenset[int]) -> None:
    """See that an erased row has what estimates need, under one other key, and that others are untouched."""
    if old.visitor_key not in keys:
        assert repr(old.decision) == repr(new.decision)
        assert old.visitor_key == new.visitor_key
        return
    assert new.visitor_key not in keys
    assert new.visitor_key is not None
    assert (new.decision.context.count(), new.decision.holdout_u, new.decision.erased) == (0, 0.0, True)
    assert repr(new.decision.slots) == repr(old.decision.slots)
    assert [item.item.feedback_id[:7] for item in new.outcome.feedback[: len(old.outcome.feedback)]] == [
        "erased-" for _ in old.outcome.feedback
    ]


def test_clusters_stay_clusters_and_ids_that_were_merged_are_one_person(days: ErasingDays) -> None:
    """The unit of inference is the visitor, whoever it was."""
    days.live(1)
    with transaction(days.world.connection):
        merge = days.world.ledger.merge_visitors(digest_of("v5"), digest_of(VISITOR))
        assert merge is not None
        days.world.take(days.world.ledger.append_body(merge))
        days.world.fold.save_state()
    days.live(1)
    keys = keys_of(days.world.ledger, digest_of(VISITOR))
    assert len(keys) == 2
    assert keys == keys_of(days.world.ledger, digest_of("v5"))

    def clusters() -> list[list[int]]:
        now, found = merged_keys(days.world.ledger), defaultdict(list)
        for row in _rows(days):
            found[now.get(row.visitor_key or 0, row.visitor_key)].append(row.position)
        return sorted(found.values())

    before = clusters()
    days.ask("v5")
    days.erase()
    assert clusters() == before
    assert left_of(days, keys) == []
    assert keys_of(days.world.ledger, digest_of("v5")) == keys_of(days.world.ledger, digest_of(VISITOR))
    assert keys_of(days.world.ledger, digest_of(VISITOR)) == frozenset()
    assert days.rebuilt() == []


def test_archive_and_base_forget_too_and_retention_goes_on_behind(days: ErasingDays) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    days.live(1)
    keys = keys_of(days.world.ledger, digest_of(VISITOR))
    before = {row.decision.decision_id: row for row in _everything(days)}
    days.ask()
    days.erase()
    assert left_of(days, keys) == []
    assert days.rebuilt() == []
    after = {row.decision.decision_id: row for row in _everything(days)}
    assert before.keys() == after.keys()
    archived = [decision_id for decision_id, row in before.items() if row.visitor_key in keys]
    assert len(archived) > 5
    for decision_id, row in before.items():
        _check_row(row, after[decision_id], keys)
    days.live(1)
    days.ask("v4")
    days.erase()
    days.live(1)
    assert days.rebuilt() == []
    assert days.prepare() is not None
    assert days.retire()
    assert days.rebuilt() == []
    assert len(list(days.directory.bases.iterdir())) == 1
    days.live(1)
    assert days.rebuilt() == []


def test_feedback_for_a_decision_that_was_archived_loses_its_id_too(days: ErasingDays) -> None:
    """The ledger does not know any more whose it was; what comes for it is late, then unknown."""
    days.live(3)
    days.prepare()
    keys = keys_of(days.world.ledger, digest_of(VISITOR))
    archived = [row.decision.decision_id for row in _archived(days) if row.visitor_key in keys]
    other = next(row.decision.decision_id for row in _archived(days) if row.visitor_key not in keys)

    def hear(feedback_id: str, decision_id: bytes) -> None:
        item = replace(feedback_of(feedback_id, days.now_us), decision_id=decision_id, placement_id="")
        with transaction(days.world.connection):
            days.world.hear(item)

    hear("canary-late", archived[0])
    days.retire()
    hear("canary-unknown", archived[1])
    hear("others-own", other)
    days.live(1)
    hear("canary-parked", archived[2])
    fates = days.world.tables.fate_counts()
    assert fates[Fate.UNKNOWN] >= 2
    assert fates[Fate.PARKED] >= 1
    days.ask()
    days.erase()
    wanted = {fate: f"canary-{fate}".encode() for fate in ("late", "unknown", "parked")}
    assert traces(days.path, wanted) == []
    assert traces(days.path, {"others": b"others-own"}), "nobody asked for it"
    assert days.rebuilt() == []


def test_a_child_that_was_cut_short_finds_what_it_has_redacted_already(days: ErasingDays) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    redaction = Redaction(bytes(range(32)), keys_of(days.world.ledger, digest_of(VISITOR)))
    first = erase_archived(days.files, days.directory, redaction)
    assert first
    assert erase_archived(days.files, days.directory, redaction) == first


def test_a_base_that_waits_to_be_noted_goes_first(days: ErasingDays) -> None:
    """It was made with the visitor in it."""
    days.live(3)
    days.prepare()
    days.ask()
    eraser = days.eraser()
    rows = lambda: [model_row(model) for model in days.models.values()]  # noqa: E731
    assert not any(eraser.step(rows) for _ in range(4))
    days.retire()
    eraser.begin(days.world.fold)
    assert any(eraser.step(rows) for _ in range(4))


def test_nobody_is_erased_while_a_model_is_trained_anew_or_a_record_is_under_way(days: ErasingDays) -> None:
    days.live(1)
    days.ask()
    eraser = days.eraser()
    assert not any(eraser.step(lambda: None) for _ in range(4))
    busy = VisitorEraser(
        days.files, days.directory, days.world.ledger, lambda: days.now_us, lambda: 0, HereArchivist(days),
        NoCache(),
    )  # fmt: skip
    busy.begin(days.world.fold)
    assert not any(busy.step(list) for _ in range(4))


def test_somebody_unknown_is_erased_by_a_record_alone(days: ErasingDays) -> None:
    days.live(1)
    days.ask("nobody")
    days.erase()
    last = days.world.ledger.record_at(days.world.ledger.last_position()).body()
    assert last == Erasure(0, b"", 0, AUDIT)
    assert days.rebuilt() == []


def test_a_kill_at_any_step_is_finished_by_the_next_life(
    days: ErasingDays, figure: Callable[[str], None]
) -> None:
    days.live(1)
    killed = 0
    while _is_killed_and_finished(days, VISITOR, "", killed):
        killed += 1
        days.live_hours(1, VISITOR)
    assert killed > 10
    figure(
        f"An erasure was killed at each of its {killed} steps outside of SQLite; the next life finished it."
    )


def test_a_kill_while_the_archive_is_written_again_is_finished_by_the_next_life(days: ErasingDays) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    killed = [_is_killed_and_finished(days, f"v{number + 1}", "erase.archive", number) for number in range(6)]
    assert all(killed)


def _is_killed_and_finished(days: ErasingDays, visitor: str, prefix: str, number: int) -> bool:
    """Erase somebody, die at a step, come back; return whether it died."""
    days.ask(visitor)
    keys = keys_of(days.world.ledger, digest_of(visitor))
    is_killed = _erase_until(days, prefix, number)
    days.reopen()
    assert days.rebuilt() == [], number
    _finish(days)
    assert left_of(days, keys, visitor) == [], number
    assert days.rebuilt() == [], number
    return is_killed


def _erase_until(days: ErasingDays, prefix: str, number: int) -> bool:
    """Erase, and die at a step by its number among those that begin so; return whether it died."""
    steps, disk = itertools.count(), DyingDisk()

    def die(step: str, moment: str) -> None:
        if moment == "before" and step.startswith(prefix) and next(steps) == number:
            raise Killed

    days.files = Files(die, disk)
    try:
        days.erase()
    except Killed:
        return True
    finally:
        disk.end()
        days.files = Files()
    return False


def _finish(days: ErasingDays) -> None:
    eraser = days.eraser()
    for _ in range(6):
        if eraser.step(lambda: [model_row(model) for model in days.models.values()]):
            days.world.reopen()
            eraser.begin(days.world.fold)


def test_estimates_of_policies_that_read_no_context_are_what_they_were(days: ErasingDays) -> None:
    """Values, intervals and effective sample sizes, by visitor: a key for each row would narrow them."""
    days.live(5)

    def judged() -> dict[str, float]:
        log = read_log(days.directory.ledger_path, placement=PLACEMENT)
        found = evaluate(log, ["logged", "always:save5", "uniform"], estimators=["ips", "snips"], force=True)
        return dict(_numbers("", found.to_dict()["policies"]))

    before = judged()
    assert any(".snips" in name and ".low" in name and value for name, value in before.items())
    for visitor in (VISITOR, "v4", "v5"):
        days.ask(visitor)
        days.erase()
    assert judged() == pytest.approx(before, rel=1e-9, abs=1e-12, nan_ok=True)


def _numbers(name: str, value: object) -> Iterator[tuple[str, float]]:
    """Yield the numbers within, by their paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(f"{name}.{key}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(f"{name}.{index}", item)
    elif isinstance(value, int | float):
        yield name, float(value)


def test_an_export_tells_of_archive_and_ledger_page_by_page(days: ErasingDays) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    days.live(1)
    keys = keys_of(days.world.ledger, digest_of(VISITOR))
    wanted = {row.decision.decision_id for row in _everything(days) if row.visitor_key in keys}
    histories = LedgerVisitors(
        days.directory.ledger_path, days.directory.archive, digest_of, lambda: days.now_us
    )
    token, found, archived = "", [], 0
    for _ in range(50):
        page = histories.page(VISITOR, token, 3, 60.0)
        archived += len(page.archived)
        found += [bytes.fromhex(row["decision_id"]) for row in page.archived]
        found += [story.decision_id for story in page.stories]
        assert all(row["categories"] == {"who": f"canary-{VISITOR}-"} for row in page.archived)
        token = page.next_token
        if not token:
            break
    assert set(found) == wanted
    assert archived > 3
    assert histories.decision_count(VISITOR) <= len(wanted)
    assert histories.page("nobody", "", 7, 60.0) == VisitorPage()


def test_the_child_takes_a_visitor_out_of_the_archive(days: ErasingDays) -> None:
    """It hears who on its standard input, where nobody else can see it."""
    days.live(3)
    days.prepare()
    days.retire()
    keys = keys_of(days.world.ledger, digest_of("v4"))
    redaction = Redaction(bytes(range(32)), keys, (0.0, 0.1))
    assert decode_redaction(encode_redaction(redaction)) == redaction
    before = [row for row in _archived(days) if row.visitor_key in keys]
    assert before
    theirs_before = {row.decision.decision_id: row.position for row in before}
    child = ChildArchivist(days.directory)
    child.start(redaction)
    deadline_s = time.monotonic() + 60
    while (status := child.poll()) is None and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert status == 0
    assert child.decisions() == theirs_before
    assert [row for row in _archived(days) if row.visitor_key in keys] == []
    theirs = [row for row in _archived(days) if row.visitor_key in set(redaction.new_keys().values())]
    assert [row.position for row in theirs] == [row.position for row in before]
    assert all(row.decision.erased and row.decision.holdout_u == 0.1 for row in theirs)


def _archived(days: Days) -> list[LoggedDecision]:
    return [row for name in (PLACEMENT, SLOW) for row in ParquetLog.open(days.directory.archive, name).rows()]
