"""Replay: what target policies would have earned on a log, in one or two readings of it.

The log is read once, and twice where a reward model is fitted or a policy needs to know the range of rewards;
batch by batch, so a log of any size takes the memory of one batch. All policies are judged on the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, TypeAlias

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import show
from offer_optimizer.core.log import Floats, Log, LogRows
from offer_optimizer.evaluate.accounts import Account, Claim
from offer_optimizer.evaluate.calibration import Calibration
from offer_optimizer.evaluate.claims import Bounds
from offer_optimizer.evaluate.clusters import Grouping
from offer_optimizer.evaluate.estimators import Estimator, estimator_of, needs_reward_model
from offer_optimizer.evaluate.expectations import Expectations, GivenFunction
from offer_optimizer.evaluate.intervals import CONFIDENCE, Interval
from offer_optimizer.evaluate.results import Evaluation
from offer_optimizer.evaluate.reward_model_choice import RewardLearner, RewardValues, reward_learner_of
from offer_optimizer.evaluate.rewards import Reward, rewarded
from offer_optimizer.evaluate.target import FunctionPolicy, LogFacts, TargetPolicy, Verdict
from offer_optimizer.evaluate.target_fixed import Logged
from offer_optimizer.evaluate.target_texts import RewardRange, parse_target
from offer_optimizer.evaluate.trajectory import HORIZON

PolicyLike: TypeAlias = "str | TargetPolicy | Callable[[LogRows], Floats]"
RewardModelLike: TypeAlias = "str | Callable[[LogRows], Floats] | RewardValues"
ESTIMATORS: Final = ("ips", "snips", "dr")
"""What is estimated unless told otherwise."""
_BAD_LINES_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come: which reading of how many, rows read in it, and of how many if known."""

    reading: int
    reading_count: int
    row_count: int
    total_rows: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a replay can be told.

    `reward` is the log's own unless given: a name or CEL over feedback where the log has that, or a
    function from rows to rewards. `reward_range` is what every reward lies in: needed by guaranteed
    intervals, and what policies that learn scale by (without it, by the log's). `decisions_per_visitor` is
    the most that any visitor brings, for guaranteed intervals. `reward_model` names the model of dr and the
    like, or is a function from rows to expected rewards, shape (n, k). `horizon` limits trajectories. With
    `force` what is refused is given all the same, and marked. `seed` is of the bootstrap. `progress` is
    told after each batch.
    """

    reward: Reward | None = None
    estimators: Sequence[str | Estimator] = ESTIMATORS
    interval: Interval | str = Interval.NORMAL
    confidence: float = CONFIDENCE
    force: bool = False
    seed: int = 0
    reward_range: RewardRange = None
    decisions_per_visitor: float | None = None
    reward_model: RewardModelLike = "mean"
    horizon: int = HORIZON
    progress: Callable[[Progress], None] | None = None

    def chosen_estimators(self) -> list[Estimator]:
        """Return the estimators. Raises InvalidInput: none, one twice, or an unknown name."""
        found = [estimator_of(given) if isinstance(given, str) else given for given in self.estimators]
        names = [estimator.name for estimator in found]
        if not found or len(set(names)) < len(names):
            raise InvalidInput("estimators", f"must be some, each once (are {', '.join(names) or 'none'})")
        return found

    def claim(self) -> Claim:
        """Return what is asked of every estimate. Raises InvalidInput."""
        if not 0.5 <= self.confidence < 1.0:
            raise InvalidInput("confidence", f"must be in [0.5, 1) (is {self.confidence:g})")
        try:
            interval = Interval(self.interval)
        except ValueError:
            known = ", ".join(Interval)
            raise InvalidInput("interval", f"{show(str(self.interval))} is none of {known}") from None
        bounds = None
        if self.reward_range is not None:
            bounds = Bounds(*self.reward_range, self.decisions_per_visitor)
        return Claim(interval, self.confidence, self.force, self.seed, bounds)


def policy_of(given: PolicyLike, reward_range: RewardRange) -> TargetPolicy:
    """Return a target policy, given as a text, a function or itself. Raises InvalidInput."""
    if isinstance(given, str):
        return parse_target(given, reward_range)
    if not callable(given):
        return given
    return FunctionPolicy(getattr(given, "__name__", "function"), given)


class Replay:
    """Some policies on one log. `run` reads it; then there are `accounts`, to be closed with `close`."""

    def __init__(self, log: Log, policies: Sequence[PolicyLike], settings: Settings) -> None:
        """Take everything apart. Raises InvalidInput about what can be known without reading."""
        self.settings = settings
        self.claim = settings.claim()
        self._estimators = settings.chosen_estimators()
        self._targets = [policy_of(given, settings.reward_range) for given in policies]
        texts = [target.text for target in self._targets]
        if not texts or len(set(texts)) < len(texts):
            raise InvalidInput(
                "policy", f"must be some, each once (are {', '.join(map(show, texts)) or 'none'})"
            )
        self._log = log if settings.reward is None else rewarded(log, settings.reward)
        self._row_count = 0
        self._nobody_count = 0
        self._is_without_pmf = False
        self._calibration = Calibration.empty()
        self._closing = ExitStack()
        self.accounts: list[Account] = []

    def run(self) -> None:
        """Read the log. Raises InvalidInput, and what reading a log may raise."""
        given, has_model = self.settings.reward_model, any(map(needs_reward_model, self._estimators))
        learner = reward_learner_of(given) if has_model and isinstance(given, str) else None
        model = _given_model(given) if has_model and not isinstance(given, str) else None
        is_twice = learner is not None or any(target.needs_facts for target in self._targets)
        facts = self._first_reading(learner) if is_twice else None
        values: RewardValues | None = learner.fit() if learner is not None else model
        self._start(facts)
        for rows in self._read(1 + is_twice, 1 + is_twice, facts.row_count if facts else None):
            self._row_count += len(rows)
            self._nobody_count += int((rows.visitor < 0).sum())
            self._is_without_pmf |= rows.pmf is None
            self._calibration += Calibration.of(rows)
            grouping = Grouping.of(rows.visitor)
            expectations = None if values is None else Expectations(rows, values)
            for account in self.accounts:
                account.add(rows, grouping, expectations)
        for account in self.accounts:
            account.log_refusal = self._calibration.refusal()

    def _first_reading(self, learner: RewardLearner | None) -> LogFacts:
        count, low, high = 0, math.inf, -math.inf
        for rows in self._read(1, 2, None):
            count += len(rows)
            low = min(low, float(rows.reward.min()))
            high = max(high, float(rows.reward.max()))
            if learner is not None:
                learner.add(rows)
        return LogFacts(count, low, high)

    def evaluation(self) -> Evaluation:
        """Return what all of it comes to."""
        return Evaluation(
            log_name=self._log.name,
            row_count=self._row_count,
            policies=tuple(account.result(self.claim) for account in self.accounts),
            interval=self.claim.interval,
            confidence=self.claim.confidence,
            notes=tuple(self._notes()),
        )

    def close(self) -> None:
        """Let go of what the targets hold."""
        self._closing.close()

    def _start(self, facts: LogFacts | None) -> None:
        runs = []
        for target in self._targets:
            run = target.start(self._log, facts)
            self._closing.callback(run.close)
            runs.append(run)
        # What was logged can be told for whole trajectories too: its weights are 1 there as well.
        has_trajectory = any(run.verdict is Verdict.TRAJECTORY for run in runs)
        for target, run in zip(self._targets, runs, strict=True):
            follows = has_trajectory and isinstance(target, Logged)
            verdict = Verdict.TRAJECTORY if follows else run.verdict
            account = Account(target, run, self._estimators, verdict, self.settings.horizon)
            self.accounts.append(account)

    def _read(self, reading: int, count: int, total: int | None) -> Iterator[LogRows]:
        done = 0
        for rows in self._log.batches():
            if len(rows):
                yield rows
            done += len(rows)
            if self.settings.progress is not None:
                self.settings.progress(Progress(reading, count, done, total))

    def _notes(self) -> list[str]:
        log = self._log
        notes = list(log.notes)
        if log.bad_line_count:
            told = "; ".join(f"line {bad.number}: {bad.problem}" for bad in log.bad_lines[:_BAD_LINES_TOLD])
            notes.append(f"{log.bad_line_count:,} lines could not be read: {told}")
        if self._nobody_count:
            whose = f"{self._nobody_count:,} of {self._row_count:,} rows don't say whose they are"
            if self._nobody_count == self._row_count:
                whose = "The log doesn't say whose rows are"
            notes.append(
                f"{whose}: each counts as a visitor of its own. Where visitors come back, intervals are too "
                "narrow."
            )
        if self._calibration.row_count:
            notes.append(f"Choices follow the logged probabilities with p = {self._calibration.p_value:.2g}.")
        if self._is_without_pmf:
            notes.append(
                "The log keeps the probability of the chosen offer alone. Whether others had a chance shows "
                "in the mean weight, which has to be near 1, and not row by row."
            )
        if len(self.accounts) > 1:
            notes.append(
                "Each interval holds for itself. The best of several policies looks better than it is on "
                "the log that picked it: name one comparison beforehand, correct them all (compare), or "
                "judge the pick on another log."
            )
        return notes


def _given_model(given: Callable[[LogRows], Floats] | RewardValues) -> RewardValues:
    return given if hasattr(given, "values") else GivenFunction(given)


def evaluate(
    log: Log, policy: PolicyLike | Sequence[PolicyLike], settings: Settings | None = None, **options: object
) -> Evaluation:
    """Return what a log says that one or several policies would earn a decision.

    `options` are the fields of Settings, by name. Raises InvalidInput naming what is wrong, and what reading
    the log may raise.
    """
    policies = [policy] if isinstance(policy, str) or not isinstance(policy, Sequence) else list(policy)
    replay = Replay(log, policies, settings_of(settings, options))
    try:
        replay.run()
        return replay.evaluation()
    finally:
        replay.close()


def settings_of(settings: Settings | None, options: dict[str, object]) -> Settings:
    """Return settings with some of them replaced. Raises InvalidInput for one that there is not."""
    fields = Settings.__dataclass_fields__
    for name in options:
        if name not in fields:
            raise InvalidInput(name, f"is no setting; there are {', '.join(fields)}")
    values = {name: getattr(settings or Settings(), name) for name in fields}
    return Settings(**(values | options))
