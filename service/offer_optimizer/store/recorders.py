"""Where one process records: its journal, its inbox and its control segment, stamped through its cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.store.codec import encode_feedback, encode_inbox_entry, encode_journal_entry
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.files import AppendFailed
from offer_optimizer.store.group_sync import GroupSync
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.writer_cells import Refused, WriterCells


class _Stamp:
    """A record under way."""

    __slots__ = ("_cells", "_clock")

    def __init__(self, cells: WriterCells, clock: Callable[[], int]) -> None:
        self._cells = cells
        self._clock = clock

    def __enter__(self) -> int:
        return self._cells.begin(self._clock)

    def __exit__(self, *_error: object) -> None:
        self._cells.end()


class _Stamping:
    """Stamps records through the cells of this process."""

    def __init__(self, cells: WriterCells, clock: Callable[[], int]) -> None:
        self._cells = cells
        self._clock = clock
        self._is_refused = False

    def stamp(self) -> _Stamp:
        """Return a context whose value is the time (microseconds) of what is appended inside."""
        return _Stamp(self._cells, self._clock)

    def _note(self, what: Refused, *, is_refused: bool) -> None:
        """Show others that the disk refuses, or that it takes again."""
        self._is_refused = is_refused
        self._cells.note_refused(what, self._clock() if is_refused else 0)


class Journal(_Stamping):
    """Records decisions: one write each or for many at once, synced by a thread in the background."""

    def __init__(self, writer: SegmentWriter, cells: WriterCells, clock: Callable[[], int]) -> None:
        super().__init__(cells, clock)
        self._writer = writer

    def append(self, decision: Decision, visitor_digest: bytes) -> None:
        """Write a decision. Raises StorageUnavailable."""
        entry = encode_journal_entry(visitor_digest, encode_decision(decision))
        # In every decision: a `try` costs nothing where a context costs a microsecond.
        try:
            self._writer.append(entry)
        except StorageUnavailable:
            self._note(Refused.JOURNAL, is_refused=True)
            raise
        if self._is_refused:
            self._note(Refused.JOURNAL, is_refused=False)

    def append_again(self, decision: Decision, visitor_digest: bytes) -> None:
        """Write a decision that may be written already. Raises StorageUnavailable."""
        self.append(decision, visitor_digest)

    def append_all(self, entries: Sequence[tuple[Decision, bytes]]) -> int:
        """Write (decision, visitor digest) pairs at once; return how many, from the first, are there."""
        payloads = [encode_journal_entry(digest, encode_decision(decision)) for decision, digest in entries]
        try:
            self._writer.append_all(payloads)
        except StorageUnavailable as failure:
            self._note(Refused.JOURNAL, is_refused=True)
            return failure.kept_count if isinstance(failure, AppendFailed) else 0
        if self._is_refused:
            self._note(Refused.JOURNAL, is_refused=False)
        return len(payloads)


class Inbox(_Stamping):
    """Records feedback: durable before it returns."""

    def __init__(self, sync: GroupSync, cells: WriterCells, clock: Callable[[], int]) -> None:
        super().__init__(cells, clock)
        self._sync = sync

    def append_durable(self, items: Sequence[tuple[bytes, Feedback]]) -> None:
        """Write (visitor digest, feedback) pairs and sync. Raises StorageUnavailable."""
        entries = [encode_inbox_entry(digest, encode_feedback(item)) for digest, item in items]
        try:
            self._sync.append_durable(entries)
        except StorageUnavailable:
            self._note(Refused.INBOX, is_refused=True)
            raise
        if self._is_refused:
            self._note(Refused.INBOX, is_refused=False)


class ControlSegment:
    """Records changes of the catalog: durable before it returns."""

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer

    def append_durable(self, payload: bytes) -> None:
        """Append one record and sync. Raises StorageUnavailable."""
        self._writer.append(payload)
        self._writer.sync()
