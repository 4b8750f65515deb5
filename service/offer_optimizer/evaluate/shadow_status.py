"""How the shadow policies of a data directory do: from the ledger's records and the learner's files.

Reads beside the learner: a file may be some seconds old, and is as of one close cursor always. Estimates are
made here, from exact sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offer_optimizer.core.catalog import Catalog, Placement, ShadowChoice, ShadowGate
from offer_optimizer.core.control import ShadowPolicy
from offer_optimizer.core.errors import DamagedFile, UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.evaluate.shadow_judge import ShadowJudge, ShadowVerdict
from offer_optimizer.learn.shadow_records import Begun, ShadowRecords
from offer_optimizer.store.codec import StoredCatalog
from offer_optimizer.store.files import Files
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.shadow_file import ShadowState, ShadowStore


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """One shadow. Before the learner has taken it up epochs are empty and `begin_us` is None.

    `lag_us` is how far its last lesson lay behind ledger time when it was saved, `cost_us` processor time a
    lesson.
    """

    placement_id: str
    name: str
    policy: str
    policy_epoch: str
    incumbent_epoch: str
    begin_us: int | None
    share: float
    learned_count: int
    judged_count: int
    lag_us: int
    cost_us: float
    verdict: ShadowVerdict
    gate: ShadowGate | None

    def to_dict(self) -> dict[str, Any]:
        """Return its fields as plain values, estimates by name."""
        estimates = ("incumbent", "ips", "snips", "dr", "gain", "gain_ips")
        own = {name: getattr(self, name) for name in self.__slots__ if name not in ("verdict", "gate")}
        return {
            **own,
            **{name: getattr(self.verdict, name).to_dict() for name in estimates},
            "gate": None if self.gate is None else self.gate.model_dump(),
        }


def read_shadows(
    ledger: Ledger, files: Files, directory: DataDirectory, placement_id: str
) -> list[ShadowStatus]:
    """Return the shadows of a placement, or of all for an empty id, in the order of the catalog.

    Raises UnknownPlacement.
    """
    records, catalog = ShadowRecords(), Catalog(offers=(), placements=())
    for record in ledger.rare_records(ledger.last_position()):
        match record.body():
            case StoredCatalog() as stored:
                catalog = Catalog.model_validate_json(stored.canonical)
                records.apply(catalog)
            case ShadowPolicy() as shadow:
                records.add(record.position, shadow)
    if placement_id and placement_id not in catalog.placement_by_id:
        raise UnknownPlacement("placement", f"{show(placement_id)} is not in the catalog")
    store = ShadowStore(files, directory.shadows)
    return [
        _report(placement, shadow, records.in_force.get((placement.id, shadow.name)), store)
        for placement in catalog.placements
        if placement_id in ("", placement.id)
        for shadow in placement.shadows
    ]


def _report(
    placement: Placement, shadow: ShadowChoice, begun: Begun | None, store: ShadowStore
) -> ShadowStatus:
    state = _state(store, begun)
    judge = ShadowJudge(state.sums if state else b"")
    met = state.learned_count if state else 0
    return ShadowStatus(
        placement_id=placement.id,
        name=shadow.name,
        policy=shadow.policy.name,
        policy_epoch=begun.record.policy_epoch.hex() if begun else "",
        incumbent_epoch=begun.record.incumbent_epoch.hex() if begun else "",
        begin_us=begun.record.time_us if begun else None,
        share=begun.share if begun else shadow.share,
        learned_count=met,
        judged_count=state.judged_count if state else 0,
        lag_us=max(state.ledger_time_us - state.close_time_us, 0) if state and met else 0,
        cost_us=state.busy_us / met if state and met else 0.0,
        verdict=judge.verdict(len(placement.shadows)),
        gate=shadow.gate,
    )


def _state(store: ShadowStore, begun: Begun | None) -> ShadowState | None:
    """Return what the learner saved of a shadow; None where that is of an earlier one, or damaged."""
    if begun is None:
        return None
    try:
        state = store.read(begun.record.placement_id, begun.record.name)
    except DamagedFile:
        return None
    return state if state is not None and state.begun_position == begun.position else None
