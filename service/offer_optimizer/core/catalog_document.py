"""The catalog as YAML: a document becomes a Catalog, or every defect is named by line, part and field.

Knows documents and the rules across their parts. What a policy takes is asked of the caller (`check_policy`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Budget, Cap, Catalog, Offer, OfferType
from offer_optimizer.core.catalog_edit import insert_parts
from offer_optimizer.core.catalog_formula import check_formulas
from offer_optimizer.core.catalog_limits import Surroundings, check_limits, read_budget, read_cap
from offer_optimizer.core.catalog_parts import (
    CheckPolicy,
    OfferDraft,
    PlacementDraft,
    node_name,
    read_kind,
    read_offer,
    read_placement,
)
from offer_optimizer.core.catalog_rules import check_rules
from offer_optimizer.core.catalog_section import Problems, Section
from offer_optimizer.core.errors import InvalidCatalog
from offer_optimizer.core.feedback import BUILT_IN_KINDS, NOT_SHOWN, SHOWN
from offer_optimizer.core.yaml_tree import Entries, Items, Scalar, describe, quote, read_tree

__all__ = ["CheckPolicy", "add_placement", "parse_catalog"]

_KEYS: Final = ("version", "kinds", "offers", "placements", "caps", "budgets", "holdout")
_RESERVED: Final = ("groups", "attribution")
_HINTS: Final = {
    "eligible": "offers and placements have rules",
    "sticky_for": "placements have it",
    "start_time": "offers have it",
    "end_time": "offers have it",
}

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Group:
    """A list of the document: its key, the word for one entry, and how many it may have.

    `least` is None where the whole list may be left out.
    """

    key: str
    word: str
    most: int
    least: int | None


_KINDS: Final = _Group("kinds", "kind", limits.KINDS, None)
_OFFERS: Final = _Group("offers", "offer", limits.OFFERS, 1)
_PLACEMENTS: Final = _Group("placements", "placement", limits.PLACEMENTS, 0)
_CAPS: Final = _Group("caps", "cap", limits.CAPS, None)
_BUDGETS: Final = _Group("budgets", "budget", limits.BUDGETS, None)


def parse_catalog(text: str, check_policy: CheckPolicy | None = None) -> Catalog:
    """Return the catalog that a document describes.

    `check_policy(name, options)` raises InvalidInput for what no policy takes; without it any name passes.
    Raises InvalidCatalog with a line for each defect, in the order of the document.
    """
    tree = read_tree(text)
    if not isinstance(tree.root, Entries):
        what = describe(tree.root)
        keys = ", ".join(_KEYS[:4])
        raise InvalidCatalog((f"line {tree.root.line}: must be a mapping with {keys} (is {what})",))
    problems = Problems()
    for line, problem in tree.problems:
        problems.add(line, "", "", problem)
    root = Section(tree.root, "", problems)
    root.check_keys(_KEYS, _RESERVED, _HINTS)
    if root.has("version") and root.number("version", 1.0, 0.0, limits.NUMBER_MAGNITUDE) != 1.0:
        root.problem("version", "this release reads version 1")
    catalog = _read_parts(root, problems, check_policy)
    if problems.found:
        raise InvalidCatalog(problems.lines())
    return catalog


def _read_parts(root: Section, problems: Problems, check_policy: CheckPolicy | None) -> Catalog:
    """Return the catalog of the sound parts, with the problems of all of them noted."""
    kinds, _ = _parts(root, problems, _KINDS, read_kind)
    offers, offer_ids = _parts(root, problems, _OFFERS, read_offer)
    placements, placement_ids = _parts(
        root, problems, _PLACEMENTS, lambda section: read_placement(section, check_policy)
    )
    caps, cap_ids = _parts(root, problems, _CAPS, read_cap)
    budgets, _ = _parts(root, problems, _BUDGETS, read_budget)
    holdout = root.share("holdout", 0.0)
    kind_ids = tuple(kind.id for kind in kinds)
    for draft in placements:
        _check_references(draft, offer_ids)
        _check_ends(draft, (*BUILT_IN_KINDS, *kind_ids))
    by_id = {draft.offer.id: draft.offer for draft in offers}
    for offer in offers:
        _check_like(offer, by_id, offer_ids)
    check_formulas(placements, by_id, kind_ids)
    check_limits(
        (*caps, *budgets), Surroundings(by_id, offer_ids, placement_ids, (*BUILT_IN_KINDS, *kind_ids))
    )
    check_rules(offers, placements, cap_ids)
    return Catalog(
        kinds=tuple(kinds),
        offers=tuple(draft.offer for draft in offers),
        placements=tuple(draft.placement for draft in placements),
        caps=tuple(draft.limit for draft in caps if isinstance(draft.limit, Cap)),
        budgets=tuple(draft.limit for draft in budgets if isinstance(draft.limit, Budget)),
        holdout=holdout,
    )


def add_placement(
    document: str,
    *,
    kinds: Sequence[str] = (),
    offers: Sequence[Mapping[str, object]],
    placement: Mapping[str, object],
) -> str:
    """Return the document with a placement added, and with those kinds and offers that it does not have yet.

    `placement` and `offers` are written as the YAML has them (an offer without a type is CONTENT); offers and
    kinds whose id is there already are left as they are. All lines of the document stay, comments too.
    Raises InvalidCatalog when the document or the result is invalid, as when the placement is there already.
    """
    catalog = parse_catalog(document)
    present = {*BUILT_IN_KINDS, *(kind.id for kind in catalog.kinds)}
    new_kinds = [{"id": kind} for kind in dict.fromkeys(kinds) if kind not in present]
    new_offers = {
        offer.get("id"): {"id": offer.get("id"), "type": OfferType.CONTENT.value, **offer}
        for offer in offers
        if offer.get("id") not in catalog.offer_index
    }
    edited = insert_parts(
        document, {"kinds": new_kinds, "offers": list(new_offers.values()), "placements": [placement]}
    )
    parse_catalog(edited)
    return edited


def _parts(
    root: Section, problems: Problems, group: _Group, read: Callable[[Section], Found | None]
) -> tuple[list[Found], frozenset[str]]:
    """Return the sound parts of one list, and the ids of all of them."""
    if group.least is not None and not root.require(group.key):
        return [], frozenset()
    node = root.node(group.key)
    if isinstance(node, Items) and len(node.nodes) < (group.least or 0):
        root.problem(group.key, f"must list at least {group.least}")
    found: list[Found] = []
    first_lines: dict[str, int] = {}
    # `node` has noted an empty value already, so `items` is asked only where there is one.
    for position, entry in enumerate(root.items(group.key, group.most) if node else (), start=1):
        # A kind may be its id alone.
        part = Entries.of("id", entry) if isinstance(entry, Scalar) and group is _KINDS else entry
        where = node_name(part, group.word, position)
        if not isinstance(part, Entries):
            problems.add(part.line, where, "", f"must be a mapping with an id (is {describe(part)})")
            continue
        if "id" in part.nodes and isinstance(id_node := part.nodes["id"][1], Scalar):
            first = first_lines.setdefault(id_node.text, part.line)
            if first != part.line:
                problems.add(part.line, where, "id", f"is used twice, first in line {first}")
        made = read(Section(part, where, problems))
        if made is not None:
            found.append(made)
    return found, frozenset(first_lines)


def _check_references(draft: PlacementDraft, offer_ids: frozenset[str]) -> None:
    for line, offer in draft.offer_lines:
        if offer not in offer_ids:
            problem = f"there is no offer {quote(offer)}{_near(offer, offer_ids)}"
            draft.section.problem("offers", problem, line=line)
    for line, offer in draft.baseline_lines:
        if offer not in draft.placement.offers:
            problem = f"{quote(offer)} is not among the placement's offers"
            draft.section.problem("baseline", problem, line=line)


def _check_like(draft: OfferDraft, by_id: Mapping[str, Offer], offer_ids: frozenset[str]) -> None:
    """Note a likeness to no other offer, and one that leads back to where it began."""
    like = draft.offer.like
    if not like:
        return
    if like not in offer_ids:
        hint = _near(like, offer_ids - {draft.offer.id})
        draft.section.problem("like", f"there is no offer {quote(like)}{hint}")
    path = [draft.offer.id]
    while like and like not in path:
        path.append(like)
        like = by_id[like].like if like in by_id else ""
    if like == draft.offer.id:
        found = "is the offer itself" if len(path) == 1 else f"goes round: {' -> '.join([*path, like])}"
        draft.section.problem("like", f"{found}; name an offer that was there before")


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {quote(near[0])}?" if near else ""


def _check_ends(draft: PlacementDraft, kinds: tuple[str, ...]) -> None:
    """Note what can't end a window: kinds that nobody declared, and those that say nothing of a reward."""
    for line, kind in draft.close_on_lines:
        if kind in (SHOWN, NOT_SHOWN):
            problem = f"{quote(kind)} is no answer, so it can't end the window"
            draft.section.problem("close_on", problem, line=line)
        elif kind not in kinds:
            near = difflib.get_close_matches(kind, kinds, n=1)
            hint = f"did you mean {quote(near[0])}?" if near else "declare it under kinds"
            problem = f"there is no kind of feedback {quote(kind)}; {hint}"
            draft.section.problem("close_on", problem, line=line)
