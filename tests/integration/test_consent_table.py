"""What docs/privacy.md says that each consent means is what the service does, line by line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from offer_optimizer.core.catalog import Budget, Cap
from offer_optimizer.core.decision import Consent, Decision, Reason
from offer_optimizer.core.features import Features
from offer_optimizer.core.feedback import Fate, Feedback
from offer_optimizer.decide.requests import Outcome
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.erasing import keys_of
from offer_optimizer.store.fold_tables import CloseStatus
from offer_optimizer.store.visitor_index import VisitorIndex
from tests.conftest import REPOSITORY
from tests.unit.decide.rooms import NOW_US, Room, ask, revision_of
from tests.unit.learn.worlds import World

CONSENTS = ("NONE", "SERVE_ONLY", "FULL")
SECRET = Features(categories=(("secret", "canary"),))
WINDOW_US = 60_000_000


@dataclass
class Seen:
    """What one consent led to: a decision, the same without a context, and what followed."""

    decision: Decision
    digest: bytes
    without_context: Decision
    second: Outcome
    counted: int
    spent: float
    held_out: bool
    by_decision: Fate
    by_visitor: Fate
    status: CloseStatus
    is_exported: bool


def see(consent: Consent, default: str) -> Seen:
    """Decide under a consent, and fold what was recorded."""
    parts: dict[str, Any] = {"baseline": ("msg",), "consent_default": default, "window_s": WINDOW_US / 1e6}
    caps = (Cap(id="any", limit=9, interruptions=True),)
    room = Room(
        revision_of(
            offers=revision_of().catalog.offers[:2], caps=caps, sticky_for_s=600.0, **parts,
            budgets=(Budget(id="uses", limit=99.0, offers=("msg", "save5")),),
        )
    )  # fmt: skip
    first = room.runtime.decide(ask("ann", consent, SECRET, request_id="r"))
    decision, digest = room.journal.kept[0]
    second = room.runtime.decide(ask("ann", consent, SECRET))
    with room.cache.view() as view:
        counted = len(view.event_times("any", b"digest of ann", NOW_US))
        spent = view.spent("uses", "", NOW_US)
    held = Room(revision_of(baseline=("msg",), consent_default=default, share=1.0))
    held.runtime.decide(ask("ann", consent, Features(), request_id="r"))
    world = World()
    world.apply(1, room.revision.catalog)
    position = world.decide(decision, digest.decode())
    now_us = decision.decide_time_us + 1
    item = Feedback("f", first.decision_id or b"", "", 0, "click", 1.0, now_us, None)
    by_decision = world.hear(item)
    by_visitor = world.hear(Feedback("g", b"", "home", 0, "click", 1.0, now_us, None), "digest of ann")
    world.tick(now_us + WINDOW_US)
    closed = world.tables.closed_at(position)
    assert closed is not None
    keys = keys_of(world.ledger, b"digest of ann")
    return Seen(
        decision, digest, held.last, second, counted, spent, held.last.holdout, by_decision, by_visitor,
        closed.status, position in VisitorIndex(world.connection).positions(keys),
    )  # fmt: skip


LINES: dict[str, Callable[[Seen], bool]] = {
    "the answer comes from the model": lambda it: it.decision.reason is Reason.MODEL,
    "the decision is recorded: offers, probabilities, time": lambda it: bool(it.decision.slots),
    "a key of the visitor is kept": lambda it: bool(it.digest),
    "the context is kept, or a digest of it": lambda it: (
        it.decision.context == SECRET or it.decision.body_digest != it.without_context.body_digest
    ),
    "caps count the decision for the visitor": lambda it: it.counted > 0,
    "budgets are charged": lambda it: it.spent > 0,
    "an earlier answer may be repeated (`sticky_for`)": lambda it: (
        it.second.decision_id == it.decision.decision_id
    ),
    "the visitor may be in the holdout": lambda it: it.held_out,
    "feedback by decision id is joined": lambda it: it.by_decision is Fate.APPLIED,
    "feedback by visitor id finds the decision": lambda it: it.by_visitor is Fate.APPLIED,
    "models learn from it": lambda it: it.status is CloseStatus.LEARNED,
    "estimates of policies use it": lambda it: it.decision.is_learnable(),
    "`export-visitor` finds it": lambda it: it.is_exported,
    "the visitor id is stored or printed": lambda it: b"ann" in encode_decision(it.decision),
}


def table() -> dict[str, tuple[str, ...]]:
    """Return the documented lines."""
    text = (REPOSITORY / "docs" / "privacy.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ") and line.endswith(("yes |", "no |"))]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: tuple(rest) for first, *rest in cells}


def test_every_line_is_tested() -> None:
    assert table().keys() == LINES.keys()


@pytest.mark.parametrize("column", range(3), ids=CONSENTS)
@pytest.mark.parametrize("is_default", [False, True], ids=["asked", "default"])
def test_a_consent_means_what_the_table_says(column: int, *, is_default: bool) -> None:
    name = CONSENTS[column]
    given = Consent.UNSPECIFIED if is_default else Consent[name]
    seen = see(given, name if is_default else "FULL")
    found = {line: ("no", "yes")[is_so(seen)] for line, is_so in LINES.items()}
    assert found == {line: cells[column] for line, cells in table().items()}
