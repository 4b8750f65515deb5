"""The keys file of a running decider: read again when it changes.

A defective one leaves the old keys in force.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from offer_optimizer.core.access import Key, KeyRing, parse_keys
from offer_optimizer.core.errors import CannotStart


def read_keys(path: Path) -> tuple[Key, ...]:
    """Read a keys file. Raises CannotStart naming the file and the defect."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"{path}: can't be read: {error}") from None
    return parse_keys(text, str(path))


class KeysFile:
    """The keys in force. `refresh` is called now and then; `ring` answers at once."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        """Read the file. Raises CannotStart."""
        self._path = path
        self._complain = complain
        self._stamp = self._changed()
        self._ring = KeyRing(read_keys(path))

    def ring(self) -> KeyRing:
        """Return the keys in force."""
        return self._ring

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        stamp = self._changed()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._ring = KeyRing(read_keys(self._path))
        except CannotStart as error:
            self._complain(str(error))

    def _changed(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
