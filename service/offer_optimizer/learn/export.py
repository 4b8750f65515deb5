"""The ledger as a Parquet log: a file for each placement and UTC day of the decisions, with their history.

Lies here because retention is learning's own: the learner may drop only what this has written. Reads beside
the writer; each file appears whole or not at all. Knows no evaluation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, Final, cast

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidInput, NotFound
from offer_optimizer.core.history import History
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.formats.history_file import HISTORY_NAME, LOG_SUFFIX, encode_history
from offer_optimizer.formats.parquet_write import ParquetLogWriter
from offer_optimizer.learn.archive import DAY_US
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.files import Files
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.outcomes import Progress, history_of, logged_decisions

_FOREVER: Final = 2**62
_BUFFERED_MOST: Final = 30_000
"""Rows that all files under way hold in memory together; each holds a row group at most."""


@dataclass
class Written:
    """What was written into one file, or found there: rows, the sum of rewards, a hash over all of it."""

    row_count: int = 0
    reward_sum: float = 0.0
    _digest: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16), repr=False)

    def add(self, logged: LoggedDecision) -> None:
        """Count the next row."""
        outcome = logged.outcome
        self.row_count += 1
        self.reward_sum += outcome.reward_final or 0.0
        came_of_it = json.dumps([logged.position, logged.visitor_key, asdict(outcome)], default=bytes.hex)
        self._digest.update(encode_decision(logged.decision) + came_of_it.encode())

    def totals(self) -> tuple[int, float, str]:
        """Return all of it, to be compared."""
        return self.row_count, self.reward_sum, self._digest.hexdigest()


def day_of(time_us: int) -> str:
    """Return the UTC day of a time as YYYY-MM-DD."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).date().isoformat()


@dataclass(frozen=True, slots=True)
class Range:
    """Decisions made in [start_us, end_us), of one placement, or of all where that is empty."""

    start_us: int = 0
    end_us: int = _FOREVER
    placement_id: str = ""

    @classmethod
    def of_days(cls, first: str, last: str, placement_id: str) -> Range:
        """Return a range of whole UTC days given as YYYY-MM-DD, both included. Raises InvalidInput."""
        start_us = _start_of(first, "--from") if first else 0
        end_us = _start_of(last, "--until") + DAY_US if last else _FOREVER
        if start_us >= end_us:
            raise InvalidInput("--until", f"{last} is before {first}")
        return cls(start_us, end_us, placement_id)

    def has(self, decision: Decision) -> bool:
        """Return whether a decision is in it."""
        is_there = self.placement_id in ("", decision.placement_id)
        return is_there and self.start_us <= decision.decide_time_us < self.end_us


def _start_of(day: str, option: str) -> int:
    try:
        return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_US
    except ValueError:
        raise InvalidInput(option, f"must be a day like 2026-01-31 (is {day[:40]!r})") from None


def export_ledger(
    files: Files, ledger: Ledger, folder: Path, chosen: Range, progress: Progress
) -> dict[Path, Written]:
    """Export decisions of a ledger; return what was written, by path. Raises StorageUnavailable, NotFound."""
    history = history_of(ledger)
    known = {name for entry in history.catalogs.values() for name in entry.catalog.placement_by_id}
    if chosen.placement_id and chosen.placement_id not in known:
        raise NotFound(f"placement {chosen.placement_id} is in no catalog of this ledger")
    after, up_to = ledger.positions_between(chosen.start_us, chosen.end_us)
    rows = logged_decisions(ledger, after, up_to, progress)
    return export_log(files, folder, history, (row for row in rows if chosen.has(row.decision)))


def export_log(
    files: Files, folder: Path, history: History, rows: Iterable[LoggedDecision], name_end: str = ""
) -> dict[Path, Written]:
    """Write rows, given in ledger order, as `<placement>/<day><name_end>.parquet`, and the history.

    Files of those names are replaced; stragglers behind the end of their day get one of their own. Rows whose
    catalog revision the history lacks are left out: nothing says what their offers are. Raises
    StorageUnavailable, having replaced nothing or some.
    """
    files.make_dir(folder, "export.folder")
    run = _Export(files, folder, history, name_end)
    try:
        for logged in rows:
            if logged.decision.catalog_revision in history.catalogs:
                run.add(logged)
        run.finish_before("~")
    finally:
        run.give_up()
    files.replace(folder / HISTORY_NAME, encode_history(history), "export.history")
    return run.written


class _Export:
    """Files under way, by day: a day is finished once the day behind the next one has begun."""

    def __init__(self, files: Files, folder: Path, history: History, name_end: str) -> None:
        self._files = files
        self._folder = folder
        self._history = history
        self._name_end = name_end
        self._stacks: dict[str, ExitStack] = {}
        self._writers: dict[tuple[str, str], tuple[ParquetLogWriter, Written]] = {}
        self.written: dict[Path, Written] = {}

    def add(self, logged: LoggedDecision) -> None:
        """Write a row into the file of its placement and day."""
        day = day_of(logged.decision.decide_time_us)
        key = (day, logged.decision.placement_id)
        if key not in self._writers:
            self.finish_before(day_of(logged.decision.decide_time_us - DAY_US))
            self._writers[key] = self._begin(*key)
        writer, written = self._writers[key]
        writer.add(logged)
        written.add(logged)
        waiting = [other for other, _ in self._writers.values()]
        if sum(other.buffered_count for other in waiting) > _BUFFERED_MOST:
            max(waiting, key=lambda other: other.buffered_count).flush()

    def finish_before(self, day: str) -> None:
        """Put the files of earlier days into their places."""
        for key in [key for key in self._writers if key[0] < day]:
            writer, _ = self._writers.pop(key)
            writer.close()
        for finished in [known for known in self._stacks if known < day]:
            self._stacks[finished].close()
            del self._stacks[finished]

    def give_up(self) -> None:
        """Leave no trace of files that were not finished."""
        failure = OSError("not finished")
        for stack in self._stacks.values():
            with suppress(OSError):
                stack.__exit__(OSError, failure, None)

    def _begin(self, day: str, placement_id: str) -> tuple[ParquetLogWriter, Written]:
        folder = self._folder / placement_id
        numbers = ["", *(f".{number}" for number in range(2, 1000))]
        paths = (folder / f"{day}{self._name_end}{number}{LOG_SUFFIX}" for number in numbers)
        path = next(path for path in paths if path not in self.written)
        self._files.make_dir(folder, "export.folder")
        stack = self._stacks.setdefault(day, ExitStack())
        sink = stack.enter_context(self._files.replacing(path, "export.write"))
        written = self.written[path] = Written()
        return ParquetLogWriter(cast("IO[bytes]", sink), placement_id, self._history.catalogs), written
