"""Any log as dsjson that `vw --dsjson` trains on, features as our vw policy gives them to Vowpal Wabbit.

Two forms. *Logged*, for everybody: probabilities, costs (minus the reward) and the order of offers as they
were. *Lessons*, to get our model out of VW, bit for bit: the label has what our policy told VW (propensity
clipped as its exploration wants it, reward scaled to [0, 1]) and the chosen offer stands last, because
squarecb heeds only the last line's probability; `p` is as logged. Where the policy standardises numbers, a
lesson has the z-scores that VW was told when it learned, made of the lessons before it: so an export that
begins later has others. `training_arguments` are VW's options for either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.log import Log, LogRows
from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from offer_optimizer.formats.dsjson_writer import Label, write_event
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.vw import PROPENSITY_CLIP, learned_propensity
from offer_optimizer.policy.vw_json import (
    Namespaces,
    action_namespaces,
    context_namespaces,
    label_value,
)
from offer_optimizer.policy.vw_options import VwOptions
from offer_optimizer.policy.vw_scores import VwScores

RewardRange = tuple[float, float]
UNIT: Final[RewardRange] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Lessons of the policy with these options; rewards are scaled from a range where the log says none."""

    options: VwOptions
    reward_range: RewardRange = UNIT


def export_dsjson(log: Log, file: IO[bytes], lessons: Lessons | None = None) -> int:
    """Write every row of a log as a line; return how many. Raises InvalidInput for a reward out of range."""
    writer = _Writer(log, lessons)
    count = 0
    for rows in log.batches():
        for row in range(len(rows)):
            file.write(writer.line(rows, row))
        count += len(rows)
    return count


def training_arguments(options: VwOptions, *, of_lessons: bool) -> list[str]:
    """Return VW's arguments that make the policy's model of an export.

    Of lessons it is the same to the bit. Of the logged form, where rewards lie in [0, 1] and numbers are
    squashed, it is the same but for float32 rounding: VW clips the propensities itself.
    """
    clip = [] if of_lessons else ["--clip_p", str(PROPENSITY_CLIP[options.exploration])]
    return ["--dsjson", *options.arguments(), *clip]


class _Writer:
    """Makes lines; offers that come again are not made again."""

    def __init__(self, log: Log, lessons: Lessons | None) -> None:
        self._ids = log.vocabulary.ids
        self._lessons = lessons
        is_scored = lessons is not None and lessons.options.numbers == "standardised"
        self._scores = VwScores() if is_scored else None
        self._range: Callable[[LogRows, int], RewardRange] | None = None
        if isinstance(log, LedgerRowsLog):
            self._range = lambda rows, row: log.reward_range((rows.decisions or [])[row])
        self._offers: dict[tuple[int, Features], Namespaces] = {}

    def line(self, rows: LogRows, row: int) -> bytes:
        """Return the line of one row."""
        numbers = [offer for offer in rows.offers[row].tolist() if offer >= 0]
        chosen = numbers.index(int(rows.chosen[row]))
        order = list(range(len(numbers)))
        if self._lessons is not None:
            order = [*(at for at in order if at != chosen), chosen]
        attributes = rows.attributes[row] if rows.attributes is not None else (EMPTY,) * len(numbers)
        offers = [self._offer(numbers[at], attributes[at]) for at in order]
        pmf = None if rows.pmf is None else [float(rows.pmf[row, at]) for at in order]
        context = rows.contexts.features(row)
        if self._scores is not None:
            self._scores.learn(context)
            context = self._scores.standardised(context)
        return write_event(
            self._label(rows, row, order.index(chosen)),
            context_namespaces(context),
            offers,
            pmf,
            offer_ids=[self._ids[numbers[at]] for at in order],
            event_id=rows.decision_ids[row] if rows.decision_ids is not None else "",
            time_us=int(rows.time_us[row]),
            weight=1.0 if rows.weight is None or self._lessons else float(rows.weight[row]),
        )

    def _label(self, rows: LogRows, row: int, chosen: int) -> Label:
        reward, propensity = float(rows.reward[row]), float(rows.propensity[row])
        if self._lessons is None:
            return Label(chosen, propensity, 0.0 - reward, 0.0 - reward)
        low, high = self._range(rows, row) if self._range else self._lessons.reward_range
        if not low <= reward <= high:
            raise InvalidInput("reward", f"{reward:g} is outside [{low:g}, {high:g}], the range of rewards")
        weight = 1.0 if rows.weight is None else float(rows.weight[row])
        clip = PROPENSITY_CLIP[self._lessons.options.exploration]
        return Label(
            chosen,
            label_value(learned_propensity(propensity, clip, weight)),
            label_value(0.0 - (reward - low) / (high - low)),
            0.0 - reward,
        )

    def _offer(self, number: int, attributes: Features) -> Namespaces:
        key = (number, attributes)
        found = self._offers.get(key)
        if found is None:
            found = self._offers[key] = action_namespaces(Action(self._ids[number], attributes))
        return found
