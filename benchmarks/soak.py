"""Does anything grow while the real service runs for a long time, with one call in twenty invalid?

`python -m benchmarks.soak SECONDS`: `offer-optimizer serve` with two deciders and learning on, a steady load
of decisions and feedback, and hostile requests among them. Once a second memory, descriptors and threads of
each process are read. The first quarter is for warming up; a straight line through the rest gives the slopes.
Ends with 1 where a process was restarted, a call got an answer that the API does not promise, or a slope is
steeper than the limits below.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from benchmarks import machine, under_test
from benchmarks.setting import DECIDE, RECORD_FEEDBACK, catalog_text, many_requests
from offer_optimizer.v1 import offer_service_pb2 as pb

INVALID_EVERY: Final = 20
RATE: Final = 150.0
"""Calls a second: about half of it is decisions; enough to learn all the time on a small machine."""
WARM_UP_SHARE: Final = 0.25
SETTLED_S: Final = 200.0
MEMORY_MIB: Final = 24.0
"""How much a process may grow by its slope, over all that was measured, be it minutes or an hour."""
LEDGER_CACHE_MIB: Final = 64.0
"""What the learner's database may keep of its pages besides (store/sqlite.py): it fills while it runs."""
UNSETTLED_MIB: Final = 100.0
"""Before SETTLED_S models are still loaded for the first time: a short run finds gross leaks only."""
COUNT: Final = 3.0
"""Descriptors and threads."""
UNSETTLED_THREADS: Final = 12.0
"""A decider's pool and gRPC's own make their threads when they are first needed, bounded by their sizes."""
PROMISED: Final = frozenset(
    {
        "OK",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "UNIMPLEMENTED",
        "RESOURCE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
        "UNAVAILABLE",
    }
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment."""

    at_s: float
    memory: float
    descriptors: float
    threads: float


def sample(pid: int, at_s: float) -> Sample:
    """Read a process. Raises OSError when it is gone."""
    process = Path(f"/proc/{pid}")
    # Not what is resident: pages of files that the kernel keeps mapped are no growth of ours.
    anonymous = next(
        line for line in (process / "status").read_text().splitlines() if line.startswith("RssAnon:")
    )
    return Sample(
        at_s,
        int(anonymous.split()[1]) / 1024.0,
        float(len(list((process / "fd").iterdir()))),
        float(len(list((process / "task").iterdir()))),
    )


def role(command_line: str) -> str:
    """Return what a child of `serve` is."""
    return next((word for word in command_line.split() if word in ("decider", "learner")), "other")


@dataclass
class Watch:
    """Samples of every process of the service."""

    supervisor: int
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def look(self, at_s: float) -> None:
        """Take one sample of each process; helpers that come and go are not its own."""
        found = {self.supervisor: "supervisor"} | {
            pid: role(line) for pid, line in machine.children(self.supervisor).items()
        }
        for pid, name in found.items():
            if name != "other":
                try:
                    self.samples.setdefault(f"{name} {pid}", []).append(sample(pid, at_s))
                except OSError:
                    continue

    def growth(self, name: str, measure: str, warm_up_s: float) -> tuple[float, float, float]:
        """Return (first, last, growth by the slope) of a measure behind the warm-up."""
        kept = [it for it in self.samples[name] if it.at_s >= warm_up_s]
        if len(kept) < 3:
            return 0.0, 0.0, 0.0
        times = np.array([it.at_s for it in kept])
        values = np.array([float(getattr(it, measure)) for it in kept])
        slope = float(np.polyfit(times, values, 1)[0])
        return values[0], values[-1], slope * float(times[-1] - times[0])


class Load:
    """Calls at a steady rate over a few connections; what came back is counted."""

    def __init__(self, target: str, seed: int) -> None:
        self.codes: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._decided: list[str] = []
        self._lock = threading.Lock()
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(target, options=options) for _ in range(8)]
        self._decides: list[Any] = [channel.unary_unary(DECIDE) for channel in channels]
        self._records: list[Any] = [channel.unary_unary(RECORD_FEEDBACK) for channel in channels]
        self._requests = many_requests(2000, seed)

    def send(self, number: int) -> None:
        """Send one call; nothing waits for it."""
        if number % INVALID_EVERY == 0:
            stub, data, keeps = *self._invalid(number), False
        elif number % 2:
            stub, data, keeps = self._decides[number % 8], self._requests[number % 2000], True
        else:
            stub, data, keeps = self._records[number % 8], self._feedback(number), False
        call = stub.future(data, timeout=2.0)
        call.add_done_callback(lambda done: self._note(done, keeps=keeps))

    def _feedback(self, number: int) -> bytes:
        with self._lock:
            decision_id = self._chance.choice(self._decided) if self._decided else ""
        item = pb.Feedback(feedback_id=f"f{number}", kind="click", decision_id=decision_id)
        return pb.RecordFeedbackRequest(items=[item]).SerializeToString()

    def _invalid(self, number: int) -> tuple[Any, bytes]:
        kind = number // INVALID_EVERY % 5
        right = self._requests[number % 2000]
        poison = pb.DecideRequest(placement="bench", context=pb.Features(numbers={"n": float("nan")}))
        many = pb.DecideRequest(context=pb.Features(numbers={f"n{i}": 1.0 for i in range(300)}))
        item = pb.Feedback(feedback_id="x" * 200, kind="bought", value=float("inf"))
        data = (
            self._chance.randbytes(200),
            right[: len(right) // 2],
            poison.SerializeToString(),
            many.SerializeToString(),
            pb.RecordFeedbackRequest(items=[item]).SerializeToString(),
        )[kind]
        return (self._records if kind == 4 else self._decides)[number % 8], data

    def _note(self, call: Any, *, keeps: bool) -> None:  # noqa: ANN401
        code = call.code().name
        with self._lock:
            self.codes[code] += 1
            if keeps and code == "OK":
                self._decided.append(pb.DecideResponse.FromString(call.result()).decision_id)
                del self._decided[:-200]


@contextmanager
def service() -> Iterator[tuple[int, str]]:
    """Run `offer-optimizer serve` with two deciders; yield the supervisor's process id and the address."""
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-soak-") as folder:
        catalog = Path(folder, "catalog.yaml")
        catalog.write_text(catalog_text(), encoding="utf-8")
        options = ["--data", str(Path(folder, "data")), "--catalog", str(catalog), "--listen", "127.0.0.1:0"]
        command = [sys.executable, "-m", "offer_optimizer", "serve", *options, "--workers", "2"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=under_test.environment(), cwd=under_test.ROOT
        ) as process:
            try:
                if process.stdout is None:
                    raise AssertionError("it is a pipe")
                line = process.stdout.readline()
                if not line.startswith("ready "):
                    raise SystemExit(f"serve did not get ready: {line!r}")
                yield process.pid, line.split()[1]
            finally:
                process.terminate()
                process.wait(timeout=30.0)


def soak(seconds: float, rate: float) -> tuple[Watch, Load]:
    """Run the service under load for so long."""
    with service() as (supervisor, target):
        watch, load = Watch(supervisor), Load(target, seed=1)
        begin_s, number, next_look_s = time.monotonic(), 0, 0.0
        while (at_s := time.monotonic() - begin_s) < seconds:
            if at_s >= next_look_s:
                watch.look(at_s)
                next_look_s += 1.0
            # Never more than a second's calls behind: a soak is steady, whatever the machine does.
            number = max(number, int((at_s - 1.0) * rate))
            while number < at_s * rate:
                load.send(number)
                number += 1
            time.sleep(0.01)
        time.sleep(2.0)
    return watch, load


def limits_of(name: str, seconds: float) -> dict[str, float]:
    """Return how much a process may grow in a run of so long, by measure."""
    cache = LEDGER_CACHE_MIB if name.startswith("learner") else 0.0
    if seconds < SETTLED_S:
        return {"memory": UNSETTLED_MIB + cache, "descriptors": COUNT, "threads": UNSETTLED_THREADS}
    return {"memory": MEMORY_MIB + cache, "descriptors": COUNT, "threads": COUNT}


def report(watch: Watch, load: Load, seconds: float) -> list[str]:
    """Print the figures; return what is wrong."""
    calls = ", ".join(f"{code} {count}" for code, count in load.codes.most_common())
    print(f"{seconds:.0f} s, {load.codes.total()} calls: {calls}")
    print(f"{'process':>20} {'measure':>12} {'begin':>8} {'end':>8} {'growth':>8} {'limit':>6}")
    wrong = [f"a call got {code}" for code in load.codes if code not in PROMISED]
    for name in watch.samples:
        for measure, limit in limits_of(name, seconds).items():
            begin, end, growth = watch.growth(name, measure, seconds * WARM_UP_SHARE)
            print(f"{name:>20} {measure:>12} {begin:8.1f} {end:8.1f} {growth:+8.1f} {limit:6.0f}")
            if growth > limit:
                wrong.append(f"{name}: {measure} grew by {growth:.1f}, at most {limit:g}")
    if len(watch.samples) != 4:
        wrong.append(f"four processes expected, these were seen: {', '.join(watch.samples)}")
    if load.codes["OK"] < 0.5 * load.codes.total():
        wrong.append("less than half of the calls was served")
    return wrong


def main() -> None:
    """Soak and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("seconds", type=float, help="how long: 30 for a look, 300, an hour")
    parser.add_argument("--rate", type=float, default=RATE, help="calls a second")
    chosen = parser.parse_args()
    watch, load = soak(chosen.seconds, chosen.rate)
    wrong = report(watch, load, chosen.seconds)
    for line in wrong:
        print(f"not as it should be: {line}")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
