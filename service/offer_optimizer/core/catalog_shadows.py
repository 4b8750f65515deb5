"""Shadow policies out of a placement's section of a document.

Whether policy and options exist is the caller's to check: the core knows no registry.
"""

from __future__ import annotations

from collections.abc import Callable

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import PolicyChoice, ShadowChoice, ShadowGate
from offer_optimizer.core.catalog_section import Section
from offer_optimizer.core.yaml_tree import quote

ReadPolicy = Callable[[Section], PolicyChoice]


def read_shadows(section: Section, read_policy: ReadPolicy) -> tuple[ShadowChoice, ...]:
    """Return the shadows of a placement; what is wrong is noted and left out."""
    found: dict[str, ShadowChoice] = {}
    for inner in section.parts("shadows", limits.SHADOWS):
        shadow = _read_shadow(inner, read_policy)
        if shadow is None:
            continue
        if shadow.name in found:
            inner.problem("name", f"{quote(shadow.name)} is the name of two shadows of this placement")
        found[shadow.name] = shadow
    return tuple(found.values())


def _read_shadow(section: Section, read_policy: ReadPolicy) -> ShadowChoice | None:
    section.check_keys(("name", "policy", "share", "gate"))
    name = section.identifier("name")
    if not section.require("policy"):
        return None
    policy = read_policy(section)
    share = section.share("share", 1.0)
    if share < limits.SHADOW_SHARE_LEAST:
        section.problem("share", f"must be from {limits.SHADOW_SHARE_LEAST:g} to 1 (is {share:g})")
        share = 1.0
    gate = _read_gate(section)
    return None if name is None else ShadowChoice(name=name, policy=policy, share=share, gate=gate)


def _read_gate(section: Section) -> ShadowGate | None:
    inner = section.mapping("gate")
    if inner is None:
        return None
    inner.check_keys(("margin", "visitors"))
    standard, magnitude = ShadowGate(), limits.NUMBER_MAGNITUDE
    visitors = inner.number("visitors", standard.visitors, limits.GATE_VISITORS_LEAST, magnitude)
    if visitors != int(visitors):
        inner.problem("visitors", f"must be a whole number (is {visitors:g})")
    margin = inner.number("margin", standard.margin, -magnitude, magnitude)
    return ShadowGate(margin=margin, visitors=int(visitors))
