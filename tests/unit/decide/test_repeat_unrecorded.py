"""A repeat is answered with a decision that is in the journal, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from offer_optimizer.core.decision import Reason
from offer_optimizer.decide.batch import Batch
from tests.unit.decide.rooms import Room, ask, revision_of

KINDS = pytest.mark.parametrize(
    ("catalog", "more"),
    [({"sticky_for_s": 600.0}, {}), ({}, {"request_id": "r1"})],
    ids=["sticky", "request_id"],
)


def is_recorded(room: Room, decision_id: bytes | None) -> bool:
    """Return whether a decision is in the journal."""
    return decision_id in {decision.decision_id for decision, _ in room.journal.kept}


@KINDS
def test_what_the_disk_refused_is_nobodys_first_decision(
    catalog: dict[str, Any], more: dict[str, Any]
) -> None:
    """It was counted before it was refused; feedback on it would be about a decision that nobody knows."""
    room = Room(revision_of(**catalog))
    room.journal.fails = True
    assert room.runtime.decide(ask("ann", **more)).reason is Reason.UNRECORDED
    room.journal.fails = False
    again = room.runtime.decide(ask("ann", **more))
    assert is_recorded(room, again.decision_id)
    assert room.runtime.decide(ask("ann", **more)).decision_id == again.decision_id
    assert len(room.journal.kept) == 1


@KINDS
def test_what_the_disk_refused_of_a_batch_is_nobodys_first_decision(
    catalog: dict[str, Any], more: dict[str, Any]
) -> None:
    room = Room(revision_of(**catalog))
    batch = Batch.begin(room.runtime, room.journal)
    batch.decide(ask("ann", **more))
    room.journal.fails = True
    assert batch.end()
    room.journal.fails = False
    again = room.runtime.decide(ask("ann", **more))
    assert is_recorded(room, again.decision_id)
