"""Group commit: many threads share one sync, and none returns before its records survive a power cut.

What always holds: `append_durable` returns only after a sync that started when all its records had been
appended. The thread that finds no sync running leads: it syncs for everyone who had appended by then,
while the next group gathers. When a sync fails, everyone whose records were in the segment fails with it
(the writer has abandoned it), and the next call begins afresh. It may not know what a record means.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from offer_optimizer.core.errors import StorageUnavailable
from offer_optimizer.store.segment_writer import SegmentWriter


class _Group:
    """Those who wait for one sync."""

    __slots__ = ("failure", "is_settled")

    def __init__(self) -> None:
        self.is_settled = False
        self.failure: StorageUnavailable | None = None


class GroupSync:
    """Appends durably through a SegmentWriter that nobody else syncs."""

    def __init__(self, writer: SegmentWriter, *, patience_s: float | None = 5.0) -> None:
        """Let those who wait for another's sync give up after `patience_s` seconds; None: never."""
        self._writer = writer
        self._patience_s = patience_s
        self._changed = threading.Condition(threading.Lock())
        self._gathering = _Group()
        self._has_leader = False

    def append_durable(self, payloads: Sequence[bytes]) -> None:
        """Append records and return once they survive a power cut; no payloads, no work.

        Raises InvalidInput for a payload of no or too many bytes, StorageUnavailable when the disk did
        not take them or did not answer in time: then none is promised, and some may be there nevertheless.
        """
        if not payloads:
            return
        with self._changed:
            self._writer.append_all(payloads)
            group = self._gathering
            if not self._changed.wait_for(lambda: group.is_settled or not self._has_leader, self._patience_s):
                raise StorageUnavailable("inbox: the disk has not answered in time")
            leads = not group.is_settled
            if leads:
                self._has_leader = True
                self._gathering = _Group()
        if leads:
            self._lead(group)
        if group.failure is not None:
            raise StorageUnavailable(str(group.failure)) from group.failure

    def _lead(self, group: _Group) -> None:
        """Sync for `group`, and let go of the lead whatever happens."""
        failure: StorageUnavailable | None = StorageUnavailable("inbox: the sync was interrupted")
        try:
            self._writer.sync()
            failure = None
        except StorageUnavailable as error:
            failure = error
        finally:
            with self._changed:
                self._has_leader = False
                self._settle(group, failure)
                if failure is not None:
                    # They appended to the segment that is now abandoned: no later sync covers them.
                    self._settle(self._gathering, failure)
                    self._gathering = _Group()
                self._changed.notify_all()

    @staticmethod
    def _settle(group: _Group, failure: StorageUnavailable | None) -> None:
        group.failure = failure
        group.is_settled = True
