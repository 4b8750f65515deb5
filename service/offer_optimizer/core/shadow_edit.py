"""A placement's policy and one of its shadows change places in a catalog document.

The policy that served goes on as a shadow without a gate, so that it is compared with its successor and can
come back. Only the lines of `policy` and `shadows` of that placement are written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from typing import Any

from offer_optimizer.core.catalog import Placement, PolicyChoice, ShadowChoice
from offer_optimizer.core.errors import InvalidInput, NotFound
from offer_optimizer.core.features import show
from offer_optimizer.core.yaml_tree import Entries, Items, Scalar, read_tree

PREVIOUS = "previous"
"""What the policy that served is called as a shadow."""


def shadow_named(placement: Placement, name: str) -> ShadowChoice:
    """Return a shadow of a placement. Raises NotFound."""
    for shadow in placement.shadows:
        if shadow.name == name:
            return shadow
    known = ", ".join(shadow.name for shadow in placement.shadows) or "none"
    raise NotFound(f"shadow {show(name)} is not one of placement {placement.id}; it has: {known}")


def promote_in_document(document: str, placement: Placement, name: str) -> str:
    """Return the document with a shadow as the placement's policy, and the policy as a shadow.

    Raises NotFound for a shadow that the placement has not, InvalidInput for a placement that is written in
    brackets: people change that one by hand.
    """
    promoted = shadow_named(placement, name)
    rest = [shadow for shadow in placement.shadows if shadow.name != name]
    free = next(one for one in _names() if one not in {shadow.name for shadow in rest})
    shadows = [*rest, ShadowChoice(name=free, policy=placement.policy)]
    document = _set_entry(document, placement.id, "policy", _policy(promoted.policy))
    return _set_entry(document, placement.id, "shadows", [_shadow(shadow) for shadow in shadows])


def _names() -> Iterator[str]:
    yield PREVIOUS
    for number in count(2):
        yield f"{PREVIOUS}-{number}"


def _policy(policy: PolicyChoice) -> object:
    return {"name": policy.name, "options": policy.options} if policy.options else policy.name


def _shadow(shadow: ShadowChoice) -> dict[str, Any]:
    found: dict[str, Any] = {"name": shadow.name, "policy": _policy(shadow.policy)}
    if shadow.share != 1.0:
        found["share"] = shadow.share
    if shadow.gate is not None:
        found["gate"] = {"margin": shadow.gate.margin, "visitors": shadow.gate.visitors}
    return found


def _set_entry(document: str, placement_id: str, key: str, value: object) -> str:
    """Write an entry of a placement on one line, in the place of what is there, else behind its id."""
    placement = _placement(document, placement_id)
    if placement.flow:
        problem = f"placement {show(placement_id)} is written in brackets"
        raise InvalidInput("document", f"{problem}: exchange policy and shadow by hand, and apply that")
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", document)
    line_end = "\r\n" if "\r\n" in document else "\n"
    if key in placement.nodes:
        line, node = placement.nodes[key]
        head = lines[line - 1]
        # Behind a dash where it is the first of the entries.
        lead = (
            head[: placement.column] if head[placement.column :].startswith(key) else head[: head.index(key)]
        )
        lines[line - 1 : max(node.end, line)] = [f"{lead}{key}: {text}{line_end}"]
    else:
        last = placement.nodes["id"][1].end
        if not lines[last - 1].endswith(("\n", "\r")):
            lines[last - 1] += line_end
        lines.insert(last, f"{' ' * placement.column}{key}: {text}{line_end}")
    return "".join(lines)


def _placement(document: str, placement_id: str) -> Entries:
    root = read_tree(document).root
    parts = root.nodes["placements"][1] if isinstance(root, Entries) and "placements" in root.nodes else None
    for part in parts.nodes if isinstance(parts, Items) else ():
        if isinstance(part, Entries) and "id" in part.nodes:
            name = part.nodes["id"][1]
            if isinstance(name, Scalar) and name.text == placement_id:
                return part
    raise NotFound(f"placement {show(placement_id)} is not in the catalog")
