"""Which of the ledger's visitor keys were one visitor to whoever counted, and since when that is certain.

A MERGE stands in the ledger before the decisions that were drained with it, though some of them were made
before it, for the one visitor or for the other; all of those have the key of who stays. When a merge was made
is not written down, but it was in force before the next TICK's time was over, LAG later at most. So a
decision that was made behind that counted what all the keys have, and of one made before nothing is certain.
The same goes for erasures: what was recorded around one may have another key than what it counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LAG_US: Final = 10_000_000
"""How long a merge may be in force later than the time of the TICK behind it: a second, and to be sure."""
_NOT_YET_US: Final = 2**62


@dataclass
class Clusters:
    """Keys by the visitor they have become. Hears MERGE, TICK and ERASURE in the ledger's order."""

    _into: dict[int, int] = field(default_factory=dict)
    _merged_us: dict[int, int] = field(default_factory=dict)
    _erased_us: int = -(2**62)
    _awaiting: set[int] = field(default_factory=set)

    def of(self, key: int) -> int:
        """Return the key that stands for all of a visitor's."""
        while (into := self._into.get(key)) is not None:
            key = into
        return key

    def merge(self, from_key: int, into_key: int) -> tuple[int, int]:
        """Let one visitor be another; return which key goes and which stays, equal where they were one."""
        gone, stays = self.of(from_key), self.of(into_key)
        if gone != stays:
            self._into[gone] = stays
            self._merged_us.pop(gone, None)
            self._awaiting.discard(gone)
        self._merged_us[stays] = _NOT_YET_US
        self._awaiting.add(stays)
        return gone, stays

    def erase(self) -> None:
        """Hear that somebody was erased; whom, nobody can tell."""
        self._erased_us = _NOT_YET_US

    def tick(self, time_us: int) -> None:
        """Hear of ledger time: what was merged or erased before is in force LAG behind it."""
        for key in self._awaiting:
            self._merged_us[key] = time_us + LAG_US
        self._awaiting.clear()
        if self._erased_us == _NOT_YET_US:
            self._erased_us = time_us + LAG_US

    def is_settled(self, key: int, time_us: int) -> bool:
        """Return whether a decision made at a time certainly counted what every key of its visitor has."""
        merged_us = self._merged_us.get(key)
        return merged_us is None or time_us > merged_us

    def is_erasing(self, time_us: int) -> bool:
        """Return whether a decision made at a time may have counted what has another key by now."""
        return time_us <= self._erased_us
