"""`offer-optimizer replay`: what other policies would have earned on a log, with intervals or a refusal.

Exit status: 0 done, and the gate holds where there is one; 1 the gate doesn't hold; 2 the question or the log
is no good, or the gate's figure is withheld. A thin layer on `offer_optimizer.evaluate`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from offer_optimizer.cli import log_options
from offer_optimizer.cli.replay_progress import ReplayProgress
from offer_optimizer.core.errors import InvalidInput, OfferOptimizerError
from offer_optimizer.evaluate.comparison import differences
from offer_optimizer.evaluate.estimators import ESTIMATORS as KNOWN
from offer_optimizer.evaluate.gates import Gate, parse_gate
from offer_optimizer.evaluate.html_report import GateOutcome, html_report
from offer_optimizer.evaluate.intervals import Interval
from offer_optimizer.evaluate.reading import read_log
from offer_optimizer.evaluate.replay import ESTIMATORS, Replay, Settings
from offer_optimizer.evaluate.results import Difference, Evaluation
from offer_optimizer.evaluate.results_text import figure, sentences
from offer_optimizer.evaluate.reward_model_choice import REWARD_MODELS
from offer_optimizer.evaluate.trajectory import HORIZON

HOLDS, FAILS, REFUSED = 0, 1, 2
_READERS_REWARD = ("csv", "dsjson")
"""Formats whose reader takes `--reward`; elsewhere it is a reward that the log offers besides its own."""
_PLAIN_REWARDS = ("-cost", "cost", "reward_final", "reward_learned")
"""Names of rewards that readers take; anything else is a formula."""


def replay(
    log: log_options.LogPath,
    *,
    policy: Annotated[
        list[str],
        typer.Option(
            help="Target policy; may be repeated. always:OFFER, uniform, logged, cel:EXPRESSION, "
            "baseline:OFFER,OFFER, pmf:FILE, vw:OPTIONS, NAME:OPTIONS, catalog:FILE#PLACEMENT."
        ),
    ],
    log_format: log_options.Format = "",
    estimator: Annotated[
        str, typer.Option(help=f"Some of {', '.join(KNOWN)}, with commas; the first is the gate's.")
    ] = ",".join(ESTIMATORS),
    interval: Annotated[str, typer.Option(help=f"One of {', '.join(Interval)}.")] = "normal",
    confidence: Annotated[float, typer.Option(help="Level of the intervals, two-sided.")] = 0.95,
    gate: Annotated[
        str, typer.Option(help='"P2 - P1 > 0" or "POLICY > 0.12": exit status 0 if the lower end is above.')
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report to this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Give what is refused, marked.")] = False,
    reward: Annotated[
        str,
        typer.Option(help="csv: the column. dsjson: -cost or cost. Our logs: CEL over feedback."),
    ] = "",
    action: log_options.Action = "",
    propensity: log_options.Propensity = "",
    context: log_options.Context = "",
    visitor: log_options.Visitor = "",
    time: log_options.Time = "",
    leave_out: log_options.LeaveOut = "",
    as_text: log_options.AsText = "",
    delimiter: log_options.Delimiter = "",
    placement: log_options.Placement = "",
    start: log_options.Start = "",
    end: log_options.End = "",
    reward_range: Annotated[str, typer.Option(help="LOW,HIGH: what every reward lies in.")] = "",
    decisions_per_visitor: Annotated[
        float | None, typer.Option(help="The most that any visitor brings.")
    ] = None,
    reward_model: Annotated[
        str, typer.Option(help=f"The model of dr and the like: {' or '.join(REWARD_MODELS)}.")
    ] = "mean",
    horizon: Annotated[int, typer.Option(help="Decisions of a visitor that a trajectory judges.")] = HORIZON,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
) -> None:
    """Say what other policies would have earned on a log, with intervals or a refusal."""
    reader = {"action": action, "propensity": propensity, "context": context, "leave_out": leave_out}
    reader |= {"visitor": visitor, "time": time, "as_text": as_text, "delimiter": delimiter}
    reader |= {"placement": placement, "start": start, "end": end}
    is_readers = log_format in _READERS_REWARD or bool(action) or reward in _PLAIN_REWARDS
    reader["reward"] = reward if is_readers else ""
    try:
        with ReplayProgress() as progress:
            settings = Settings(
                reward=None if is_readers or not reward else reward,
                estimators=[name.strip() for name in estimator.split(",") if name.strip()],
                interval=interval,
                confidence=confidence,
                force=force,
                seed=seed,
                reward_range=_range(reward_range),
                decisions_per_visitor=decisions_per_visitor,
                reward_model=reward_model,
                horizon=horizon,
                progress=progress.rows,
            )
            asked = parse_gate(gate, policy) if gate else None
            source = read_log(log, log_format or None, progress=progress.read, **reader)
            answer = _run(Replay(source, policy, settings), asked)
        _publish(*answer, as_json=as_json, html=html)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    outcome = answer[2]
    if outcome is not None:
        raise typer.Exit(_status(outcome))


def _run(found: Replay, gate: Gate | None) -> tuple[Evaluation, list[Difference], GateOutcome | None]:
    try:
        found.run()
        accounts = found.accounts
        if gate is None:
            return found.evaluation(), [], None
        evaluation = found.evaluation()
        if gate.second is None:
            result = evaluation.policies[gate.first]
            estimate = next(iter(result.estimates.values()))
            return evaluation, [], GateOutcome(gate.text, estimate.is_above(gate.bound), estimate)
        pairs = differences([(accounts[gate.first], accounts[gate.second])], found.claim)
        estimate = pairs[0].estimate
        return evaluation, pairs, GateOutcome(gate.text, estimate.is_above(gate.bound), estimate)
    finally:
        found.close()


def _publish(
    found: Evaluation,
    pairs: list[Difference],
    outcome: GateOutcome | None,
    *,
    as_json: bool,
    html: Path | None,
) -> None:
    """Print the answer, and write the report. Raises InvalidInput where it can't be written."""
    if html is not None:
        try:
            html.write_text(html_report(found, pairs, outcome), encoding="utf-8")
        except OSError as error:
            raise InvalidInput("--html", f"{html} can't be written: {error.strerror}") from None
    if as_json:
        print(json.dumps(found.to_dict(), allow_nan=False))
        for note in sentences(found):
            print(f"- {note}", file=sys.stderr)
        if outcome is not None:
            print(_gate_sentence(outcome), file=sys.stderr)
        return
    print(found)
    if pairs:
        print(f"{pairs[0].first} - {pairs[0].second}")
    for pair in pairs:
        print(f"    {pair.estimator:<11} {figure(pair.estimate)}")
    for note in sentences(found):
        print(f"- {note}")
    if outcome is not None:
        print(_gate_sentence(outcome))


def _gate_sentence(outcome: GateOutcome) -> str:
    estimate = outcome.estimate
    if estimate.lowest is None:
        why = estimate.refused_reason or "this estimator has no interval"
        return f"gate: {outcome.text}: REFUSED, {why}"
    word = "holds" if outcome.holds else "DOES NOT HOLD"
    bias = f", {estimate.bias_bound:.6g} for cut weights taken off" if estimate.bias_bound else ""
    forced = f"; FORCED although {estimate.refused_reason}" if estimate.forced else ""
    return f"gate: {outcome.text}: {word}, the lower end is {estimate.lowest:.6g}{bias}{forced}"


def _status(outcome: GateOutcome) -> int:
    if outcome.estimate.low is None:
        return REFUSED
    return HOLDS if outcome.holds else FAILS


def _range(text: str) -> tuple[float, float] | None:
    """Return LOW,HIGH as numbers. Raises InvalidInput."""
    if not text:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise InvalidInput("--reward-range", f"must be LOW,HIGH (is {text[:40]!r})") from None
    return low, high
