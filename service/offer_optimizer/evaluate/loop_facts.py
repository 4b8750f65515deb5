"""Reads the facts of the loop from the ledger's database, snapshots and segments, beside their writers.

It changes nothing and asks no process: what a learner that is down would not tell is in its files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Final

from offer_optimizer.core.catalog import Catalog, OfferType, Placement
from offer_optimizer.core.control import Learning, Promotion, Quarantine, Rollback, Thinning
from offer_optimizer.core.errors import DamagedFile, NotFound, StorageUnavailable, UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.evaluate.health import LoopHealth, loop_health
from offer_optimizer.evaluate.health_facts import LoopFacts, PlacementFacts
from offer_optimizer.learn.lineage import END, START, SteeringRecords
from offer_optimizer.policy import registry
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.catalog_file import read_revision_file
from offer_optimizer.store.codec import (
    StoredCatalog,
    decode_feedback,
    decode_inbox_entry,
    decode_journal_entry,
)
from offer_optimizer.store.decision_codec import decode_decision
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import CloseStatus, FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.rollup_tables import DAY_HOURS, HOUR_US, HOURLY_DAYS, RollupTables
from offer_optimizer.store.salvage import read_on
from offer_optimizer.store.segment_format import KINDS
from offer_optimizer.store.segment_reader import SegmentFile, list_segments
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore, written_us
from offer_optimizer.store.writer_cells import Refused, read_cells

COUNTED_MOST: Final = 100_000
"""Examples that wait are counted up to here."""
REFUSED_US: Final = 60_000_000
"""What was refused longer ago and not tried since says nothing of now."""
_REFUSED: Final = {
    Refused.JOURNAL: "decisions are answered from the baseline, unrecorded",
    Refused.INBOX: "feedback is refused",
    Refused.SYNC: "a power cut may take decisions of more than the set time",
}


def read_health(
    ledger: Ledger, files: Files, directory: DataDirectory, now_us: int, placement_id: str = ""
) -> LoopHealth:
    """Return how the loop is. Raises UnknownPlacement, StorageUnavailable, sqlite3.Error."""
    facts = read_facts(ledger, files, directory, now_us)
    if placement_id and all(item.placement_id != placement_id for item in facts.placements):
        raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
    since = facts.hour - (HOURLY_DAYS + 1) * DAY_HOURS
    return loop_health(RollupTables(ledger.connection).read(since), facts, placement_id)


def read_facts(ledger: Ledger, files: Files, directory: DataDirectory, now_us: int) -> LoopFacts:
    """Return what is known of the loop beside the rollups."""
    catalog: Catalog | None = None
    frozen: dict[str, int | None] = {}
    learned: dict[str, float] = {}
    steering = SteeringRecords()
    for record in ledger.rare_records(ledger.last_position()):
        match record.body():
            case StoredCatalog() as stored:
                catalog = Catalog.model_validate_json(stored.canonical)
            case Learning() as change:
                if not change.placement_id:
                    frozen.clear()
                frozen[change.placement_id] = change.audit.time_us if change.frozen else None
            case Thinning() as thinning:
                learned[thinning.placement_id] = thinning.probability
            case Rollback() | Quarantine() | Promotion() as body:
                steering.add(record.position, body)
    reader = _Reader(ledger, SnapshotStore(files, directory.snapshots), catalog, steering)
    oldest_waiting_us, damage = _look_at_segments(ledger, files, directory)
    placements = catalog.placements if catalog else ()
    found = tuple(
        reader.facts(
            placement,
            now_us,
            frozen.get(placement.id, frozen.get("")),
            learned.get(placement.id, 1.0),
        )
        for placement in placements
    )
    return LoopFacts(
        now_us=now_us,
        ledger_time_us=FoldTables(ledger.connection).state("time_us"),
        oldest_waiting_us=oldest_waiting_us,
        oldest_due_us=_number(ledger, "SELECT MIN(close_time_us) FROM open_decision"),
        placements=found,
        damage=(*damage, *reader.damage, *_catalog_damage(files, directory)),
        refusals=tuple(_refusals(files, directory, now_us)),
        free_bytes=_free_bytes(directory),
    )


def facts_without_ledger(
    files: Files, directory: DataDirectory, now_us: int, damage: tuple[str, ...], refusals: tuple[str, ...]
) -> LoopFacts:
    """Return what is known while the ledger can't be read, beside why: nothing of placements."""
    return LoopFacts(
        now_us=now_us,
        ledger_time_us=0,
        oldest_waiting_us=None,
        oldest_due_us=None,
        placements=(),
        damage=(*damage, *_catalog_damage(files, directory)),
        refusals=(*_refusals(files, directory, now_us), *refusals),
        free_bytes=_free_bytes(directory),
    )


class _Reader:
    """Reads the facts of single placements."""

    def __init__(
        self, ledger: Ledger, snapshots: SnapshotStore, catalog: Catalog | None, steering: SteeringRecords
    ) -> None:
        self._ledger = ledger
        self._snapshots = snapshots
        self._steering = steering
        offers = catalog.offers if catalog else ()
        self.damage: list[str] = []
        self._nothing = frozenset(offer.id for offer in offers if offer.type is OfferType.NOTHING)

    def facts(
        self, placement: Placement, now_us: int, frozen_since_us: int | None, learn_probability: float
    ) -> PlacementFacts:
        """Return what is known of one placement."""
        learns = registry.learns(placement.policy.name)
        window_us = round(placement.window_s * 1e6)
        epoch = epoch_of(placement).id
        name, snapshot = self._current(placement.id, epoch) if learns else (None, None)
        waiting, oldest_us = self._unlearned(placement.id, epoch, snapshot) if learns else (0, None)
        since = (now_us - window_us) // HOUR_US - DAY_HOURS
        return PlacementFacts(
            placement_id=placement.id,
            policy=placement.policy.name,
            learns=learns,
            window_us=window_us,
            open_count=RollupTables(self._ledger.connection).open_count(placement.id, since),
            learned_count=snapshot.learned_count if snapshot else 0,
            published_us=None if name is None else written_us(name),
            unlearned_count=waiting,
            oldest_unlearned_us=oldest_us,
            frozen_since_us=frozen_since_us,
            learn_probability=learn_probability,
            nothing_offers=self._nothing,
            remarks=snapshot.remarks if snapshot else (),
        )

    def _current(self, placement_id: str, epoch: bytes) -> tuple[str | None, Snapshot | None]:
        name = self._snapshots.current_name(placement_id, epoch)
        try:
            return name, None if name is None else self._snapshots.load(placement_id, name)
        except DamagedFile as error:
            self.damage.append(str(error))
            return name, None
        except NotFound:
            return name, None  # the deciders' MODEL_UNAVAILABLE says what comes of it

    def _unlearned(
        self, placement_id: str, epoch: bytes, snapshot: Snapshot | None
    ) -> tuple[int, int | None]:
        """Return how many examples a published model has yet to learn, and when the first closed.

        What a rollback took out is not among them.
        """
        cursor = (snapshot.close_time_us, snapshot.close_position) if snapshot else START
        lineage = self._steering.lineage(
            placement_id,
            epoch,
            self._ledger.last_position(),
            snapshot.lineage_position if snapshot else 0,
        )
        count, oldest_us = 0, None
        for after, up_to in lineage.ranges(cursor, END):
            found = self._ledger.connection.execute(
                "SELECT COUNT(*), MIN(close_time_us) FROM (SELECT close_time_us FROM closed "
                "WHERE placement_id = ? AND policy_epoch = ? AND status = ? "
                "AND (close_time_us, position) > (?, ?) AND (close_time_us, position) <= (?, ?) "
                "ORDER BY close_time_us, position LIMIT ?)",
                (placement_id, epoch, int(CloseStatus.LEARNED), *after, *up_to, COUNTED_MOST - count),
            ).fetchone()
            count += int(found[0])
            oldest_us = found[1] if oldest_us is None else oldest_us
        return count, oldest_us


def _look_at_segments(ledger: Ledger, files: Files, directory: DataDirectory) -> tuple[int | None, list[str]]:
    """Return when the oldest record was made that waits for the ledger, and what is damaged."""
    offsets = ledger.segment_offsets()
    times, damage = [], []
    for kind in KINDS:
        try:
            segments = list_segments(files, directory.segments, kind)
        except NotFound:
            continue
        for segment in segments:
            try:
                time_us = _first_us(files, segment, offsets.get(str(segment.name), 0))
            except DamagedFile as error:
                damage.append(str(error))
                continue
            if time_us is not None:
                times.append(time_us)
    return min(times, default=None), damage


def _catalog_damage(files: Files, directory: DataDirectory) -> Iterator[str]:
    """Yield what is wrong with the revision in force: deciders that start read it."""
    try:
        name = files.list(directory.catalog)[-1]
        read_revision_file(files, directory.catalog / name)
    except DamagedFile as error:
        yield str(error)
    except StorageUnavailable as error:
        yield f"The catalog could not be read: {error}."
    except (NotFound, IndexError):
        return


def _refusals(files: Files, directory: DataDirectory, now_us: int) -> Iterator[str]:
    """Yield what the disk refused the living in the last minute and has not taken since."""
    try:
        readings = read_cells(files, directory.run)
    except NotFound:
        return
    except (DamagedFile, StorageUnavailable) as error:
        yield str(error)
        return
    for reading in readings:
        for what, time_us in reading.refused_us.items():
            if reading.alive and now_us - time_us < REFUSED_US:
                yield f"Process {reading.pid} could not write: {_REFUSED[what]}."


def _free_bytes(directory: DataDirectory) -> int | None:
    try:
        return shutil.disk_usage(directory.path).free
    except OSError:
        return None


def _first_us(files: Files, segment: SegmentFile, offset: int) -> int | None:
    """Return the time of the first record behind an offset, None where none is known. Raises DamagedFile."""
    try:
        read = read_on(files, segment.path, offset, 1)
    except NotFound:
        return None  # drained whole and removed meanwhile
    if not read.frames or segment.name.kind == "control":
        return None
    if segment.name.kind == "journal":
        return decode_decision(decode_journal_entry(read.frames[0])[1]).decide_time_us
    return decode_feedback(decode_inbox_entry(read.frames[0])[1]).receive_time_us


def _number(ledger: Ledger, query: str) -> int | None:
    (found,) = ledger.connection.execute(query).fetchone()
    return None if found is None else int(found)
