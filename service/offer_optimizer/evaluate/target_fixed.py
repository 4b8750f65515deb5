"""Target policies that look at no context: one offer always, all eligible alike, or as it was logged."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offer_optimizer.core.features import show
from offer_optimizer.core.log import Log, LogRows, Vocabulary
from offer_optimizer.evaluate.target import (
    LogFacts,
    StillRun,
    TargetRows,
    TargetRun,
    aligned,
    certain,
    eligible_flags,
)

_LISTED = 10


@dataclass(frozen=True, slots=True)
class Always:
    """Shows one offer in every row. Where it is not eligible there is no support."""

    text: str
    offer_id: str
    is_progressive: bool = False
    needs_facts: bool = False

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy."""
        return _AlwaysRun(self.offer_id, log.vocabulary)


class _AlwaysRun(StillRun):
    def __init__(self, offer_id: str, vocabulary: Vocabulary) -> None:
        self._offer_id = offer_id
        self._vocabulary = vocabulary

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun."""
        number = self._vocabulary.find(self._offer_id)
        return certain(rows, -1 if number is None else number)

    def refusal(self) -> str:
        """See TargetRun."""
        return unknown_offers([self._offer_id], self._vocabulary)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Shows every eligible offer with the same probability."""

    text: str
    is_progressive: bool = False
    needs_facts: bool = False

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy."""
        return _UniformRun()


class _UniformRun(StillRun):
    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun."""
        flags = eligible_flags(rows)
        return aligned(rows, flags / flags.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Logged:
    """Does what the log's own policy did: every weight is 1. Figures are the log's own mean."""

    text: str
    is_progressive: bool = False
    needs_facts: bool = False

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy."""
        return _LoggedRun()


class _LoggedRun(StillRun):
    """Uses the logged pmf where there is one, else the choice in place of the pmf that it was drawn from.

    That matters to reward models alone: what they say of the choice is right on average for what they would
    say of the pmf, and dr comes to the mean that was earned. A guess at the pmf would put dr off by what the
    model says of the guess.
    """

    def __init__(self) -> None:
        self._is_by_choice = False

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun. The logged choice has exactly its logged probability."""
        is_chosen = rows.offers == rows.chosen[:, None]
        if rows.pmf is None:
            self._is_by_choice = True
            mass = np.where(is_chosen, 1.0, 0.0)
        else:
            mass = np.where(eligible_flags(rows), rows.pmf, 0.0).astype(np.float64)
            mass /= mass.sum(axis=1, keepdims=True)
        return TargetRows(rows.offers, mass, rows.propensity, np.zeros(len(rows)))

    def notes(self) -> Sequence[str]:
        """See TargetRun."""
        if not self._is_by_choice:
            return ()
        return ["Reward models are asked about the logged choices: the log keeps no other probabilities."]


def unknown_offers(offer_ids: Sequence[str], vocabulary: Vocabulary) -> str:
    """Return why offers that the whole log never had can't be judged, or nothing."""
    unknown = [offer_id for offer_id in offer_ids if vocabulary.find(offer_id) is None]
    if not unknown:
        return ""
    near = difflib.get_close_matches(unknown[0], vocabulary.ids, n=1)
    listed = ", ".join(map(show, vocabulary.ids[:_LISTED]))
    more = f" and {len(vocabulary) - _LISTED} more" if len(vocabulary) > _LISTED else ""
    hint = f"; did you mean {show(near[0])}?" if near else f"; it has {listed}{more}"
    return f"the log has no offer {show(unknown[0])}{hint}"
