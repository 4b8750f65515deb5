"""What learning needs of decisions, read many at a time: a full record costs several times as much to parse.

With decision_codec, the only modules that know the layout of DecisionRecord.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from offer_optimizer.core.decision import InlineCandidate
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.codec import RecordKind
from offer_optimizer.store.decision_codec import load_features
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.record_check import whole


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn: `eligible` are indices into the offers of the catalog revision, as in Decision.

    `chosen` is a position among them, -1 where nothing was drawn; then `propensity` is 0.
    """

    catalog_revision: int
    placement_id: str
    context: Features
    eligible: tuple[int, ...]
    inline: tuple[InlineCandidate, ...]
    chosen: int
    propensity: float
    erased: bool = False


def read_drawn(ledger: Ledger, positions: Iterable[int]) -> Iterator[tuple[int, Drawn]]:
    """Yield (position, what was drawn) of the decisions at some positions, in any order."""
    # CROSS JOIN keeps the order of the tables: positions drive, records are looked up.
    rows = ledger.connection.execute(
        "SELECT position, kind, visitor_key, body, checksum FROM json_each(?) AS wanted "
        "CROSS JOIN record ON position = wanted.value WHERE kind = ?",
        (json.dumps(list(positions)), int(RecordKind.DECISION)),
    )
    for row in rows:
        yield row[0], decode_drawn(whole(*row))


def decode_drawn(data: bytes) -> Drawn:
    """Parse of a serialised decision what was drawn."""
    record = pb.DecisionRecord.FromString(data)
    candidates = tuple(record.candidates)
    if record.excluded:
        dropped = set(record.excluded)
        candidates = tuple(offer for number, offer in enumerate(candidates) if number not in dropped)
    slot = record.slots[0] if record.slots else None
    return Drawn(
        record.catalog_revision,
        record.placement_id,
        load_features(record.context) if record.HasField("context") else EMPTY,
        candidates,
        tuple(
            InlineCandidate(inline.offer_id, load_features(inline.attributes))
            for inline in record.inline_candidates
        ),
        -1 if slot is None else slot.chosen,
        0.0 if slot is None else slot.propensity,
        record.erased,
    )
