"""Taking a visitor out of the ledger and of the fold's tables, within one transaction of the caller's.

What always holds: whoever folds the redacted records derives the redacted tables, because keys and ids of
feedback are replaced by others one for one, and nothing else that the fold reads is touched. Counters of the
visitor are dropped: nobody asks for them by the new key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.core.redaction import Redaction
from offer_optimizer.store import hot_records as records
from offer_optimizer.store.codec import Merge, RecordKind, StoredCatalog, encode_body, encode_feedback
from offer_optimizer.store.counter_tables import visitor_name
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.fold_tables import UNKNOWN_FATES
from offer_optimizer.store.ledger import Ledger, LedgerRecord
from offer_optimizer.store.outcomes import merged_keys
from offer_optimizer.store.visitor_index import VisitorIndex

_KEYED: Final = ("open_feedback", "ended_decision")


def keys_of(ledger: Ledger, digest: bytes, merged: Mapping[int, int] | None = None) -> frozenset[int]:
    """Return the keys that a visitor's records carry: the own one, and those of all who were merged into it.

    Ids that were merged are one person: whoever erases one erases all. Empty for somebody unknown. `merged`
    is what `merged_keys` returns, for those who ask for many: it reads all merges.
    """
    key = ledger.known_visitor_key(digest)
    if key is None:
        return frozenset()
    merged = merged_keys(ledger) if merged is None else merged
    return frozenset({key} | {old for old, now in merged.items() if now == key})


def shares_of(ledger: Ledger) -> tuple[float, ...]:
    """Return all shares of holdouts that a catalog revision declared, ascending, with 0."""
    found = {0.0}
    for record in ledger.rare_records(ledger.last_position()):
        body = record.body() if record.kind is RecordKind.CATALOG else None
        if isinstance(body, StoredCatalog):
            catalog = Catalog.model_validate_json(body.canonical)
            own = (placement.holdout for placement in catalog.placements)
            found |= {share for share in (catalog.holdout, *own) if share is not None}
    return tuple(sorted(found))


class LedgerEraser:
    """Redacts one visitor in the ledger's database, but for what `erase_shared` redacts for all who go."""

    def __init__(self, ledger: Ledger, redaction: Redaction) -> None:
        self._ledger = ledger
        self.redaction = redaction
        self._run = ledger.connection.execute
        self._many = ledger.connection.executemany
        self._index = VisitorIndex(ledger.connection)
        self._decisions: list[int] = []
        self._done: set[int] = set()

    @property
    def decisions(self) -> frozenset[int]:
        """The positions of the visitor's decisions that the ledger held, once `erase` ran."""
        return frozenset(self._decisions)

    def erase(self, digest: bytes, archived: Mapping[bytes, int]) -> int:
        """Redact everything and forget who it was; return how many decisions. Raises sqlite3.Error.

        `archived` are the visitor's decisions in the archive, ids with positions: the ledger does not know
        any more whose they were, and may hold feedback that came for them since.
        """
        for position in self._index.positions(self.redaction.keys):
            if self._ledger.has(position):
                self._redact(self._ledger.record_at(position))
        heard = self._feedback_of({*self._decisions, *archived.values()}) | self._unknown(archived)
        for position in sorted(heard - self._done):
            if self._ledger.has(position):
                self._redact(self._ledger.record_at(position))
        self._index.rename(self.redaction.new_keys())
        self._rename_open()
        self._rename_spent()
        self._forget(digest)
        return len(self._decisions)

    def _feedback_of(self, decisions: Iterable[int]) -> set[int]:
        rows = self._run(
            "SELECT fate.position FROM json_each(?) AS wanted "
            "CROSS JOIN fate ON decision_position = wanted.value",
            (json.dumps(list(decisions)),),
        )
        return {position for (position,) in rows}

    def _unknown(self, archived: Mapping[bytes, int]) -> set[int]:
        """Return the feedback that named a decision of the archive by an id that the fold knew no more."""
        if not archived:
            return set()
        rows = self._run(UNKNOWN_FATES).fetchall()
        found = set()
        for (position,) in rows:
            body = self._ledger.record_at(position).body() if self._ledger.has(position) else None
            if isinstance(body, Feedback) and body.decision_id in archived:
                found.add(position)
        return found

    def _redact(self, record: LedgerRecord) -> None:
        body, key = record.body(), record.visitor_key
        if isinstance(body, Decision):
            self._decisions.append(record.position)
            data = encode_decision(self.redaction.decision(body))
        elif isinstance(body, Feedback):
            self._done.add(record.position)
            data = encode_feedback(self.redaction.feedback(body))
        else:
            return
        new_key = None if key is None else self.redaction.key(key)
        self._ledger.rewrite(replace(record, visitor_key=new_key, data=data))

    def _rename_open(self) -> None:
        """Rename what is open, and the ids of its feedback, however it was addressed."""
        for position in self._decisions:
            rows = self._run(
                "SELECT feedback_id, retracts, position FROM open_feedback WHERE decision_position = ?",
                (position,),
            ).fetchall()
            name = self.redaction.feedback_id
            self._rename_decision(position)
            self._many(
                "UPDATE open_feedback SET feedback_id = ?, retracts = ? WHERE position = ?",
                [(name(feedback_id), name(retracts), at) for feedback_id, retracts, at in rows],
            )
        for table in _KEYED:
            for old, new in self.redaction.new_keys().items():
                self._run(f"UPDATE {table} SET visitor_key = ? WHERE visitor_key = ?", (new, old))  # noqa: S608

    def _rename_decision(self, position: int) -> None:
        """Rename the visitor of a decision whose window is open; a merge may have changed it since."""
        row = self._run("SELECT visitor_key FROM open_decision WHERE position = ?", (position,)).fetchone()
        if row is not None and row[0] is not None:
            new = self.redaction.key(row[0])
            self._run("UPDATE open_decision SET visitor_key = ? WHERE position = ?", (new, position))

    def _rename_spent(self) -> None:
        for old, new in self.redaction.new_keys().items():
            rows = self._run("SELECT * FROM spent_feedback WHERE visitor_key = ?", (old,)).fetchall()
            self._run("DELETE FROM spent_feedback WHERE visitor_key = ?", (old,))
            self._many(
                "INSERT OR REPLACE INTO spent_feedback VALUES (?, ?, ?, ?, ?)",
                [
                    (new, placement_id, self.redaction.feedback_id(feedback_id), at, until_us)
                    for _, placement_id, feedback_id, at, until_us in rows
                ],
            )

    def _forget(self, digest: bytes) -> None:
        key = self._ledger.known_visitor_key(digest)
        if key is None:
            return
        if self._run("SELECT 1 FROM merged_visitor WHERE into_key = ?", (key,)).fetchone():
            # Others were merged into this one. Keys have no index, so all visitors are looked at.
            self._run("DELETE FROM visitor WHERE visitor_key = ?", (key,))
            self._run("DELETE FROM merged_visitor WHERE into_key = ?", (key,))
        else:
            self._run("DELETE FROM visitor WHERE digest = ?", (digest,))
        self._ledger.forget_cached_keys()


def erase_shared(ledger: Ledger, redactions: Iterable[Redaction]) -> None:
    """Redact merges, counters and remembered decisions, of which the whole is read: once for all who go.

    Raises sqlite3.Error, DamagedFile.
    """
    # Whoever was merged is one person with one redaction, so no key is of two.
    new_keys = {old: new for redaction in redactions for old, new in redaction.new_keys().items()}
    if new_keys:
        _redact_merges(ledger, new_keys)
        _drop_counters(ledger, new_keys)


def _redact_merges(ledger: Ledger, new_keys: Mapping[int, int]) -> None:
    rows = ledger.connection.execute(
        "SELECT position FROM record WHERE kind = ? AND kind > 3", (int(RecordKind.MERGE),)
    ).fetchall()
    for (position,) in rows:
        record = ledger.record_at(position)
        body = record.body()
        if isinstance(body, Merge) and body.into_key in new_keys:
            new = Merge(new_keys.get(body.from_key, body.from_key), new_keys[body.into_key])
            ledger.rewrite(replace(record, data=encode_body(new)))


def _drop_counters(ledger: Ledger, keys: Iterable[int]) -> None:
    run, names = ledger.connection.execute, names_of(keys)
    ledger.connection.executemany(
        "DELETE FROM visitor_counter WHERE visitor_key = ?", [(key,) for key in keys]
    )
    remembered = run(
        "SELECT name, value FROM counter WHERE name >= ? AND name < ?",
        (records.DECISION, bytes([records.DECISION[0] + 1])),
    ).fetchall()
    for name, value in remembered:
        changed = without_visitors(name, value, names)
        if changed is not None:
            kept, request_digest = changed
            run("UPDATE counter SET value = ? WHERE name = ?", (kept, name))
            run("DELETE FROM counter WHERE name = ?", (records.REQUEST + request_digest,))


def names_of(keys: Iterable[int]) -> frozenset[bytes]:
    """Return what visitors go by in counters."""
    return frozenset(map(visitor_name, keys))


def without_visitors(name: bytes, value: bytes, names: frozenset[bytes]) -> tuple[bytes, bytes] | None:
    """Return a remembered decision of the fold's without its visitor, and its request digest.

    None where it is of none of `names`. What it reserved stays reserved, and feedback still settles it.
    """
    recent, request_digest = records.decode_recent(name[1:], value)
    if recent.visitor_digest not in names:
        return None
    return records.encode_recent(replace(recent, visitor_digest=b"", record=b""), b""), request_digest
