"""Which buckets of open decisions there are, by placement, and how full the newest of each is.

Decisions of a placement fill one bucket behind the other in the order in which they open, so nearly all that
closes at a time is of one bucket. What is counted in memory is written by `save`, before its transaction
commits; whoever rolls back begins with a new instance.
"""

from __future__ import annotations

import sqlite3
from typing import Final

BUCKET: Final = 131_072
"""Decisions of a placement that are indexed together by visitor. Visitors come in random order: over millions
of open decisions one index has a cold page for each that opens or closes, while the pages of the newest and
the oldest bucket stay warm. Looking a visitor up costs a step down the tree for each bucket."""
BUCKET_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS open_bucket(
    placement_id TEXT NOT NULL, bucket INTEGER NOT NULL, opened INTEGER NOT NULL,
    PRIMARY KEY (placement_id, bucket)) WITHOUT ROWID
"""
FIRST_BUCKETS: Final = (
    "INSERT INTO open_bucket SELECT placement_id, bucket, COUNT(*) FROM open_decision GROUP BY 1, 2"
)
"""Notes the buckets of decisions that were opened when there were none."""


class OpenBuckets:
    """The buckets over one SQLite connection; transactions belong to the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute
        self._newest: dict[str, tuple[int, int]] = {}
        self._changed: set[str] = set()

    def take(self, placement_id: str) -> int:
        """Return the bucket of a decision of a placement that opens now."""
        bucket, opened = self._newest.get(placement_id) or self._load(placement_id)
        if opened >= BUCKET:
            self.save()
            bucket, opened = bucket + 1, 0
            self._add(placement_id, bucket)
        self._newest[placement_id] = (bucket, opened + 1)
        self._changed.add(placement_id)
        return bucket

    def save(self) -> None:
        """Write how many decisions each bucket has had."""
        for placement_id in self._changed:
            bucket, opened = self._newest[placement_id]
            self._run(
                "UPDATE open_bucket SET opened = ? WHERE placement_id = ? AND bucket = ?",
                (opened, placement_id, bucket),
            )
        self._changed.clear()

    def forget_empty(self) -> None:
        """Drop the full buckets that have no open decision of a visitor any more."""
        self._run(
            "DELETE FROM open_bucket WHERE opened >= ? AND NOT EXISTS (SELECT 1 FROM open_decision "
            "WHERE open_decision.placement_id = open_bucket.placement_id "
            "AND open_decision.bucket = open_bucket.bucket AND visitor_key IS NOT NULL) "
            "AND bucket < (SELECT MAX(bucket) FROM open_bucket AS newer "
            "WHERE newer.placement_id = open_bucket.placement_id)",
            (BUCKET,),
        )

    def _load(self, placement_id: str) -> tuple[int, int]:
        row = self._run(
            "SELECT bucket, opened FROM open_bucket WHERE placement_id = ? ORDER BY bucket DESC LIMIT 1",
            (placement_id,),
        ).fetchone()
        if row is not None:
            return int(row[0]), int(row[1])
        self._add(placement_id, 0)
        return 0, 0

    def _add(self, placement_id: str, bucket: int) -> None:
        self._run("INSERT INTO open_bucket VALUES (?, ?, 0)", (placement_id, bucket))
