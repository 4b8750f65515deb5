"""Who races: every registered policy that learns, with its defaults, and peers behind the same contract.

A peer's own exploration is what it is served with; our policies are served as placements serve them, with
the default floor. What an entrant is made of is told by the modules that it names, so that its passes are
raced again when one of them changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from benchmarks.bakeoff import peer_vw
from benchmarks.bakeoff.peer_columns import PeerColumns
from benchmarks.bakeoff.race import FLOOR
from benchmarks.bakeoff.rounds import Rounds
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Policy

Create = Callable[[Rounds, int], Policy]
"""Makes a new policy for a problem and a seed. Ours heed neither."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """One competitor. `modules` are where its code begins; `setting` is what else it hangs on."""

    name: str
    create: Create
    modules: tuple[str, ...]
    setting: str
    floor: float = FLOOR
    is_peer: bool = False


def registered(name: str, options: Mapping[str, Any]) -> Entrant:
    """Return a policy of the registry; what isn't given has its default. Raises InvalidInput."""
    return Entrant(
        f"{name} {json.dumps(options)}" if options else name,
        lambda _rounds, _seed: registry.create(name, options, ()),
        (f"offer_optimizer.policy.{name}",),
        repr((registry.describe(name, options), registry.library_versions(name))),
    )


def _mabwiser(learner: str) -> Entrant:
    def create(rounds: Rounds, seed: int) -> Policy:
        # Imported late: it takes long, and not everybody has it.
        from benchmarks.bakeoff.peer_mabwiser import MabwiserPolicy  # noqa: PLC0415

        return MabwiserPolicy(learner, PeerColumns(rounds.contexts), rounds.batch, seed)

    return Entrant(
        f"MABWiser {learner}",
        create,
        ("benchmarks.bakeoff.peer_mabwiser",),
        f"mabwiser {version('mabwiser')}",
        floor=0.0,
        is_peer=True,
    )


def _vw(name: str, arguments: tuple[str, ...]) -> Entrant:
    return Entrant(
        name,
        lambda _rounds, seed: peer_vw.PlainVw(arguments, seed),
        ("benchmarks.bakeoff.peer_vw",),
        f"vowpalwabbit {version('vowpalwabbit')} {' '.join(arguments)}",
        floor=0.0,
        is_peer=True,
    )


@lru_cache(maxsize=1)
def entrants() -> Mapping[str, Entrant]:
    """Return everybody by name, in the order of the table."""
    learning = [registered(name, {}) for name in registry.ENTRIES if registry.learns(name)]
    peers = [
        _mabwiser("LinUCB"),
        _mabwiser("LinGreedy"),
        _vw("VW squarecb", peer_vw.SQUARECB),
        _vw("VW plain", peer_vw.PLAIN),
        _vw("Azure Personalizer", peer_vw.AZURE),
        registered("uniform", {}),
    ]
    return {entrant.name: entrant for entrant in (*learning, *peers)}


def entrant(name: str) -> Entrant:
    """Return one by its name, or a registered policy with options: `vw {"gamma_scale": 1000}`.

    Raises SystemExit that names who is known.
    """
    if name in entrants():
        return entrants()[name]
    policy, _, options = name.partition(" ")
    try:
        return registered(policy, json.loads(options or "{}"))
    except (ValueError, InvalidInput) as error:
        raise SystemExit(f"{name}: {error}; known: {', '.join(entrants())}") from error
