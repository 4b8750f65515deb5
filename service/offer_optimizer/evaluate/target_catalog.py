"""The target policy `catalog:FILE#PLACEMENT`: a whole system, rules, caps, budgets and policy, on our own
log.

Three verdicts. STATE AS LOGGED: each decision changed alone, with the counters that the log read.
TRAJECTORY: all decisions of a visitor changed together, so that caps fill as they would have; taken where
the caps are not those of the log, and by `catalog:FILE#PLACEMENT@trajectory` or `@state` as asked for.
REFUSED: whatever is looser than the log, a higher cap, a freed budget, an offer that the log excluded. What
would have followed was never seen, and only a simulation or another log could tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from offer_optimizer.core.catalog import Catalog, Placement
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.decision import Decision
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import Log, LogRows, Vocabulary
from offer_optimizer.decide.prepared import PreparedCatalog, prepare_catalog
from offer_optimizer.evaluate.formula_rewards import logged_catalogs
from offer_optimizer.evaluate.recount import uncountable
from offer_optimizer.evaluate.system import System
from offer_optimizer.evaluate.system_limits import SameLimits
from offer_optimizer.evaluate.target import LogFacts, StillRun, TargetRows, TargetRun, Verdict, aligned
from offer_optimizer.evaluate.target_learned import ActionMaker, Learner, reward_range
from offer_optimizer.policy import registry

_SERVED_SUM: Final = 1e-6
_VERDICTS: Final = {"state": Verdict.STATE_AS_LOGGED, "trajectory": Verdict.TRAJECTORY}
_REASONS_TOLD: Final = 3
_DISORDER_US: Final = 1_000_000
"""By how much decisions of a visitor may be out of order: several deciders' journals are drained in turns."""


@dataclass(frozen=True, eq=False)
class CatalogPolicy:
    """A placement under a catalog. `verdict` is None where the caps decide which one is given."""

    text: str
    catalog: Catalog
    placement_id: str
    verdict: Verdict | None = None
    reward_range: tuple[float, float] | None = None

    @property
    def is_progressive(self) -> bool:
        """See TargetPolicy."""
        return registry.learns(self._placement.policy.name)

    @property
    def needs_facts(self) -> bool:
        """See TargetPolicy: a placement declares the range of its rewards."""
        return False

    @property
    def _placement(self) -> Placement:
        return self.catalog.placement_by_id[self.placement_id]

    def start(self, log: Log, facts: LogFacts | None) -> TargetRun:  # noqa: ARG002  (the protocol's)
        """See TargetPolicy. Raises InvalidInput where the log has no catalogs: it is not one of ours."""
        logged = logged_catalogs(log)
        if not logged:
            raise InvalidInput(
                f"policy {self.text}",
                "needs a log of this service: a data directory, or Parquet exported from one",
            )
        return _CatalogRun(self, logged, log.vocabulary)


def catalog_policy(text: str, argument: str, given_range: tuple[float, float] | None = None) -> CatalogPolicy:
    """Return the target that FILE#PLACEMENT, or FILE#PLACEMENT@VERDICT, names. Raises InvalidInput."""
    path, sign, place = argument.rpartition("#")
    placement_id, at, asked = place.partition("@")
    if not sign or not path or not placement_id or (at and asked not in _VERDICTS):
        raise InvalidInput(
            "policy", f"{show(text)}: write catalog:FILE#PLACEMENT, with @state or @trajectory"
        )
    try:
        catalog = parse_catalog(Path(path).read_text(encoding="utf-8"), check_policy=_check_policy)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("policy", f"{path} can't be read: {error}") from None
    except InvalidCatalog as error:
        raise InvalidInput("policy", f"{path}: {error}") from None
    if placement_id not in catalog.placement_by_id:
        known = ", ".join(catalog.placement_by_id)
        raise InvalidInput("policy", f"{path} has no placement {show(placement_id)}; it has {known}")
    return CatalogPolicy(text, catalog, placement_id, _VERDICTS.get(asked), given_range)


def _check_policy(name: str, options: Mapping[str, object]) -> None:
    registry.describe(name, options)


class _CatalogRun(StillRun):
    def __init__(self, target: CatalogPolicy, logged: Mapping[int, Catalog], vocabulary: Vocabulary) -> None:
        placement = target.catalog.placement_by_id[target.placement_id]
        choice = placement.policy
        self._target = target
        self._logged = logged
        self._vocabulary = vocabulary
        self._limits = {revision: SameLimits.of(target.catalog, old) for revision, old in logged.items()}
        self._policy = registry.create(choice.name, choice.options, placement.baseline)
        prepared: PreparedCatalog = prepare_catalog(CatalogRevision(0, "", 0, target.catalog))
        self._system = System(prepared, target.placement_id, self._policy, logged)
        own_range = target.reward_range or (placement.reward.min, placement.reward.max)
        learns = registry.learns(choice.name)
        self._learner = Learner(self._policy, reward_range(own_range, None)) if learns else None
        self._actions = ActionMaker(vocabulary)
        self._revisions: set[int] = set()
        self._last_us: dict[int, int] = {}
        self._row_count = 0
        self._is_elsewhere = ""

    @property
    def verdict(self) -> Verdict:
        """See TargetRun: a trajectory wherever a cap is not what it was in the log."""
        if self._target.verdict is not None:
            return self._target.verdict
        differs = any(same.changed_caps for same in self._limits.values())
        return Verdict.TRAJECTORY if differs else Verdict.STATE_AS_LOGGED

    def follow(self, rows: LogRows) -> TargetRows:
        """See TargetRun. Raises InvalidInput where a visitor's rows are not in the order of time."""
        if rows.decisions is None:
            raise InvalidInput(f"policy {self._target.text}", "needs a log with full decision records")
        mass = np.zeros(rows.offers.shape)
        outside = np.zeros(len(rows))
        for row in range(len(rows)):
            decision = rows.decisions[row]
            visitor = int(rows.visitor[row])
            self._check(decision, visitor)
            choice = self._system.choose(decision, visitor)
            columns = {
                number: column for column, number in enumerate(rows.offers[row].tolist()) if number >= 0
            }
            for offer_id, probability in zip(choice.offer_ids, choice.pmf.tolist(), strict=True):
                number = self._vocabulary.find(offer_id)
                column = None if number is None else columns.get(number)
                if column is None:
                    outside[row] += probability
                else:
                    mass[row, column] += probability
            if not choice.offer_ids:
                outside[row] = 1.0
            chosen = int(rows.chosen[row])
            self._system.count(decision, visitor, self._vocabulary.ids[chosen])
            if self._learner is not None:
                actions = self._actions.of(rows, row)
                self._learner.learn(rows, row, decision.context, actions, columns[chosen])
        self._row_count += len(rows)
        return aligned(rows, mass, outside, tolerance=_SERVED_SUM)

    def _check(self, decision: Decision, visitor: int) -> None:
        last_us = self._last_us.get(visitor, 0)
        if decision.decide_time_us < last_us - _DISORDER_US and visitor >= 0:
            raise InvalidInput(
                f"policy {self._target.text}",
                "needs a log that has the decisions of a visitor in order of time",
            )
        self._last_us[visitor] = max(last_us, decision.decide_time_us)
        self._revisions.add(decision.catalog_revision)
        if decision.placement_id != self._target.placement_id:
            self._is_elsewhere = decision.placement_id

    def refusal(self) -> str:
        """See TargetRun."""
        if self._is_elsewhere:
            return f"the log is of placement {self._is_elsewhere}, the policy of {self._target.placement_id}"
        return self._uncounted() or self._looser() or self._shared_course()

    def _looser(self) -> str:
        lifted = self._system.lifted
        if not lifted:
            return ""
        told = [
            f"{offer_id} in {count:,} decisions ({reason.name})"
            for (offer_id, reason), count in lifted.most_common(_REASONS_TOLD)
        ]
        changed = self._changes()
        return (
            f"looser than the log, which had excluded {', '.join(told)}"
            f"{f'; {changed}' if changed else ''}: what would have followed was never seen, "
            "so only a simulation or another log could tell"
        )

    def _uncounted(self) -> str:
        catalog = self._target.catalog
        for revision in sorted(self._revisions):
            same = self._limits[revision]
            for index, cap in enumerate(catalog.caps):
                why = uncountable(cap, self._target.placement_id, len(catalog.placements))
                if index not in same.caps and why:
                    return why
            if same.unknown_budgets:
                unknown = same.unknown_budgets[0]
                return f"budget {unknown} is new or counts otherwise, and the log did not count it"
        return ""

    def _shared_course(self) -> str:
        """Return why a changed budget has no trajectory: all visitors spend it together."""
        if self.verdict is not Verdict.TRAJECTORY:
            return ""
        changed = [told for revision in self._revisions for told in self._limits[revision].changed_budgets]
        if not changed:
            return ""
        return (
            f"{changed[0]}: all visitors spend a budget together, so weights by visitor can't tell its "
            "course; simulate it, or ask for the state as logged (@state)"
        )

    def _changes(self) -> str:
        found: dict[str, None] = {}
        for revision in sorted(self._revisions):
            same = self._limits[revision]
            found |= dict.fromkeys((*same.changed_caps, *same.changed_budgets))
        return ", ".join(list(found)[:_REASONS_TOLD])

    def notes(self) -> Sequence[str]:
        """See TargetRun."""
        changed = self._changes()
        found = [f"Differs from the log's catalog: {changed}."] if changed else []
        if self.verdict is Verdict.STATE_AS_LOGGED:
            found.append(
                "State as logged: one decision is changed at a time, with the counters that the log read. "
                "Caps and budgets would fill otherwise if all decisions changed; @trajectory judges that "
                "for caps."
            )
        else:
            found.append(
                "Trajectory: the weights of a visitor's decisions are multiplied, so caps fill as they would "
                "have. Counts begin as the log had them; decisions at other placements, and budgets, stay as "
                "logged."
            )
        if self._learner is not None:
            found += self._learner.notes(self._row_count)
        return found

    def close(self) -> None:
        """See TargetRun."""
        self._policy.close()
