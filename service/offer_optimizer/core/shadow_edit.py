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
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput, NotFound
from offer_optimizer.core.features import show
from offer_optimizer.core.yaml_tree import Entries, Items, Scalar, plain, read_tree

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

    Raises NotFound for a shadow that the placement has not, InvalidInput for a document that can't be changed
    line by line: people change that one by hand.
    """
    promoted = shadow_named(placement, name)
    rest = [shadow for shadow in placement.shadows if shadow.name != name]
    free = next(one for one in _names() if one not in {shadow.name for shadow in rest})
    shadows = [*rest, ShadowChoice(name=free, policy=placement.policy)]
    values = {"policy": _policy(promoted.policy), "shadows": [_shadow(shadow) for shadow in shadows]}
    changed = document
    if _placement(document, placement.id).flow:
        changed = _rewrite_flow(document, placement.id, values)
    else:
        for key, value in values.items():
            changed = _set_entry(changed, placement.id, key, value)
    wanted = placement.model_copy(update={"policy": promoted.policy, "shadows": tuple(shadows)})
    _check(document, changed, wanted)
    return changed


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
    lines, line_end = _lines(document)
    text = json.dumps(value)
    if key in placement.nodes:
        line, node = placement.nodes[key]
        # What stands in front of it may be a dash.
        lead = lines[line - 1][: lines[line - 1].index(key)]
        lines[line - 1 : max(node.end, line)] = [f"{lead}{key}: {text}{line_end}"]
    else:
        last = placement.nodes["id"][1].end
        if not lines[last - 1].endswith(("\n", "\r")):
            lines[last - 1] += line_end
        lines.insert(last, f"{' ' * placement.column}{key}: {text}{line_end}")
    return "".join(lines)


def _rewrite_flow(document: str, placement_id: str, values: dict[str, object]) -> str:
    """Write a placement in brackets anew, on one line."""
    placement = _placement(document, placement_id)
    content = plain(placement)
    assert isinstance(content, dict)
    lines, line_end = _lines(document)
    lead = lines[placement.line - 1].partition("{")[0]
    text = json.dumps({**content, **values})
    lines[placement.line - 1 : placement.end] = [f"{lead}{text}{line_end}"]
    return "".join(lines)


def _lines(document: str) -> tuple[list[str], str]:
    """Return the lines with their ends, and the end that new ones get."""
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", document)
    return lines, "\r\n" if "\r\n" in document else "\n"


def _check(before: str, after: str, wanted: Placement) -> None:
    """Raise InvalidInput unless just the one placement is another, and is what is wanted."""
    old = parse_catalog(before)
    placements = tuple(wanted if one.id == wanted.id else one for one in old.placements)
    try:
        is_right = parse_catalog(after) == old.model_copy(update={"placements": placements})
    except InvalidCatalog:
        is_right = False
    if not is_right:
        problem = f"the lines of placement {show(wanted.id)} hold more than it"
        raise InvalidInput("document", f"{problem}: exchange policy and shadow by hand, and apply that")


def _placement(document: str, placement_id: str) -> Entries:
    root = read_tree(document).root
    parts = root.nodes["placements"][1] if isinstance(root, Entries) and "placements" in root.nodes else None
    for part in parts.nodes if isinstance(parts, Items) else ():
        if isinstance(part, Entries) and "id" in part.nodes:
            name = part.nodes["id"][1]
            if isinstance(name, Scalar) and name.text == placement_id:
                return part
    raise NotFound(f"placement {show(placement_id)} is not in the catalog")
