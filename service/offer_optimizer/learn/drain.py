"""Draining: segments into the ledger, in one order, with ledger time behind every record still under way.

The order of looking is what makes it right. First the wall clock and the writers' cells, then the ends of
inbox, journal and control: a record stamped before the TICK's time was either written by then, so it lies
before the ends, or its writer's cell held the TICK back. Drained are control, decisions, feedback: a decision
precedes its feedback because the inbox's end was read first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import structlog

from offer_optimizer.core.control import ClockAccepted, Control, Promotion, Rollback, ShadowPolicy, Thinning
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import DamagedFile, NotFound
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.learn.clock_watch import ClockWatch
from offer_optimizer.learn.fold import Fold
from offer_optimizer.learn.lineage import END
from offer_optimizer.policy.epoch import epoch_of
from offer_optimizer.store.codec import (
    Change,
    Epoch,
    EraseChange,
    MergeChange,
    RecordKind,
    Salt,
    StoredCatalog,
    Tick,
    decode_control,
    decode_feedback,
    decode_inbox_entry,
    decode_journal_entry,
    encode_body,
)
from offer_optimizer.store.decision_codec import decode_decision
from offer_optimizer.store.files import Files
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.salvage import SUFFIX, read_on
from offer_optimizer.store.segment_reader import SegmentFile, Verdict, list_segments, writer_is_dead
from offer_optimizer.store.sqlite import transaction
from offer_optimizer.store.writer_cells import oldest_unwritten, read_cells

log = structlog.get_logger(__name__)

TICK_MARGIN_US: Final = 1_000_000
READ_BYTES: Final = 1024 * 1024
"""Read from a segment into one transaction: some 2,000 decisions."""
_PASSED_OVER: Final = (Verdict.LOST_WRITE, Verdict.GIVEN_UP)


class RevisionFiles(Protocol):
    """Catalog revisions on disk."""

    def read_stored(self, revision: int) -> StoredCatalog:
        """Return a revision. Raises NotFound."""
        ...


class Feed(Protocol):
    """Who wants to hear what was drained, with the digests that the ledger doesn't keep."""

    def decided(self, decision: Decision, digest: bytes, record: bytes) -> None:
        """Hear of a decision and its serialised record."""
        ...

    def heard(self, feedback: Feedback, digest: bytes) -> None:
        """Hear of an item of feedback; the digest is empty where it names its decision."""
        ...

    def merged(self, change: MergeChange) -> None:
        """Hear of a merge."""
        ...


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """How far a segment went when it was looked at, and whether its writer was dead before that."""

    segment: SegmentFile
    end: int
    dead: bool


class Drainer:
    """Moves records from segments into the ledger and folds them there."""

    def __init__(
        self,
        files: Files,
        segments: Path,
        run: Path,
        ledger: Ledger,
        fold: Fold,
        revisions: RevisionFiles,
        clock: Callable[[], int],
        watch: ClockWatch,
    ) -> None:
        self._files = files
        self._segments = segments
        self._run = run
        self._ledger = ledger
        self._fold = fold
        self._revision_files = revisions
        self._clock = clock
        self._watch = watch
        self.feed: Feed | None = None
        self._offsets = ledger.segment_offsets()

    def begin(self, salts: tuple[Salt, ...]) -> None:
        """Bring salts and the epochs of this release into the ledger where they are missing.

        Call it once, before `drain`. Raises DamagedFile where a salt is not the ledger's.
        """
        self._forget_removed()
        known = {record.data for record in self._ledger.rare_records(self._fold.position)}
        self._check_salts(salts)
        with self._commit():
            for salt in salts:
                if encode_body(salt) not in known:
                    self._fold.apply(self._ledger.append_body(salt))
            if self._fold.revisions.newest:
                self._add_epochs(self._fold.revisions.newest)

    def _check_salts(self, salts: tuple[Salt, ...]) -> None:
        noted = {}
        for record in self._ledger.rare_records(self._fold.position):
            if record.kind is RecordKind.SALT and isinstance(body := record.body(), Salt):
                noted[body.salt_id] = body
        for salt in salts:
            if noted.get(salt.salt_id, salt) != salt:
                path = self._segments.parent / "salts"
                raise DamagedFile(
                    str(path), f"salt {salt.salt_id} is not the one in the ledger: restore it from a backup"
                )

    def drain(self) -> int:
        """Drain what is there, advance ledger time, and return how many records came.

        Raises DamagedFile at damage: what lies behind it waits, and so does ledger time, until somebody acts.
        """
        tick_us = self._tick_time()
        ends = {kind: self._look(kind) for kind in ("inbox", "journal", "control")}
        count = 0
        for kind in ("control", "journal", "inbox"):
            for end in ends[kind]:
                count += self._drain_segment(kind, end)
        if tick_us is not None and tick_us > self._fold.time_us and (count or self._fold.has_due(tick_us)):
            with self._commit():
                self._fold.apply(self._ledger.append_body(Tick(tick_us)))
        for kind_ends in ends.values():
            self._remove_finished(kind_ends)
        return count

    def note(self, body: Thinning | Tick | ShadowPolicy) -> None:
        """Put what the learner itself decided into the ledger."""
        with self._commit():
            self._fold.apply(self._ledger.append_body(body))

    def promote(self, promotion: Promotion) -> None:
        """Put a promotion that a gate asked for into the ledger, as one that people ask for."""
        with self._commit():
            self._steer(promotion)

    def bring(self, revision: int) -> None:
        """Take catalog revisions up to a number into the ledger from their files."""
        with self._commit():
            self._bring_revisions(revision)

    def _tick_time(self) -> int | None:
        now_us = self._clock()
        if not self._watch.is_trusted(now_us):
            return None
        oldest_us = oldest_unwritten(read_cells(self._files, self._run))
        return min(now_us - TICK_MARGIN_US, oldest_us if oldest_us is not None else now_us)

    def _look(self, kind: str) -> list[SegmentEnd]:
        found = []
        for segment in list_segments(self._files, self._segments, kind):
            dead = writer_is_dead(self._files, segment.path)
            found.append(SegmentEnd(segment, self._files.size(segment.path), dead))
        return found

    def _drain_segment(self, kind: str, end: SegmentEnd) -> int:
        name = str(end.segment.name)
        count = 0
        while (offset := self._offsets.get(name, 0)) < end.end:
            read = read_on(self._files, end.segment.path, offset, READ_BYTES, end.end)
            if read.verdict in _PASSED_OVER:
                log.error(
                    "segment_bytes_passed_over",
                    segment=end.segment.path,
                    start=offset,
                    end=read.next_offset,
                    why=read.verdict.value,
                )
            elif not read.frames:
                break
            with self._commit():
                for frame in read.frames:
                    self._take(kind, frame)
                self._ledger.set_segment_offset(name, read.next_offset)
            self._offsets[name] = read.next_offset
            count += len(read.frames)
        return count

    def _take(self, kind: str, frame: bytes) -> None:
        if kind == "journal":
            digest, data = decode_journal_entry(frame)
            decision = decode_decision(data)
            first = self._ledger.find_decision(decision.decision_id)
            if first is not None:
                self._compare_with_first(decision, data, first)
                return
            self._bring_revisions(decision.catalog_revision)
            record = self._ledger.append_decision(
                decision.decision_id, data, self._ledger.visitor_key(digest)
            )
            self._fold.apply(record)
            if self.feed is not None:
                self.feed.decided(decision, digest, data)
        elif kind == "inbox":
            digest, data = decode_inbox_entry(frame)
            # Somebody nothing was decided for gets no key: there is nothing to credit.
            key = self._ledger.known_visitor_key(digest)
            self._fold.apply(self._ledger.append(RecordKind.FEEDBACK, data, key))
            if self.feed is not None:
                self.feed.heard(decode_feedback(data), digest)
        else:
            self._take_control(decode_control(frame))

    def _compare_with_first(self, decision: Decision, data: bytes, first: int) -> None:
        """Say that a decision came with another text: the same one comes again with every repeat."""
        if not self._ledger.has(first):
            return  # retention moved it out, and its id goes later
        known = self._ledger.record_at(first)
        body = known.body() if known.data != data else None
        if isinstance(body, Decision) and not body.erased:
            log.error("decision_twice", decision_id=decision.decision_id.hex(), effect="the first one counts")

    def _take_control(self, change: Change) -> None:
        if isinstance(change, StoredCatalog):
            self._bring_revisions(change.revision - 1)
            self._add_catalog(change)
            return
        if isinstance(change, EraseChange):
            self._ledger.ask_erasure(change)
            return
        if not isinstance(change, MergeChange):
            self._steer(change)
            return
        merge = self._ledger.merge_visitors(change.from_digest, change.into_digest)
        if merge is not None:
            self._fold.apply(self._ledger.append_body(merge))
        if self.feed is not None:
            self.feed.merged(change)

    def _steer(self, change: Control) -> None:
        """Put what people asked for into the ledger, with the ledger time at which it takes effect."""
        match change:
            case ClockAccepted():
                self._watch.accept()
            case Rollback():
                change = replace(change, ledger_time_us=self._fold.time_us)
            case Promotion():
                change = replace(change, close_time_us=self._fold.time_us, close_position=END[1])
                if self._fold.revisions.epoch(change.policy_epoch) is None:
                    revision = self._fold.revisions.newest
                    epoch = Epoch(change.placement_id, revision, change.policy_epoch, change.description)
                    self._fold.apply(self._ledger.append_body(epoch))
        self._fold.apply(self._ledger.append_body(change))

    def _bring_revisions(self, up_to: int) -> None:
        """Take revisions from their files: a crash, or this moment, may lie before their control record."""
        for revision in range(self._fold.revisions.newest + 1, up_to + 1):
            try:
                self._add_catalog(self._revision_files.read_stored(revision))
            except NotFound:
                log.error("catalog_revision_missing", revision=revision)
                return

    def _add_catalog(self, stored: StoredCatalog) -> None:
        if self._fold.revisions.has(stored.revision):
            return
        self._fold.apply(self._ledger.append_body(stored))
        self._add_epochs(stored.revision)

    def _add_epochs(self, revision: int) -> None:
        for placement in self._fold.revisions.catalog(revision).placements:
            epoch = epoch_of(placement)
            if self._fold.revisions.epoch(epoch.id) is None:
                body = Epoch(placement.id, revision, epoch.id, epoch.description)
                self._fold.apply(self._ledger.append_body(body))
            for shadow in self._fold.shadows.missing(placement, self._fold.time_us):
                self._fold.apply(self._ledger.append_body(shadow))

    def _remove_finished(self, ends: list[SegmentEnd]) -> None:
        """Delete segments that nobody will append to and that are in the ledger whole."""
        finished = [end for end in ends if end.dead and self._is_drained(end)]
        if not finished:
            return
        for end in finished:
            self._files.remove(end.segment.path, "segment.remove")
            self._files.remove(end.segment.path + SUFFIX, "segment.remove")
        # A power cut may bring a removed file back: its offset is forgotten only once it can't.
        self._files.sync_dir(self._segments, "segment.remove.sync_dir")
        with self._commit():
            for end in finished:
                self._ledger.forget_segment(str(end.segment.name))
        for end in finished:
            self._offsets.pop(str(end.segment.name), None)

    def _forget_removed(self) -> None:
        """Forget segments that an earlier life removed without coming to say so."""
        names = self._offsets.keys() - set(self._files.list(self._segments))
        if not names:
            return
        self._files.sync_dir(self._segments, "segment.remove.sync_dir")
        with self._commit():
            for name in names:
                self._ledger.forget_segment(name)
        for name in names:
            del self._offsets[name]

    def _is_drained(self, end: SegmentEnd) -> bool:
        offset = self._offsets.get(str(end.segment.name), 0)
        read = read_on(self._files, end.segment.path, offset, READ_BYTES)
        if read.verdict in _PASSED_OVER:
            return False
        if read.verdict is Verdict.TORN_TAIL and not read.frames:
            log.warning("torn_tail_dropped", segment=end.segment.path)
        return not read.frames

    @contextmanager
    def _commit(self) -> Iterator[None]:
        """Commit rows and the fold's position together, or neither; after a failure make a new fold."""
        with transaction(self._ledger.connection):
            yield
            self._fold.save_state()
