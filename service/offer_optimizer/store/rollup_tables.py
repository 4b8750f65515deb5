"""Rollups: what happened at each placement, counted by the hour, as health and status read it.

Kept in the ledger's database by the fold, in the transaction that brings the records, and derivable from the
ledger. All values are whole numbers that are added up (or the least is kept), so that neither the order nor
the size of transactions shows: live learning and a rebuild write the same rows. Hours are of ledger time,
counted from the epoch; after HOURLY_DAYS they become days, after KEPT_DAYS they go.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rollup(
    placement_id TEXT NOT NULL, hour INTEGER NOT NULL, measure TEXT NOT NULL, label TEXT NOT NULL,
    value INTEGER NOT NULL, PRIMARY KEY (placement_id, hour, measure, label)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rollup_state(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID
"""
HOUR_US: Final = 3_600_000_000
DAY_HOURS: Final = 24
HOURLY_DAYS: Final = 14
"""Two weeks by the hour: health compares an hour with the same hour of earlier days."""
KEPT_DAYS: Final = 400
"""A year and a month, so that a month can be held against the same one of last year."""
MILLION: Final = 1_000_000
"""Fractions are kept in millionths: whole numbers can be added in any order."""

EVERYWHERE: Final = ""
"""The placement of feedback whose placement nobody knows."""
OTHER: Final = "(other)"
"""The label of offers and kinds that the catalog does not know: callers choose them, so they are not kept."""

DELAY_EDGES_US: Final = tuple(round(250_000 * 2 ** (step / 2)) for step in range(51))
"""Where buckets of delays end (exclusive): 0.25 s, then by the root of two, up to 97 days; windows end at 90.
The last bucket has no end."""


class Measure(StrEnum):
    """What is counted, and by which label. Names are stored: never change one.

    By the hour in which the decision was made, whenever the rest came: all but FEEDBACK, which is by its own.
    """

    DECISION = "decision"
    """Decisions, by reason."""
    OFFER = "offer"
    """Decisions that chose an offer, by offer."""
    SHOWN = "shown"
    """Those of them with feedback `shown`, by offer."""
    UNREADY = "counters_unready"
    """Decisions that left an offer out because counters could not be read."""
    DRAWN = "drawn"
    """Decisions by the model with two eligible offers or more."""
    EXPLORED = "explored"
    """Those of them that chose something else than the likeliest offer."""
    EXPLORE_MASS = "explore_mass"
    """How many of them should have, by their pmfs (millionths)."""
    ENTROPY = "entropy"
    """Sum of the entropy of their pmfs (millionths of a nat)."""
    ENTROPY_MOST = "entropy_most"
    """The same, had every pmf been uniform."""
    PROPENSITY_LEAST = "propensity_least"
    """Their least propensity (billionths); not a sum."""
    ARRIVAL = "arrival"
    """Decisions by the delay bucket of their first feedback other than shown and not_shown."""
    CLOSED = "closed"
    """Closed decisions, by status."""
    CLIPPED = "clipped"
    """Rewards that had to be moved into the declared range."""
    REWARD = "reward"
    """Sum of rewards as shares of the declared range (millionths), by that range: "0.0 1.0"."""
    REWARD_SQUARE = "reward_square"
    """Sum of the squares of those shares (millionths), by range."""
    FEEDBACK = "feedback"
    """Items of feedback, by "FATE kind"."""


Key = tuple[str, str]
"""Measure and label."""
Counts = Mapping[Key, int]


def delay_bucket(delay_us: int) -> int:
    """Return the number of a delay's bucket, from 0."""
    return bisect_right(DELAY_EDGES_US, delay_us)


@dataclass(frozen=True, slots=True)
class Rollup:
    """What happened at a placement in `hours` hours from `hour` on: 1, or 24 where it is older."""

    placement_id: str
    hour: int
    hours: int
    counts: Counts

    def of(self, measure: Measure, label: str = "") -> int:
        """Return a count; 0 where nothing was counted."""
        return self.counts.get((measure, label), 0)

    def total(self, measure: Measure) -> int:
        """Return the sum over all labels."""
        return sum(value for (name, _), value in self.counts.items() if name == measure)

    def by_label(self, measure: Measure) -> dict[str, int]:
        """Return the counts of a measure by label."""
        return {label: value for (name, label), value in self.counts.items() if name == measure}


class RollupTables:
    """Rollups over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def create(cls, connection: sqlite3.Connection) -> RollupTables:
        """Make the tables where they don't exist yet."""
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        return cls(connection)

    def daily_before(self) -> int:
        """Return the hour before which rows stand for days."""
        row = self._connection.execute(
            "SELECT value FROM rollup_state WHERE name = 'daily_before'"
        ).fetchone()
        return 0 if row is None else int(row[0])

    def add(self, cells: Mapping[tuple[str, int], Mapping[Key, int]]) -> None:
        """Add counts, by placement and hour; of PROPENSITY_LEAST the least is kept."""
        rows = [
            (placement_id, hour, measure, label, value)
            for (placement_id, hour), counts in cells.items()
            for (measure, label), value in counts.items()
        ]
        self._connection.executemany(
            f"INSERT INTO rollup VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = {_MERGED}",  # noqa: S608  (our own)
            rows,
        )

    def make_daily(self, before_hour: int) -> None:
        """Let rows before an hour (the first of a day) stand for whole days, and drop what is too old."""
        since, run = self.daily_before(), self._connection.execute
        columns = f"placement_id, hour - hour % {DAY_HOURS} AS day, measure, label"
        run("CREATE TEMP TABLE IF NOT EXISTS rollup_day AS SELECT * FROM rollup WHERE 0")
        run(
            f"INSERT INTO rollup_day SELECT {columns}, "  # noqa: S608  (names of our own)
            f"CASE measure WHEN '{Measure.PROPENSITY_LEAST}' THEN MIN(value) ELSE SUM(value) END FROM rollup "
            "WHERE hour >= ? AND hour < ? GROUP BY placement_id, day, measure, label",
            (since, before_hour),
        )
        run("DELETE FROM rollup WHERE hour >= ? AND hour < ?", (since, before_hour))
        run("INSERT INTO rollup SELECT * FROM rollup_day")
        run("DELETE FROM rollup_day")
        oldest = before_hour - (KEPT_DAYS - HOURLY_DAYS) * DAY_HOURS
        run("DELETE FROM rollup WHERE hour < ?", (oldest,))
        run("INSERT OR REPLACE INTO rollup_state VALUES ('daily_before', ?)", (before_hour,))

    def read(self, since_hour: int = 0) -> list[Rollup]:
        """Return rollups from an hour on, by placement and hour; none where the fold never kept any."""
        run = self._connection.execute
        if self._is_missing():
            return []
        daily_before = self.daily_before()
        found: dict[tuple[str, int], dict[Key, int]] = {}
        for placement_id, hour, measure, label, value in run(
            "SELECT * FROM rollup WHERE hour >= ? ORDER BY placement_id, hour, measure, label", (since_hour,)
        ):
            found.setdefault((placement_id, hour), {})[measure, label] = value
        return [
            Rollup(placement_id, hour, DAY_HOURS if hour < daily_before else 1, counts)
            for (placement_id, hour), counts in found.items()
        ]

    def open_count(self, placement_id: str, since_hour: int) -> int:
        """Return how many decisions made since an hour have not closed yet."""
        if self._is_missing():
            return 0
        (found,) = self._connection.execute(
            "SELECT COALESCE(SUM(CASE measure WHEN ? THEN value ELSE -value END), 0) FROM rollup "
            "WHERE placement_id = ? AND hour >= ? AND measure IN (?, ?)",
            (Measure.DECISION, placement_id, since_hour, Measure.DECISION, Measure.CLOSED),
        ).fetchone()
        return int(found)

    def rows(self) -> set[tuple[str, int, str, str, int]]:
        """Return every row, to compare with another fold's at the same position."""
        return set() if self._is_missing() else set(self._connection.execute("SELECT * FROM rollup"))

    def _is_missing(self) -> bool:
        run = self._connection.execute
        return run("SELECT 1 FROM sqlite_master WHERE name = 'rollup'").fetchone() is None


_MERGED: Final = (
    f"CASE measure WHEN '{Measure.PROPENSITY_LEAST}' THEN MIN(value, excluded.value) "
    "ELSE value + excluded.value END"
)
