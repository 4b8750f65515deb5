"""Who is raced on what: passes run in parallel, and are kept so that only what changed runs again.

A pass is kept under a hash of the code and options of its entrant, its problem and the race itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.bakeoff import problems
from benchmarks.bakeoff.entrants import entrant
from benchmarks.bakeoff.fingerprint import fingerprint
from benchmarks.bakeoff.race import Result, run


@dataclass(frozen=True, slots=True)
class Facts:
    """What a problem is known to pay a round, in the world of one seed; `best` is None where nobody knows."""

    rounds: int
    offers: int
    uniform: float
    best_fixed: float
    best: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to race. `limit` is the most rounds, None for all; `kept` is where passes are kept, if at all."""

    entrants: tuple[str, ...]
    problems: tuple[str, ...]
    seeds: tuple[int, ...]
    limit: int | None = None
    kept: Path | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Passes by entrant and problem, and facts by problem, each in the order of the seeds."""

    passes: dict[str, dict[str, list[Result]]]
    facts: dict[str, list[Facts]]


def race_all(plan: Plan, jobs: int, report: Callable[[str], None]) -> Figures:
    """Run every pass that isn't kept, in `jobs` processes, and return all of them."""
    pairs = [(name, seed) for name in plan.problems for seed in plan.seeds]
    found: dict[tuple[str, int], tuple[Facts, dict[str, Result]]] = {}
    if jobs < 2:
        for at, pair in enumerate(pairs):
            found[pair] = _race(plan, *pair)
            report(f"{at + 1} of {len(pairs)}: {pair[0]}, seed {pair[1]}")
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(_race, plan, *pair): pair for pair in pairs}
            for at, future in enumerate(as_completed(futures)):
                name, seed = futures[future]
                found[name, seed] = future.result()
                report(f"{at + 1} of {len(pairs)}: {name}, seed {seed}")
    return Figures(
        {
            who: {name: [found[name, seed][1][who] for seed in plan.seeds] for name in plan.problems}
            for who in plan.entrants
        },
        {name: [found[name, seed][0] for seed in plan.seeds] for name in plan.problems},
    )


def _race(plan: Plan, name: str, seed: int) -> tuple[Facts, dict[str, Result]]:
    """Return the facts of a problem and every entrant's pass through it."""
    found = {}
    with threadpool_limits(1):
        facts = _kept(plan, ("facts", name, seed), Facts, lambda: _facts(name, seed))
        for who in plan.entrants:
            found[who] = _kept(plan, (who, name, seed), Result, lambda: _pass(plan, who, name, seed))  # noqa: B023
    return facts, found


def _facts(name: str, seed: int) -> Facts:
    rounds = problems.problem(name, seed)
    return Facts(
        rounds=len(rounds.contexts),
        offers=len(rounds.live()[0].actions),
        uniform=rounds.uniform(),
        best_fixed=rounds.best_fixed(),
        best=rounds.best_possible() if rounds.is_ordered else None,
    )


def _pass(plan: Plan, who: str, name: str, seed: int) -> Result:
    rounds, competitor = problems.problem(name, seed), entrant(who)
    return run(rounds, lambda: competitor.create(rounds, seed), seed, plan.limit, competitor.floor)


def _kept(plan: Plan, key: tuple[str, str, int], kind: type[Any], make: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what was made before for the same key and code, or make and keep it."""
    if plan.kept is None:
        return make()
    path = plan.kept / f"{_digest(plan, key)}.json"
    if path.exists():
        return _read(kind, json.loads(path.read_text(encoding="utf-8")))
    made = make()
    plan.kept.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(asdict(made)), encoding="utf-8")
    aside.replace(path)
    return made


def _read(kind: type[Any], values: dict[str, Any]) -> Any:  # noqa: ANN401
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def _digest(plan: Plan, key: tuple[str, str, int]) -> str:
    who, name, _ = key
    source = problems.source(name)
    if who == "facts":
        code: Sequence[object] = (fingerprint(("benchmarks.bakeoff.rounds",)),)
    else:
        competitor = entrant(who)
        modules = ("benchmarks.bakeoff.race", *competitor.modules)
        code = (fingerprint(modules), competitor.setting, competitor.floor, plan.limit)
    return hashlib.sha256(repr((key, source, code)).encode()).hexdigest()[:32]
