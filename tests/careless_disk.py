"""A disk in memory that forgets to sync and says that it did: what tests of syncs have to notice."""

from __future__ import annotations

from offer_optimizer.store.memory_files import MemoryDisk


class CarelessDisk(MemoryDisk):
    """Syncs no `content`, or no `names`; with `nothing` it forgets nothing."""

    def __init__(self, forgets: str) -> None:
        super().__init__()
        self._forgets = forgets

    def fdatasync(self, fd: int, /) -> None:
        """Make content last."""
        if self._forgets != "content":
            super().fdatasync(fd)

    def sync_dir(self, path: str) -> None:
        """Make names last."""
        if self._forgets != "names":
            super().sync_dir(path)
