"""What do size and visitors cost: ingest, duplicate checks, closing windows, Explain, and decisions?

Ledgers of 10 thousand rows and more, made in bulk with learning off; at each size the same work is done five
times through the code that live learning uses, and the median CPU time of one piece is kept: flat is within
25 %. Decisions with five caps are made with the counters of a thousand visitors and more in the shared hot
cache. Draws growth.png beside the figures where matplotlib is installed (extra `plots`).
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import decide_in_process, question
from benchmarks.open_decisions import BEGIN_US, CHUNK, STEP_US, WINDOW_US, Fixture
from offer_optimizer.core.decision import Consent
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.decide.requests import DecideInput
from offer_optimizer.evaluate.story import tell
from offer_optimizer.learn.fold import Fold
from offer_optimizer.store.codec import RecordKind, Tick, encode_feedback
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.sqlite import transaction

LEDGER_SIZES: Final = {True: (5_000, 20_000), False: (10_000, 100_000, 1_000_000, 5_000_000)}
VISITOR_COUNTS: Final = {True: (500, 2_000), False: (1_000, 10_000, 100_000, 1_000_000)}
TURNS: Final = 5
PIECES: Final = 200
STORIES: Final = 20
FLAT: Final = 1.25
Curves = Mapping[str, Mapping[int, float]]
"""Microseconds of CPU time by what was done and size."""


def timed(work: Callable[[], object], pieces: int) -> float:
    """Return CPU microseconds of one of so many pieces."""
    began_s = time.process_time()
    work()
    return (time.process_time() - began_s) / pieces * 1e6


class Grown:
    """A ledger of some size, nine tenths of it closed, and work on it: each call is one turn."""

    def __init__(self, path: Path, size: int) -> None:
        self._fixture = Fixture(path)
        self._fixture.fill(size)
        self.ledger = Ledger.open_for_writing(path, random.Random(2).randbytes)
        self.ledger.connection.execute("PRAGMA synchronous=OFF")
        self.tables = FoldTables.create(self.ledger.connection)
        self.fold = Fold(self.ledger, self.tables)
        self._next = size
        self._closed = 0
        rows = self.ledger.connection.execute(
            "SELECT decision_id, decide_time_us FROM open_decision ORDER BY position"
        ).fetchall()
        self._recent = rows[-PIECES:]
        self._somewhere = [row[0] for row in random.Random(size).sample(rows, STORIES)]
        # What turns will close stays open.
        wanted = min(size * 9 // 10, size - 2 * PIECES * (TURNS + 1))
        while self._closed < wanted:
            self.close(min(CHUNK, wanted - self._closed))

    def ingest(self) -> float:
        """Take decisions in, as draining does."""
        made = [self._fixture.decision(self._next + number) for number in range(PIECES)]
        self._next += PIECES

        def work() -> None:
            with transaction(self.ledger.connection):
                for decision, key in made:
                    data = encode_decision(decision)
                    self.fold.apply(self.ledger.append_decision(decision.decision_id, data, key))
                self.fold.save_state()

        return timed(work, PIECES)

    def duplicates(self) -> float:
        """Take in items of feedback that are there already (the first turn brings them)."""
        items = [
            Feedback(f"g{number}", decision_id, "", 0, "click", 1.0, time_us + 2)
            for number, (decision_id, time_us) in enumerate(self._recent)
        ]

        def work() -> None:
            with transaction(self.ledger.connection):
                for item in items:
                    self.fold.apply(self.ledger.append(RecordKind.FEEDBACK, encode_feedback(item)))
                self.fold.save_state()

        return timed(work, len(items))

    def close(self, count: int = PIECES) -> float:
        """Close the windows of the oldest open decisions."""
        self._closed += count
        tick = Tick(BEGIN_US + WINDOW_US + (self._closed - 1) * STEP_US)

        def work() -> None:
            with transaction(self.ledger.connection):
                self.fold.apply(self.ledger.append_body(tick))
                self.fold.save_state()

        return timed(work, count)

    def explain(self) -> float:
        """Tell the story of decisions anywhere in the ledger."""
        return timed(lambda: [tell(self.ledger, self.tables, one) for one in self._somewhere], STORIES)


def all_of(work: Callable[[int], object], numbers: Sequence[int]) -> None:
    """Do the work for each number."""
    for number in numbers:
        work(number)


def ledger_curves(folder: Path, sizes: Sequence[int]) -> Curves:
    """Return the curves of a ledger's size."""
    curves: dict[str, dict[int, float]] = {}
    for size in sizes:
        path = folder / f"{size}.sqlite"
        began_s = time.monotonic()
        grown = Grown(path, size)
        print(f"{size:,} rows made in {time.monotonic() - began_s:.0f} s", flush=True)
        work: dict[str, Callable[[], float]] = {
            "ingest": grown.ingest,
            "duplicate check": grown.duplicates,
            "window close": grown.close,
            "Explain": grown.explain,
        }
        for name, turn in work.items():
            turn()  # the first brings what later ones repeat, and warms up
            curves.setdefault(name, {})[size] = statistics.median(turn() for _ in range(TURNS))
        grown.ledger.connection.close()
        path.unlink()
    return curves


def visitor_curve(folder: Path, counts: Sequence[int]) -> dict[int, float]:
    """Return what a decision with rules and caps costs, by how many visitors have counters."""
    prepared = decide_in_process.catalog(rules=True, caps=True)
    runtime = decide_in_process.runtime_in(folder, prepared)
    contexts = [decide_in_process.context(number) for number in range(50)]
    chance = random.Random(11)

    def decide(number: int) -> object:
        return runtime.decide(
            DecideInput("home", f"visitor-{number}", Consent.UNSPECIFIED, contexts[number % 50])
        )

    found: dict[int, float] = {}
    known = 0
    for count in counts:
        for number in range(known, count):
            decide(number)
        known = count
        turns = []
        for _ in range(TURNS):
            numbers = [chance.randrange(count) for _ in range(PIECES)]
            turns.append(timed(partial(all_of, decide, numbers), PIECES))
        found[count] = statistics.median(turns)
        print(f"{count:,} visitors: {found[count]:.0f} CPU us a decision", flush=True)
    return found


def draw(curves: Curves, file: Path) -> bool:
    """Draw the curves; return False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure as Picture  # noqa: PLC0415  (an extra)
    except ImportError:
        return False
    picture = Picture(figsize=(8, 5))
    axes = picture.subplots()
    for name, curve in curves.items():
        axes.plot(list(curve), list(curve.values()), marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="ledger rows, or visitors", ylabel="CPU us each")
    axes.legend()
    axes.grid(visible=True, alpha=0.3)
    picture.savefig(file, dpi=120)
    return True


def main() -> None:
    """Grow, measure, draw, answer."""
    parser = question.parser("growth", __doc__)
    parser.add_argument("--rows", type=int, help="of the largest ledger (5 million; short 20,000)")
    parser.add_argument("--visitors", type=int, help="the most visitors (1 million; short 2,000)")
    asked = question.ask(parser)
    sizes, counts = list(LEDGER_SIZES[asked.is_short]), list(VISITOR_COUNTS[asked.is_short])
    if asked.options.rows:
        sizes = [*(size for size in sizes if size < asked.options.rows), asked.options.rows]
    if asked.options.visitors:
        counts = [*(count for count in counts if count < asked.options.visitors), asked.options.visitors]
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        curves = {
            **ledger_curves(Path(folder), sizes),
            "decide, by visitors": visitor_curve(Path(folder), counts),
        }
    figures = []
    for name, curve in curves.items():
        least, most = min(curve), max(curve)
        text = f"{name}: {most:,} / {least:,}"
        print(f"{name}: " + ", ".join(f"{size:,}: {us:.1f} us" for size, us in curve.items()))
        figures.append(question.Figure(text, curve[most] / curve[least], FLAT, at_least=False))
    if not asked.is_short and not draw(curves, asked.options.out / "growth.png"):
        print("growth.png was not drawn: matplotlib is not installed (extra `plots`)")
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("growth", text, figures, {"us": curves}))


if __name__ == "__main__":
    main()
