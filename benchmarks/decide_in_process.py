"""What does one decision cost in process, up to and with the journal's write?

20 offers, 12 context features, the policies vw and linear; bare, with 20 distinct rules, and with 5 caps on
top, counted in the shared hot cache. The rules read 8 categories and a number, which repeat from visitor to
visitor as devices, countries and visits do; one row has a number that never repeats. The caps count
decisions; in one row one of them counts dismissals, so that decisions have to be remembered. The floors of
the same run are the policy's answer alone, and Vowpal Wabbit asked with naive text under the same options.
All take turns; the figure is CPU time, the least of the turns. Visitors have come before, some oftener than
others: now and then a decision brings home to the cache what several have counted, and so each turn has its
share of that.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import vowpalwabbit

from benchmarks import question
from offer_optimizer.app.clocks import EntropyStock, entropy, wall_clock_us
from offer_optimizer.core import ids
from offer_optimizer.core.catalog import (
    Cap,
    Catalog,
    Offer,
    OfferType,
    Placement,
    PolicyChoice,
    Window,
)
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.counting import DECIDE
from offer_optimizer.core.decision import Consent
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.decide.draft import Drafter
from offer_optimizer.decide.models import ModelShelf
from offer_optimizer.decide.prepared import PreparedCatalog, prepare_catalog
from offer_optimizer.decide.requests import DecideInput
from offer_optimizer.decide.runtime import Runtime
from offer_optimizer.policy.contract import Example, Policy
from offer_optimizer.policy.vw_options import VwOptions
from offer_optimizer.policy.vw_text import action_line, context_line
from offer_optimizer.store.codec import Salt
from offer_optimizer.store.files import Files
from offer_optimizer.store.hot_cache import HotCache
from offer_optimizer.store.hot_fill import Stage
from offer_optimizer.store.hot_lock import HotLock
from offer_optimizer.store.identity import Identity
from offer_optimizer.store.lmdb_cache import LmdbCache
from offer_optimizer.store.recorders import Journal
from offer_optimizer.store.segment_writer import SegmentWriter
from offer_optimizer.store.snapshots import Snapshot
from offer_optimizer.store.writer_cells import WriterCells

PLACEMENT: Final = "home"
OFFERS: Final = 20
CAPS: Final = 5
VISITORS: Final = 2000
FEW_VISITORS: Final = 100
"""Of a short run, so that they come back in it."""
EARLIER: Final = 13
"""So many decisions' events lie ready of a visitor at most, before one brings them home."""
LESSONS: Final = 500
NAIVE: Final = "naive text to VW"
PMF: Final = "the policy's pmf alone"
WHOLE: Final = "decide with 20 rules, 5 caps"
LINEAR_PMF: Final = "linear: the policy's pmf alone"
LINEAR_WHOLE: Final = "linear: with 20 rules, 5 caps"
AUTO_PMF: Final = "auto: the policy's pmf alone"
AUTO_WHOLE: Final = "auto: with 20 rules, 5 caps"
TOLERANCE: Final = 0.2
"""Five short runs on a quiet machine were up to 8 % worse than their median: minima of one run."""


class _NoSnapshots:
    """A placement without snapshots runs the policy's initial model."""

    def current_name(self, *_key: object) -> str | None:
        """Return nothing."""
        return None

    def load(self, *key: object) -> Snapshot:
        """Is not called."""
        raise AssertionError(key)


def catalog(*, rules: bool, caps: bool, policy: str = "vw", hears: str = DECIDE) -> PreparedCatalog:
    """Return the catalog: every rule differs and passes, every cap limits the four offers of a group.

    The last cap counts what it `hears`.
    """
    offers = tuple(
        Offer(
            id=f"offer-{number:02}",
            type=OfferType.MESSAGE,
            group=f"group-{number % CAPS}",
            eligible=f'number.n1 < {1000 + number}.0 || category.c{number % 8} == "x"' if rules else "",
            attributes=build_features(
                {"theme": f"t{number % 4}"}, {"cost": float(number)}, {}, where="attributes", limit=50
            ),
        )
        for number in range(OFFERS)
    )
    limits = tuple(
        Cap(
            id=f"cap-{number}",
            limit=50,
            groups=(f"group-{number}",),
            window=Window(rolling_s=86400.0),
            count_on=hears if number == CAPS - 1 else DECIDE,
        )
        for number in range(CAPS if caps else 0)
    )
    placement = Placement(
        id=PLACEMENT,
        offers=tuple(offer.id for offer in offers),
        baseline=("offer-00",),
        policy=PolicyChoice(name=policy),
    )
    return prepare_catalog(
        CatalogRevision(1, "", 0, Catalog(offers=offers, caps=limits, placements=(placement,)))
    )


def context(number: int) -> Features:
    """Return 8 categories and 4 numbers."""
    return build_features(
        {f"c{name}": f"v{number * name % 7}" for name in range(8)},
        {f"n{name}": float(number * name % 11) for name in range(4)},
        {},
        where="context",
        limit=200,
    )


def _shared_cache(directory: Path, name: str = "hot") -> HotCache:
    (directory / name).mkdir()
    lock = HotLock(directory / f"{name}.lock", "boot", os.getpid(), time.monotonic_ns, time.sleep)
    cache = LmdbCache(directory / name, lock, "boot")
    cache.refresh()
    cache.replace()
    cache.set_stage(Stage.READY, 0)
    return cache


def _runtime(prepared: PreparedCatalog, directory: Path, cache: HotCache, writer: str) -> Runtime:
    shelf = ModelShelf(_NoSnapshots())
    shelf.refresh(prepared)
    _teach(_policy(shelf, prepared), prepared)
    files = Files()
    cells = WriterCells.create(files, directory, writer, os.getpid(), 0)
    segments = SegmentWriter(files, directory, "journal", "ab" * 8, writer)
    return Runtime(
        catalog=lambda: prepared,
        drafter=Drafter(shelf, Salt(2, "holdout", b"h" * 32)),
        journal=Journal(segments, cells, wall_clock_us),
        cache=cache,
        clock=wall_clock_us,
        digest=Identity(b"s" * 32).digest,
        entropy=EntropyStock(entropy, ids.ENTROPY_BYTES).take,
        salt=Salt(1, "draw", b"d" * 32),
    )


def runtime_in(directory: Path, prepared: PreparedCatalog) -> Runtime:
    """Return a runtime of its own over the shared hot cache, in a directory."""
    return _runtime(prepared, directory, _shared_cache(directory), "f" * 16)


def _policy(shelf: ModelShelf, prepared: PreparedCatalog) -> Policy:
    served = shelf.get(PLACEMENT, prepared.placements[PLACEMENT].epoch.id)
    if served is None:
        raise AssertionError("no model")
    return served.policy


def _teach(policy: Policy, prepared: PreparedCatalog) -> None:
    """Teach it enough that no two offers are tied, as they are in a model that has seen nothing."""
    actions = tuple(candidate.action for candidate in prepared.placements[PLACEMENT].plan.candidates)
    for number in range(LESSONS):
        chosen = number * 7 % OFFERS
        policy.learn(
            Example(context(number), actions, chosen, 1.0 / OFFERS, float((number + chosen) % 3 == 0))
        )


def _naive(prepared: PreparedCatalog, contexts: list[Features]) -> Callable[[int], object]:
    """Return a question to Vowpal Wabbit, all lines parsed each time."""
    workspace = vowpalwabbit.Workspace(arg_list=[*VwOptions().arguments(), "--quiet"])
    actions = [action_line(candidate.action) for candidate in prepared.placements[PLACEMENT].plan.candidates]

    def ask(number: int) -> object:
        return workspace.predict([context_line(contexts[number % VISITORS]), *actions])

    return ask


def questions(directory: Path, visitors: int = VISITORS) -> dict[str, Callable[[int], object]]:
    """Return what takes turns, by name; each is called with a running number.

    So many visitors come again and again, VISITORS at most.
    """
    contexts = [context(number) for number in range(VISITORS)]
    requests = _requests(contexts)[:visitors]
    unlike = _requests(
        [
            replace(found, numbers=(found.numbers[0], ("n1", number * 0.37), *found.numbers[2:]))
            for number, found in enumerate(contexts)
        ]
    )
    bare = catalog(rules=False, caps=False)
    linear, auto = (catalog(rules=False, caps=False, policy=name) for name in ("linear", "auto"))
    found: dict[str, Callable[[int], object]] = {
        NAIVE: _naive(bare, contexts),
        PMF: _pmf(bare, contexts),
        LINEAR_PMF: _pmf(linear, contexts),
        AUTO_PMF: _pmf(auto, contexts),
    }
    whole, hearing = catalog(rules=True, caps=True), catalog(rules=True, caps=True, hears="dismiss")
    for number, (name, prepared, asked) in enumerate(
        (
            ("decide", bare, requests),
            ("decide with 20 rules", catalog(rules=True, caps=False), requests),
            (WHOLE, whole, requests),
            ("the same, a number never repeats", whole, unlike),
            ("the same, a cap hears feedback", hearing, requests),
            (LINEAR_WHOLE, catalog(rules=True, caps=True, policy="linear"), requests),
            (AUTO_WHOLE, catalog(rules=True, caps=True, policy="auto"), requests),
        )
    ):
        cache = _shared_cache(directory, f"hot-{number}")
        found[name] = _asking(_runtime(prepared, directory, cache, f"{number:016x}"), asked)
    return found


def _pmf(prepared: PreparedCatalog, contexts: list[Features]) -> Callable[[int], object]:
    """Return a question to the policy alone, taught as much as the others."""
    shelf = ModelShelf(_NoSnapshots())
    shelf.refresh(prepared)
    policy = _policy(shelf, prepared)
    _teach(policy, prepared)
    actions = tuple(candidate.action for candidate in prepared.placements[PLACEMENT].plan.candidates)
    return lambda number: policy.pmf(contexts[number % VISITORS], actions)


def _requests(contexts: list[Features]) -> list[DecideInput]:
    return [
        DecideInput(PLACEMENT, f"visitor-{number}", Consent.UNSPECIFIED, found)
        for number, found in enumerate(contexts)
    ]


def _asking(runtime: Runtime, requests: list[DecideInput]) -> Callable[[int], object]:
    for number, request in enumerate(requests):
        for _ in range(number % EARLIER):
            runtime.decide(request)
    return lambda number: runtime.decide(requests[number % len(requests)])


def measure(asked: dict[str, Callable[[int], object]], turns: int, calls: int) -> dict[str, float]:
    """Return CPU microseconds per call by name: the least of the turns, which the machine disturbed least."""
    least = dict.fromkeys(asked, float("inf"))
    for turn in range(turns + 1):
        for name, ask in asked.items():
            before_s = time.process_time()
            for number in range(turn * calls, (turn + 1) * calls):
                ask(number)
            spent_us = (time.process_time() - before_s) / calls * 1e6
            # The first turn warms up: models, caches of text, the pages of the files.
            least[name] = min(least[name], spent_us) if turn else least[name]
    return least


def figures(least: dict[str, float]) -> list[question.Figure]:
    """Return what docs/design.md asks for, and the ratios to naive text that short runs watch."""
    naive = least[NAIVE]
    found = [
        question.Figure("vw: decide with 20 rules and 5 caps, us", least[WHOLE], 70.0, at_least=False),
        question.Figure(
            "auto: decide with 20 rules and 5 caps, us", least[AUTO_WHOLE], 100.0, at_least=False
        ),
        question.Figure("auto: pmf alone, us", least[AUTO_PMF], 50.0, at_least=False),
        question.Figure("linear: decide with 20 rules and 5 caps, us", least[LINEAR_WHOLE], at_least=False),
        question.Figure("linear: pmf alone, us", least[LINEAR_PMF], at_least=False),
        question.Figure(
            "vw: pmf alone / naive text", least[PMF] / naive, 0.3, at_least=False, tolerance=TOLERANCE
        ),
    ]
    watched = (("vw: decide, 20 rules, 5 caps", WHOLE), ("linear: decide, 20 rules, 5 caps", LINEAR_WHOLE))
    found += [
        question.Figure(f"{text} / naive text", least[name] / naive, at_least=False, tolerance=TOLERANCE)
        for text, name in watched
    ]
    return found


def main() -> None:
    """Measure and print the table."""
    asked = question.ask(question.parser("decide_in_process", __doc__))
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-") as directory:
        asked_of = questions(Path(directory), FEW_VISITORS if asked.is_short else VISITORS)
        least = measure(asked_of, *((8, 200) if asked.is_short else (12, 2000)))
    print(f"{'in process':32}{'us':>8}{'ratio':>8}")
    for name, spent_us in least.items():
        print(f"{name:32}{spent_us:8.1f}{spent_us / least[NAIVE]:8.2f}")
    text = (__doc__ or "").splitlines()[0]
    answer = question.Answer("decide_in_process", text, figures(least), {"least_us": least})
    question.finish(asked, answer)


if __name__ == "__main__":
    main()
