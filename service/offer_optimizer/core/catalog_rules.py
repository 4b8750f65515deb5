"""Tries every rule of a catalog before it is in force.

Compiling finds wrong types; what a rule reads of caps and offers is checked by spelling, since the document
says which there are. What it reads of the context only a request can show: a name missing there excludes
the offer with RULE_ERROR.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

from offer_optimizer.core.catalog import Offer
from offer_optimizer.core.catalog_parts import OfferDraft, PlacementDraft
from offer_optimizer.core.catalog_section import Section
from offer_optimizer.core.cel import Reference
from offer_optimizer.core.errors import InvalidInput, RuleFault
from offer_optimizer.core.features import EMPTY, show
from offer_optimizer.core.rules import OFFER_MAPS, VISITOR, Rule, RuleFacts
from offer_optimizer.core.yaml_tree import quote

_FAULTS_SHOWN = 20


def check_rules(
    offers: Sequence[OfferDraft], placements: Sequence[PlacementDraft], cap_ids: Collection[str]
) -> None:
    """Note each rule that can't be served, in the section that has it. Unknown offers are skipped."""
    by_id = {draft.offer.id: draft.offer for draft in offers}
    trials = _Trials(cap_ids)
    for draft in offers:
        trials.check(draft.section, draft.offer.eligible, [draft.offer])
    for placing in placements:
        shown = [by_id[offer] for offer in placing.placement.offers if offer in by_id]
        trials.check(placing.section, placing.placement.eligible, shown)


class _Trials:
    """Rules compiled so far: offers often share one."""

    def __init__(self, cap_ids: Collection[str]) -> None:
        self._cap_ids = cap_ids
        self._compiled: dict[str, Rule | str] = {}

    def check(self, section: Section, text: str, offers: Sequence[Offer]) -> None:
        """Note what is wrong with a rule for these offers."""
        if not text:
            return
        if text not in self._compiled:
            try:
                self._compiled[text] = Rule(text)
            except InvalidInput as error:
                self._compiled[text] = error.problem
        rule = self._compiled[text]
        if isinstance(rule, str):
            section.problem("eligible", rule)
            return
        faults = [
            *self._unknown_caps(rule),
            *(fault for offer in offers if (fault := _fault(rule, offer))),
        ]
        for fault in faults[:_FAULTS_SHOWN]:
            section.problem("eligible", fault)

    def _unknown_caps(self, rule: Rule) -> list[str]:
        return [
            f"visitor has the counts of caps, and there is no cap {self._hint(reference.name)}"
            for reference in rule.references()
            if reference.map == VISITOR and reference.name not in self._cap_ids
        ]

    def _hint(self, name: str) -> str:
        # `visitor.two-a-day` reads "two" and subtracts: the id needs brackets.
        longer = sorted(cap for cap in self._cap_ids if cap.startswith(name) and cap != name)
        near = longer[:1] or difflib.get_close_matches(name, self._cap_ids, n=1)
        hint = f'; did you mean `visitor["{near[0]}"]`?' if near else "; declare it under caps"
        return quote(name) + hint


def _fault(rule: Rule, offer: Offer) -> str:
    numbers, categories = dict(offer.attributes.numbers), dict(offer.attributes.categories)
    known: dict[str, Mapping[str, object]] = {"offer": numbers, "offer_category": categories}
    for reference in rule.references():
        missing = reference.map in known and reference.name not in known[reference.map]
        if missing and not rule.guards(reference):
            word = "number" if reference.map == "offer" else "text"
            ask = f"give it one, or ask first: `has({reference.map}.{reference.name}) && ...`"
            mend = _advice(reference, offer) or ask
            return (
                f"offer {quote(offer.id)} has no {word} {show(reference.name)} among its attributes; {mend}"
            )
    if rule.reads <= OFFER_MAPS:
        try:
            rule.evaluate(RuleFacts.build(EMPTY, offer=offer.attributes))
        except RuleFault as fault:
            return f"offer {quote(offer.id)}: {fault}"
    return ""


def _advice(reference: Reference, offer: Offer) -> str:
    """Return the mend where the attribute is there and is of another type."""
    name = reference.name
    if name in dict(offer.attributes.tags):
        return f"{show(name)} is a list, and rules read numbers and texts of offers"
    if reference.map == "offer" and name in dict(offer.attributes.categories):
        return f"{show(name)} is text: write `offer_category.{name}`"
    if reference.map == "offer_category" and name in dict(offer.attributes.numbers):
        return f"{show(name)} is a number: write `offer.{name}`"
    return ""
