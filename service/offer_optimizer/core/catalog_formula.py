"""Tries every reward formula of a catalog before it is in force.

Compiling finds wrong types; names are checked by spelling, so that a branch nobody tried can't hold a
misspelt kind; then each formula is evaluated for every offer of its placement, on silence and on one item
of each kind. A formula can still fail live (a division by `count.click - 2.0`): whoever closes windows
counts that.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from offer_optimizer.core.catalog import Offer
from offer_optimizer.core.catalog_parts import PlacementDraft
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.feedback import BUILT_IN_KINDS
from offer_optimizer.core.formula import OFFER, FeedbackSummary, FormulaFault, RewardFormula
from offer_optimizer.core.yaml_tree import quote

_TRIAL_VALUE = 1.0
_TRIAL_DELAY_S = 1.0
_FAULTS_SHOWN = 20


def check_formulas(
    drafts: Sequence[PlacementDraft], offers: Mapping[str, Offer], kinds: tuple[str, ...]
) -> None:
    """Note each formula that can't be served, in its placement's section. Unknown offers are skipped."""
    trials = _Trials((*BUILT_IN_KINDS, *kinds))
    for draft in drafts:
        shown = [offers[offer] for offer in draft.placement.offers if offer in offers]
        for problem in trials.problems(draft.placement.reward.formula, shown):
            draft.section.problem("reward.formula", problem, line=draft.formula_line)


class _Trials:
    """Trial feedback, and what it showed so far: placements often share formulas and offers."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._kinds = kinds
        self._compiled: dict[str, RewardFormula | str] = {}
        self._faults: dict[tuple[str, str], str] = {}
        one_of_each = [(kind, _TRIAL_VALUE, _TRIAL_DELAY_S) for kind in kinds]
        self._whole = [
            ("silence", FeedbackSummary([], kinds)),
            ("one of each kind", FeedbackSummary(one_of_each, kinds)),
        ]
        self._single = [(f"one {item[0]}", FeedbackSummary([item], kinds)) for item in one_of_each]

    def problems(self, text: str, offers: Sequence[Offer]) -> list[str]:
        """Return what is wrong with a formula for these offers."""
        if text not in self._compiled:
            try:
                self._compiled[text] = RewardFormula(text)
            except InvalidInput as error:
                self._compiled[text] = error.problem
        formula = self._compiled[text]
        if isinstance(formula, str):
            return [formula]
        unknown = self._unknown_kinds(formula)
        if unknown:
            return unknown
        return [fault for offer in offers if (fault := self._fault(formula, offer))][:_FAULTS_SHOWN]

    def _unknown_kinds(self, formula: RewardFormula) -> list[str]:
        found = []
        for reference in formula.references():
            if reference.map != OFFER and reference.name not in self._kinds:
                near = difflib.get_close_matches(reference.name, self._kinds, n=1)
                hint = f"; did you mean {near[0]}?" if near else "; declare it under kinds"
                found.append(f"{reference.map}.{reference.name}: there is no such kind of feedback{hint}")
        return found

    def _fault(self, formula: RewardFormula, offer: Offer) -> str:
        key = (formula.text, offer.id)
        if key not in self._faults:
            self._faults[key] = self._try(formula, offer)
        return self._faults[key]

    def _try(self, formula: RewardFormula, offer: Offer) -> str:
        numbers = dict(offer.attributes.numbers)
        for reference in formula.references():
            name = reference.name
            if reference.map == OFFER and name not in numbers and not formula.guards(name):
                advice = f"give it one, or write `has(offer.{name}) ? offer.{name} : 0.0`"
                return f"offer {quote(offer.id)} has no number {show(name)}; {advice}"
        for feedback, summary in (*self._whole, *self._single):
            try:
                formula.evaluate(summary, numbers)
            except FormulaFault as fault:
                return f"offer {quote(offer.id)}, on {feedback}: {fault.problem}"
        return ""
