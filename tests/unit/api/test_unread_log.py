"""Why history could not be read is in the log, with what the system said, and not for every call."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from offer_optimizer.api.status import FailureBook
from offer_optimizer.api.unread_log import EVERY_US
from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.evaluate.child_answer import answer
from offer_optimizer.evaluate.desks import ask_child
from offer_optimizer.evaluate.errors import HistoryUnreadable, system_cause
from tests.unit.api.fakes import FakeLog, error_id


def raised(text: str, cause: Exception | None = None) -> HistoryUnreadable:
    error = HistoryUnreadable(text)
    error.__cause__ = cause
    return error


def test_the_log_says_what_callers_do_not_hear_once_a_minute_for_each_call_and_cause() -> None:
    now_us, log = [10], FakeLog()
    failures = FailureBook(log, error_id, lambda: now_us[0])
    full = raised("/data/ledger.sqlite: disk I/O error", OSError(errno.EAGAIN, "try again"))
    for call in ("InsightService.GetLoopHealth", "InsightService.GetLoopHealth", "OfferService.Explain"):
        assert "/data" not in failures.describe(full, call).message
    assert [(name, fields["call"], fields["cause"]) for name, fields in log.events] == [
        ("history_unreadable", "InsightService.GetLoopHealth", "EAGAIN"),
        ("history_unreadable", "OfferService.Explain", "EAGAIN"),
    ]
    assert log.events[0][1]["error"] == "/data/ledger.sqlite: disk I/O error"
    failures.describe(raised("another"), "OfferService.Explain")
    now_us[0] += EVERY_US
    failures.describe(full, "InsightService.GetLoopHealth")
    assert [fields["unlogged_count"] for _, fields in log.events] == [0, 0, 0, 1]


def test_a_clock_that_went_back_silences_nothing() -> None:
    now_us, log = [10 * EVERY_US], FakeLog()
    failures = FailureBook(log, error_id, lambda: now_us[0])
    for now_us[0] in (10 * EVERY_US, EVERY_US):
        failures.describe(raised("x"), "A")
    assert len(log.events) == 2


def test_what_the_system_said_is_found_beneath_and_told_by_the_child() -> None:
    refused = StorageUnavailable("/data/catalog: could not read")
    refused.__cause__ = OSError(errno.EIO, "broken")
    assert system_cause(refused) == "EIO"

    def find(_question: dict[str, object]) -> dict[str, object]:
        sqlite3.connect("file:/nowhere/at/all?mode=ro", uri=True)
        raise AssertionError("it opened")

    assert answer(find, {}) == {"error": "unable to open database file (SQLITE_CANTOPEN)"}
    assert system_cause(HistoryUnreadable("x")) == ""


def test_a_child_that_dies_is_named_with_its_status() -> None:
    with pytest.raises(HistoryUnreadable, match="no_such_child ended with status 1"):
        ask_child("no_such_child", {}, 60.0)
