"""Decisions of the ledger with what came of them, in ledger order, in short reads beside the writer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.control import (
    Learning,
    Promotion,
    Quarantine,
    Retention,
    Rollback,
    Steering,
    Thinning,
)
from offer_optimizer.core.feedback import Fate
from offer_optimizer.core.history import History, KnownEpoch, KnownSalt
from offer_optimizer.core.outcome import FatedFeedback, LoggedDecision, Outcome
from offer_optimizer.store.codec import (
    Epoch,
    Merge,
    RecordKind,
    Salt,
    StoredCatalog,
    decode_body,
    decode_feedback,
)
from offer_optimizer.store.decision_codec import decode_decision
from offer_optimizer.store.fold_tables import COUNTED, CloseStatus
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.record_check import whole

CHUNK: Final = 2000
"""Decisions of one read."""
Progress = Callable[[int, int], None]


def logged_decisions(ledger: Ledger, after: int, up_to: int, progress: Progress) -> Iterator[LoggedDecision]:
    """Yield the decisions at positions in (after, up_to] with their outcomes as they are now.

    `progress` hears of (positions done, all).
    """
    first = after
    while True:
        rows = ledger.connection.execute(
            "SELECT position, kind, visitor_key, body, checksum FROM record "
            "WHERE position > ? AND position <= ? AND kind = ? ORDER BY position LIMIT ?",
            (after, up_to, int(RecordKind.DECISION), CHUNK),
        ).fetchall()
        if not rows:
            progress(up_to - first, up_to - first)
            return
        found = _outcomes(ledger, after, rows[-1][0])
        for row in rows:
            position, _, visitor_key, _, _ = row
            outcome = found.get(position, _OPEN)
            yield LoggedDecision(position, visitor_key, decode_decision(whole(*row)), outcome)
        after = rows[-1][0]
        progress(after - first, up_to - first)


def history_of(ledger: Ledger) -> History:
    """Return what the rows of an export refer to."""
    catalogs: dict[int, CatalogRevision] = {}
    epochs: list[KnownEpoch] = []
    salts: list[KnownSalt] = []
    steering: list[tuple[int, Steering]] = []
    for record in ledger.rare_records(ledger.last_position()):
        match record.body():
            case StoredCatalog() as stored:
                catalog = Catalog.model_validate_json(stored.canonical)
                catalogs[stored.revision] = CatalogRevision(
                    stored.revision, stored.document, stored.apply_time_us, catalog
                )
            case Epoch() as epoch:
                known = KnownEpoch(
                    epoch.policy_epoch, epoch.placement_id, epoch.catalog_revision, epoch.description
                )
                epochs.append(known)
            case Salt() as salt:
                salts.append(KnownSalt(salt.salt_id, salt.purpose, salt.salt))
            case Learning() | Rollback() | Quarantine() | Promotion() | Thinning() | Retention() as body:
                steering.append((record.position, body))
    return History(catalogs, tuple(epochs), tuple(salts), merged_keys(ledger), tuple(steering))


def merged_keys(ledger: Ledger) -> dict[int, int]:
    """Return who every merged visitor is now: records written before a merge keep the key they had."""
    into: dict[int, int] = {}
    # "kind > 3" is what the index of rare records is made of.
    for row in ledger.connection.execute(
        "SELECT position, kind, visitor_key, body, checksum FROM record "
        "WHERE kind = ? AND kind > 3 ORDER BY position",
        (int(RecordKind.MERGE),),
    ):
        merge = decode_body(RecordKind.MERGE, whole(*row))
        if isinstance(merge, Merge):
            into[merge.from_key] = merge.into_key
    # Newest first: by then the one a visitor was merged into knows who they became themselves.
    for key in reversed(list(into)):
        into[key] = into.get(into[key], into[key])
    return into


def outcomes_at(ledger: Ledger, positions: Sequence[int]) -> list[Outcome]:
    """Return what came of the decisions at these positions, in their order."""
    if not positions:
        return []
    found = _outcomes(ledger, min(positions) - 1, max(positions))
    return [found.get(position, _OPEN) for position in positions]


def _outcomes(ledger: Ledger, after: int, up_to: int) -> dict[int, Outcome]:
    """Return what came of the decisions in (after, up_to] that closed or were heard of."""
    run = ledger.connection.execute
    heard: defaultdict[int, list[FatedFeedback]] = defaultdict(list)
    # Without CROSS JOIN the reading of records would come first.
    for decision_position, fate, *row in run(
        "SELECT f.decision_position, f.fate, r.position, r.kind, r.visitor_key, r.body, r.checksum "
        "FROM fate AS f CROSS JOIN record AS r USING (position) "
        "WHERE f.decision_position > ? AND f.decision_position <= ? ORDER BY position",
        (after, up_to),
    ):
        heard[decision_position].append(FatedFeedback(decode_feedback(whole(*row)), Fate(fate)))
    found = {position: Outcome(feedback=tuple(items)) for position, items in heard.items()}
    for position, status_number, close_time_us, reward, final, clipped, weight in run(
        "SELECT c.position, status, close_time_us, c.reward, COALESCE(f.reward, c.reward), clipped, weight "
        "FROM closed AS c LEFT JOIN final AS f ON f.position = c.position "
        "WHERE c.position > ? AND c.position <= ?",
        (after, up_to),
    ):
        status = CloseStatus(status_number)
        has_reward = status in COUNTED
        found[position] = Outcome(
            status=status.name,
            close_time_us=close_time_us,
            reward_learned=reward if has_reward else None,
            reward_final=final if has_reward else None,
            is_clipped=bool(clipped),
            weight=0.0 if status is CloseStatus.THINNED else weight,
            feedback=tuple(heard.get(position, ())),
        )
    return found


_OPEN: Final = Outcome()
