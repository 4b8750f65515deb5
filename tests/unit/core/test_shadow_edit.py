"""Exchanging a policy and a shadow in a document that people own; shadows as a document declares them."""

from __future__ import annotations

import pytest

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import ShadowGate
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput, NotFound
from offer_optimizer.core.shadow_edit import promote_in_document

HEAD = "# ours\noffers: [{id: a, type: NOTHING}]\nplacements:  # two\n"
TAIL = "  - {id: q, offers: [a]}  # the end\n"
OTHER = "{name: keep, policy: linear, share: 50%, gate: {margin: 0.01, visitors: 500}}"
NEW = "{name: new, policy: {name: thompson, options: {x: 1}}}"
SHAPES = {
    "block": "  - id: p\n    offers: [a]\n    policy:\n      name: vw\n      options:\n        bits: 10\n"
    f"    shadows:\n      - {NEW}\n      - {OTHER}\n    window: 10s  # short\n",
    "policy first": "  - policy: {name: vw, options: {bits: 10}}\n    id: p\n    offers: [a]\n"
    f"    window: 10s\n    shadows: [{NEW}, {OTHER}]\n",
    "flow": f"  - {{id: p, offers: [a], window: 10s, policy: {{name: vw, options: {{bits: 10}}}}, "
    f"shadows: [{NEW}, {OTHER}]}}\n",
    "flow of two lines": "  - {id: p, offers: [a], window: 10s, policy: {name: vw, options: {bits: 10}},\n"
    f"     shadows: [{NEW}, {OTHER}]}}\n",
}


def _many(count: int) -> str:
    return "[" + ", ".join(f"{{name: s{number}, policy: vw}}" for number in range(count)) + "]"


def _gate(visitors: int) -> str:
    return f"[{{name: s, policy: vw, gate: {{visitors: {visitors}}}}}]"


def _share(share: float) -> str:
    return f"[{{name: s, policy: vw, share: {share!r}}}]"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_policy_and_shadow_change_places_and_back_and_nothing_else_does(shape: str, line_end: str) -> None:
    document = (HEAD + SHAPES[shape] + TAIL).replace("\n", line_end)
    before = parse_catalog(document)
    placement = before.placement_by_id["p"]
    once = promote_in_document(document, placement, "new")
    changed = parse_catalog(once).placement_by_id["p"]
    assert changed.policy == placement.shadows[0].policy
    assert [shadow.name for shadow in changed.shadows] == ["keep", "previous"]
    assert changed.shadows[0] == placement.shadows[1]
    assert changed.shadows[1].policy == placement.policy
    assert changed.shadows[1].gate is None
    assert once.startswith(HEAD.replace("\n", line_end))
    assert once.endswith(TAIL.replace("\n", line_end))
    twice = parse_catalog(promote_in_document(once, changed, "previous")).placement_by_id["p"]
    assert twice.policy == placement.policy
    assert {shadow.name for shadow in twice.shadows} == {"keep", "previous"}


def test_a_placement_without_a_written_policy_gets_one() -> None:
    document = HEAD + f"  - id: p\n    offers: [a]\n    shadows: [{NEW}]"
    changed = promote_in_document(document, parse_catalog(document).placement_by_id["p"], "new")
    assert parse_catalog(changed).placement_by_id["p"].policy.name == "thompson"


def test_unknown_shadows_and_documents_of_one_line_are_refused_and_say_what_to_do() -> None:
    document = HEAD + SHAPES["block"] + TAIL
    placement = parse_catalog(document).placement_by_id["p"]
    with pytest.raises(NotFound, match="it has: new, keep"):
        promote_in_document(document, placement, "old")
    offers = '"offers": [{"id": "a", "type": "NOTHING"}]'
    line = f'{{{offers}, "placements": [{{"id": "p", "offers": ["a"], "shadows": [{NEW}]}}]}}'
    with pytest.raises(InvalidInput, match="by hand"):
        promote_in_document(line, parse_catalog(line).placement_by_id["p"], "new")


def test_a_document_declares_shadows_with_their_gates() -> None:
    shadows = parse_catalog(HEAD + SHAPES["block"] + TAIL).placement_by_id["p"].shadows
    assert [shadow.name for shadow in shadows] == ["new", "keep"]
    assert shadows[0].policy.options == {"x": 1}
    assert (shadows[0].share, shadows[0].gate) == (1.0, None)
    assert (shadows[1].share, shadows[1].gate) == (0.5, ShadowGate(margin=0.01, visitors=500))


@pytest.mark.parametrize(
    ("shadows", "problem"),
    [
        ("[{name: a}]", 'shadows[0].policy": is missing'),
        ("[{policy: vw}]", 'shadows[0].name": is missing'),
        ("[{name: a, policy: vw}, {name: a, policy: vw}]", "two shadows"),
        ("[{name: a, policy: vw, share: 0}]", "must be from 0.0625 to 1"),
        ("[{name: a, policy: vw, gate: {visitors: 10}}]", "visitors"),
        ("[{name: a, policy: vw, gate: {visitors: 500.5}}]", "whole number"),
        ("[{name: a, policy: vw, gat: {}}]", "did you mean"),
        ("[vw]", "must list mappings"),
        ("[{name: ../a, policy: vw}]", "shadows[0].name"),
    ],
    ids=[
        "no-policy",
        "no-name",
        "twice",
        "no-share",
        "few",
        "half-a-visitor",
        "misspelt",
        "no-mapping",
        "path",
    ],
)
def test_what_is_wrong_with_a_shadow_is_said_where_it_is(shadows: str, problem: str) -> None:
    with pytest.raises(InvalidCatalog) as caught:
        parse_catalog(HEAD + f"  - id: p\n    offers: [a]\n    shadows: {shadows}\n")
    assert problem in str(caught.value)
    assert "line 6" in str(caught.value)


@pytest.mark.parametrize(
    ("taken", "refused"),
    [
        (_many(limits.SHADOWS), _many(limits.SHADOWS + 1)),
        (_gate(limits.GATE_VISITORS_LEAST), _gate(limits.GATE_VISITORS_LEAST - 1)),
        (_share(limits.SHADOW_SHARE_LEAST), _share(limits.SHADOW_SHARE_LEAST / 1.01)),
    ],
    ids=["shadows", "visitors", "share"],
)
def test_limits_are_inclusive_and_one_more_is_refused(taken: str, refused: str) -> None:
    head = HEAD + "  - id: p\n    offers: [a]\n    shadows: "
    assert parse_catalog(f"{head}{taken}\n").placement_by_id["p"].shadows
    with pytest.raises(InvalidCatalog, match="shadows"):
        parse_catalog(f"{head}{refused}\n")
