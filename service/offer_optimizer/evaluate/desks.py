"""The history as the RPC edge asks for it: stories here, reports in a process of their own.

A connection to the ledger lives for one question, so that none keeps the writer's log from shrinking. This
module knows no estimator: their libraries take a second to load, which no decider has to spare.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.errors import DamagedFile, NotFound, StorageUnavailable, UnknownPlacement
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.evaluate.contributions import CurrentModel, contributions
from offer_optimizer.evaluate.errors import HistoryUnreadable, ReportTooLong
from offer_optimizer.evaluate.story import Story, tell
from offer_optimizer.policy.contract import Action, remarks
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger

REPORT_LIMIT_S: Final = 300.0
"""No report takes longer, whatever deadline its caller set."""
_LEAST_ANSWER_S: Final = 0.25
"""Kept of a deadline for telling the caller that it was too short."""


class LedgerStories:
    """Tells stories from the ledger at `path`, beside its writer. Implements StoryDesk.

    `model_of` returns the model that a placement serves now, None where there is none.
    """

    def __init__(self, path: Path, model_of: Callable[[str], CurrentModel | None]) -> None:
        self._path = path
        self._model_of = model_of

    def explain(self, decision_id: bytes) -> Story:
        """Return the story of a decision. Raises NotFound, HistoryUnreadable."""
        if not self._path.exists():
            raise NotFound(
                f"decision {format_decision_id(decision_id)} is not in the ledger: nothing is, as yet"
            )
        with reading(self._path) as ledger:
            story = tell(ledger, FoldTables(ledger.connection), decision_id)
        return with_contributions(story, self._model_of(story.placement_id))


def with_contributions(story: Story, model: CurrentModel | None) -> Story:
    """Return the story with what its context contributes, and what today's model says of itself.

    The same without a model; without contributions where context or choice lack.
    """
    if model is None:
        return story
    story = replace(story, model_remarks=remarks(model.policy))
    chosen = story.chosen
    if chosen is None or not story.context.count():
        return story
    eligible = story.eligible
    actions = [Action(candidate.offer_id, candidate.attributes) for candidate in eligible]
    found = contributions(model, story.context, actions, eligible.index(chosen))
    return replace(story, contributions=found)


class ChildReports:
    """Makes reports on the ledger at `path`, each in a child process. Implements ReportDesk.

    A report reads hundreds of thousands of decisions: within a decider it would hold the interpreter's lock
    against every page. `clock` returns microseconds since the epoch.
    """

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock

    def report(
        self, placement_id: str, start_us: int | None, end_us: int | None, timeout_s: float
    ) -> Mapping[str, Any]:
        """Report. Raises UnknownPlacement, HistoryUnreadable, ReportTooLong."""
        question = {
            "ledger": str(self._path),
            "placement": placement_id,
            "start_us": 0 if start_us is None else start_us,
            "end_us": self._clock() if end_us is None else end_us,
        }
        return ask_child("report_child", question, timeout_s)


class ChildHealth:
    """Says how the loop over a data directory is, each time in a child process. Implements HealthDesk.

    Weeks of rollups would take a decider as long as hundreds of pages. `clock` returns microseconds since the
    epoch.
    """

    def __init__(self, directory: Path, clock: Callable[[], int]) -> None:
        self._directory = directory
        self._clock = clock

    def health(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        """Say. Raises UnknownPlacement, HistoryUnreadable, ReportTooLong."""
        question = {"directory": str(self._directory), "placement": placement_id, "now_us": self._clock()}
        return ask_child("health_child", question, timeout_s)


class ChildShadows:
    """Says how shadow policies do, each time in a child process. Implements ShadowDesk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def shadows(self, placement_id: str, timeout_s: float) -> Mapping[str, Any]:
        """Say. Raises UnknownPlacement, HistoryUnreadable, ReportTooLong."""
        question = {"directory": str(self._directory), "placement": placement_id}
        return ask_child("shadow_child", question, timeout_s)


def ask_child(module: str, question: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
    """Let a module of this package answer a question.

    Raises UnknownPlacement, HistoryUnreadable, ReportTooLong.
    """
    limit_s = max(min(timeout_s, REPORT_LIMIT_S) - _LEAST_ANSWER_S, 0.0)
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"offer_optimizer.evaluate.{module}"],
            input=json.dumps(question).encode(),
            stdout=subprocess.PIPE,
            timeout=limit_s,
            check=False,
            # The report is one of many things that the machine does.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise ReportTooLong(limit_s) from None
    except OSError as error:
        raise HistoryUnreadable(f"{module} could not be begun: {error}") from error
    return _answer(module, done)


def _answer(module: str, done: subprocess.CompletedProcess[bytes]) -> Mapping[str, Any]:
    if done.returncode != 0:
        raise HistoryUnreadable(f"{module} ended with status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    if "unknown_placement" in answer:
        raise UnknownPlacement("placement", answer["unknown_placement"])
    if "error" in answer:
        raise HistoryUnreadable(f"{module}: {answer['error']}")
    report: dict[str, Any] = answer["report"]
    return report


@contextmanager
def reading(path: Path) -> Iterator[Ledger]:
    """Open a ledger for one consistent read. Raises HistoryUnreadable."""
    try:
        ledger = Ledger.open_for_reading(path)
        with closing(ledger.connection):
            ledger.connection.execute("BEGIN")
            yield ledger
    except (sqlite3.Error, DamagedFile, StorageUnavailable) as error:
        raise HistoryUnreadable(f"{path}: {error}") from error
