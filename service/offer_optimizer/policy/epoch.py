"""Policy epochs: the hash of everything that one model may mix.

Policy and resolved options, featurizer, reward, library versions. Deciders and the learner derive it from
the catalog alone, so both know which model a placement runs without asking each other.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from offer_optimizer.core.catalog import Placement
from offer_optimizer.policy import registry

_JOINING: Final = ("trust_occur_time", "grace_s", "close_on")


@dataclass(frozen=True, slots=True)
class PolicyEpoch:
    """An epoch: its id (16 bytes), and what was hashed as canonical JSON."""

    id: bytes
    description: str


def epoch_of(placement: Placement) -> PolicyEpoch:
    """Return the epoch of a placement. Raises InvalidInput when the policy or its options are unknown."""
    name = placement.policy.name
    content: dict[str, object] = {
        "placement": placement.id,
        "policy": name,
        "options": registry.describe(name, placement.policy.options),
        "featurizer": registry.FEATURIZER_VERSION,
        "libraries": registry.library_versions(name),
        "reward": placement.reward.model_dump(),
    }
    if not registry.learns(name):
        # A policy that does not learn is nothing but its options and its baseline.
        content["baseline"] = list(placement.baseline)
    joining = {name: getattr(placement, name) for name in _JOINING}
    if any(joining.values()):
        # Which feedback makes the reward. Left out where all is standard: so epochs keep the id they had.
        content["joining"] = joining
    description = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return PolicyEpoch(hashlib.blake2b(description.encode(), digest_size=16).digest(), description)


def parse_description(description: str) -> tuple[str, dict[str, object], tuple[str, ...]]:
    """Return policy name, options and baseline out of an epoch's description."""
    content = json.loads(description)
    return content["policy"], content["options"], tuple(content.get("baseline", ()))


def is_of_this_release(description: str) -> bool:
    """Return whether an epoch was hashed with the featurizer and the library versions of this release."""
    content = json.loads(description)
    known = content["policy"] in registry.ENTRIES
    return known and (content["featurizer"], content["libraries"]) == (
        registry.FEATURIZER_VERSION,
        registry.library_versions(content["policy"]),
    )
