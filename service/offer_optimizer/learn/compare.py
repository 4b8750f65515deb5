"""What a rebuild notes, against what live learning noted: fates, closed decisions, finals, rollups.

Streams both sides in ledger order, so memory does not grow with the ledger; the live side may run on
meanwhile. What a base snapshot stands for was compared when it was made. Live learning knew the decisions
that it moved until its Retention record: what late feedback on them met in between is not derived again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from offer_optimizer.store.fold_tables import FoldTables, Settled
from offer_optimizer.store.rollup_tables import Measure, RollupTables

Row = tuple[object, ...]
_POSITION: Final[dict[Settled, int]] = {"fate": 0, "closed": 3}
_DECISION: Final = 2
"""Where a fate has the position of its decision."""


class Comparison:
    """Two sets of fold tables as of one position and ledger time; `base_position` is 0 without a base."""

    def __init__(
        self, ours: FoldTables, theirs: FoldTables, position: int, time_us: int, base_position: int
    ) -> None:
        self._ours = ours
        self._theirs = theirs
        self._position = position
        self._time_us = time_us
        self._base_position = base_position

    def differing(self, most: int) -> list[str]:
        """Return the first rows that differ, as text."""
        return list(islice(self._all(), most))

    def _all(self) -> Iterator[str]:
        yield from self._settled("fate", self._position)
        yield from self._settled("closed", self._time_us)
        yield from self._finals()
        yield from self._rollups()

    def _settled(self, table: Settled, bound: int) -> Iterator[str]:
        at = _POSITION[table]
        pairs = _side_by_side(self._ours.settled(table, bound), self._theirs.settled(table, bound), at)
        for mine, other in pairs:
            if mine == other or self._is_moved(table, mine, other):
                continue
            if mine is not None:
                yield f"{table} {mine}: only rebuilt"
            if other is not None:
                yield f"{table} {other}: only live"

    def _is_moved(self, table: Settled, mine: Row | None, other: Row | None) -> bool:
        """Return whether a row is of what a base stands for: dropped by now or soon, or heard of late."""
        row = mine or other or ()
        if _number(row[_POSITION[table]]) <= self._base_position:
            return mine is None
        return table == "fate" and self._is_gone(_number(row[_DECISION]))

    def _is_gone(self, position: int) -> bool:
        """Return whether a decision was moved, as the rebuilt side has it."""
        if not 0 < position <= self._base_position:
            return False
        return self._ours.closed_at(position) is None and self._ours.open_at(position) is None

    def _finals(self) -> Iterator[str]:
        """Yield final rewards that differ; what moved again since can't be compared."""
        ours, theirs = self._ours.finals(), self._theirs.finals()
        known = {at for at, (_, changed) in theirs.items() if changed <= self._position}
        for at in sorted((ours.keys() - theirs.keys()) | known):
            if ours.get(at) != theirs.get(at) and not self._is_gone(at):
                yield f"final {at}: {ours.get(at)} rebuilt, {theirs.get(at)} live"

    def _rollups(self) -> Iterator[str]:
        """Yield rollups that differ. They go on changing: compared where both stand at the same record."""
        if self._theirs.state("position") != self._position:
            return
        sides = (("only rebuilt", self._ours, self._theirs), ("only live", self._theirs, self._ours))
        for side, one, other in sides:
            for row in sorted(RollupTables(one.connection).rows() - RollupTables(other.connection).rows()):
                # Where late feedback on moved decisions belonged is not derived again.
                if not (self._base_position and row[2] == Measure.FEEDBACK):
                    yield f"rollup {row}: {side}"


Pair = tuple[Row | None, Row | None]


def _side_by_side(ours: Iterator[Row], theirs: Iterator[Row], at: int) -> Iterator[Pair]:
    """Yield the rows of both, which ascend by one column, side by side."""
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and _number(mine[at]) < _number(other[at])):
            yield mine, None
            mine = next(ours, None)
        elif mine is None or _number(other[at]) < _number(mine[at]):
            yield None, other
            other = next(theirs, None)
        else:
            yield mine, other
            mine, other = next(ours, None), next(theirs, None)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
