"""Which examples a model is made of: closing order, less what rollbacks and quarantines took out.

Derived from the records that steer learning alone, so that the trainer, a restart, `rebuild --check` and a
shadow agree. A rollback starts a new branch: what steered the model between the version it goes back to and
the rollback is void, as if it had not been. A quarantine is never void. Pure: knows no table and no policy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.control import Learning, Promotion, Quarantine, Rollback

Cursor = tuple[int, int]
"""Close time in microseconds, and ledger position of the decision: the order in which models learn."""
START: Final[Cursor] = (0, 0)
END: Final[Cursor] = (2**62, 2**62)
Range = tuple[Cursor, Cursor]
"""Close cursors behind the first, up to and with the second."""


@dataclass(frozen=True, slots=True)
class Start:
    """History that a model begins with, as a promotion at a ledger position asked for it."""

    position: int
    promotion: Promotion

    @property
    def end(self) -> Cursor:
        """The close cursor up to which history is taken, inclusive."""
        return self.promotion.close_time_us, self.promotion.close_position


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a model learns, beside its own epoch's closed decisions in order.

    `start` says which history comes first; `gaps` are ranges that are left out, ascending and apart;
    `position` is the ledger position of the last quarantine or promotion that is taken account of, else 0.
    """

    start: Start | None = None
    gaps: tuple[Range, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    position: int = 0

    @property
    def history_end(self) -> Cursor:
        """Up to here the model learns the whole placement's history, and not only its own epoch's."""
        return self.start.end if self.start else START

    def ranges(self, after: Cursor, up_to: Cursor) -> Iterator[Range]:
        """Yield what of (after, up_to] is learned, in order."""
        for gap_after, gap_up_to in self.gaps:
            if gap_after >= up_to:
                break
            if after < gap_after:
                yield after, gap_after
            after = max(after, gap_up_to)
        if after < up_to:
            yield after, up_to

    def agrees(self, other: Lineage, cursor: Cursor) -> bool:
        """Return whether both learn the same up to a cursor, for certain.

        A decision closes after it was made, and after its feedback came: one that closed by the start of a
        quarantine is not touched by it.
        """
        if cursor == START:
            return True
        if self.start != other.start or _clipped(self.gaps, cursor) != _clipped(other.gaps, cursor):
            return False
        apart = set(self.quarantines) ^ set(other.quarantines)
        if self.start and self.start.promotion.uses_final and any(quarantine.source for quarantine in apart):
            return False  # late feedback comes after the close
        return all(cursor[0] <= quarantine.start_us for quarantine in apart)


WHOLE: Final = Lineage()
"""All of the epoch's own."""


class SteeringRecords:
    """What steers learning, as the ledger has it so far."""

    def __init__(self) -> None:
        self._by_epoch: dict[bytes, list[tuple[int, Rollback | Promotion]]] = defaultdict(list)
        self._quarantines: list[tuple[int, Quarantine]] = []
        self._promotions: dict[str, Promotion] = {}
        self._frozen: dict[str, bool] = {}
        self._all_frozen = False
        self.count = 0
        """Grows with each record: what was derived before is to be derived again."""

    def add(self, position: int, body: Learning | Rollback | Quarantine | Promotion) -> None:
        """Note the next record."""
        self.count += 1
        match body:
            case Learning(placement_id="", frozen=frozen):
                self._all_frozen, self._frozen = frozen, {}
            case Learning(placement_id=placement_id, frozen=frozen):
                self._frozen[placement_id] = frozen
            case Rollback():
                self._by_epoch[body.policy_epoch].append((position, body))
            case Promotion():
                self._by_epoch[body.policy_epoch].append((position, body))
                self._promotions[body.placement_id] = body
            case Quarantine():
                self._quarantines.append((position, body))

    def is_frozen(self, placement_id: str) -> bool:
        """Return whether what closes now is never learned."""
        return self._frozen.get(placement_id, self._all_frozen)

    def newest_promotion(self, placement_id: str) -> Promotion | None:
        """Return the last promotion of a placement."""
        return self._promotions.get(placement_id)

    def lineage(
        self, placement_id: str, policy_epoch: bytes, ledger_position: int, trained_to: int | None = None
    ) -> Lineage:
        """Return the lineage of an epoch's model as of a ledger position.

        Rollbacks act at once: all of them up to there count. Quarantines and promotions need training anew:
        only those up to `trained_to` count, without it all.
        """
        trained_to = ledger_position if trained_to is None else min(trained_to, ledger_position)
        start, gaps, newest = None, list[Range](), 0
        for position, body in self._branch(policy_epoch, ledger_position):
            if isinstance(body, Rollback):
                gaps.append(((body.close_time_us, body.close_position), (body.ledger_time_us, END[1])))
            elif position <= trained_to:
                start, gaps, newest = Start(position, body), [], position
        left_out = [
            (position, body)
            for position, body in self._quarantines
            if position <= trained_to and body.placement_id in ("", placement_id)
        ]
        newest = max([newest, *(position for position, _ in left_out)])
        return Lineage(start, _merged(gaps), tuple(body for _, body in left_out), newest)

    def _branch(self, policy_epoch: bytes, ledger_position: int) -> list[tuple[int, Rollback | Promotion]]:
        """Return the records that made a model, oldest first: none that a rollback went behind."""
        found = []
        for position, body in reversed(self._by_epoch.get(policy_epoch, [])):
            if position > ledger_position:
                continue
            found.append((position, body))
            if isinstance(body, Rollback):
                ledger_position = body.model_position
        return found[::-1]


def _merged(gaps: list[Range]) -> tuple[Range, ...]:
    """Return gaps ascending and apart; empty ones are left out."""
    merged: list[Range] = []
    for after, up_to in sorted(gap for gap in gaps if gap[0] < gap[1]):
        if merged and after <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], up_to))
        else:
            merged.append((after, up_to))
    return tuple(merged)


def _clipped(gaps: tuple[Range, ...], cursor: Cursor) -> tuple[Range, ...]:
    return tuple((after, min(up_to, cursor)) for after, up_to in gaps if after < cursor)
