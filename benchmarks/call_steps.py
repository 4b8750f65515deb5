"""Where does the CPU time of one Decide go in the deciding process, step by step and thread by thread?

Beside it, in turns, the empty handler of `decide_floor`. Threads tell what gRPC takes: those that read and
write sockets, the one that receives calls, and what the deciding ones spend outside of our steps. A
recorder (benchmarks/steps) in the decider times the steps and knows what it costs itself, which is taken
off, though it costs more among cold code. Each row is the median of the turns, so rows do not add up
exactly. It tells; nothing here has a figure to reach.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import decide_floor, question, setting, under_test
from benchmarks.under_test import UnderTest

CLIENTS: Final = 2
CONNECTIONS: Final = 4
WRITTEN_S: Final = 0.6
"""By then the recorder has written what happened before."""
INSIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "decide": ("draft", "draw", "record", "journal"),
    "draft": ("policy",),
}
"""Steps that run within another; a row has what is left of it without them."""
ROWS: Final[Mapping[str, str]] = {
    "door": "of that: the door of the queue",
    "late": "does somebody wait?",
    "parse": "parsing",
    "validate": "validating",
    "decide": "deciding: looking up, stamps, what no row below has",
    "draft": "candidates, rules, mix",
    "policy": "the policy's pmf",
    "draw": "id, draw, the decision as a value",
    "record": "encoding the record",
    "journal": "the journal's write",
    "reply": "the reply",
}
RECORDER: Final = "the recorder"
SOCKETS, RECEIVES, ANSWERS, REST = "sockets", "the thread that receives calls", "answering threads", "others"


@dataclass(frozen=True, slots=True)
class Watched(UnderTest):
    """A server whose threads' CPU time is noted whenever its own is asked for."""

    seen: list[dict[str, float]] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """Return what all threads have used so far, to the nanosecond."""
        found = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                used_ns = int((task / "schedstat").read_text(encoding="ascii").split()[0])
                name = (task / "comm").read_text(encoding="utf-8").strip()
            except FileNotFoundError:
                continue  # it has ended meanwhile
            found[f"{task.name} {name}"] = used_ns / 1e9
        self.seen.append(found)
        return sum(found.values())


def by_kind(spent: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """Add up threads by what they do; `names` are Python's, by the number of the thread."""
    found: dict[str, float] = defaultdict(float)
    for thread, value in spent.items():
        number, _, native = thread.partition(" ")
        name = names.get(number, native)
        if name == "recorder":
            continue
        kind = SOCKETS if native == "event_engine" else REST
        if name.endswith("(_serve)"):
            kind = RECEIVES
        elif name.startswith(("decide", "ThreadPoolExecutor")):
            kind = ANSWERS
        found[kind] += value
    return dict(found)


def read(file: Path) -> dict[str, Any]:
    """Return what the recorder has written last, once it has written what happened so far."""
    time.sleep(WRITTEN_S)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def steps_us(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """Return microseconds a call by step, without the steps within it and without the recorder."""
    inside_ns, around_ns = after["cost_ns"]
    whole_ns = {}
    for name, (count, total_ns) in after["steps"].items():
        count_before, total_before_ns = before["steps"][name]
        whole_ns[name] = (total_ns - total_before_ns) / max(count - count_before, 1) - inside_ns
    found = dict(whole_ns)
    for name, parts in INSIDE.items():
        found[name] -= sum(whole_ns[part] + around_ns for part in parts)
    found[RECORDER] = len(ROWS) * around_ns
    return {name: ns / 1e3 for name, ns in found.items()}


def turn(server: Watched, seconds: float, names: Mapping[str, str] | None = None) -> dict[str, float]:
    """Load a server; return CPU microseconds a call by kind of thread. Without names it is the floor."""
    server.seen.clear()
    found = decide_floor.drive(server, seconds, CLIENTS, CONNECTIONS)
    if found.failure_count or found.cpu_us_per_call is None:
        raise SystemExit(f"{server.name}: {found.failure_count} calls failed")
    before, after = server.seen
    spent = {thread: used - before.get(thread, 0.0) for thread, used in after.items()}
    names = _names_of_floor(spent) if names is None else names
    calls = sum(spent.values()) / found.cpu_us_per_call * 1e6
    return {kind: value / calls * 1e6 for kind, value in by_kind(spent, names).items()}


def _names_of_floor(spent: Mapping[str, float]) -> dict[str, str]:
    """Name the threads of the floor, which has no recorder: the busiest of Python's receives calls."""
    own = [thread for thread in spent if not thread.endswith("event_engine")]
    receives = max(own, key=lambda thread: spent[thread])
    return {
        thread.partition(" ")[0]: "(_serve)" if thread == receives else "ThreadPoolExecutor" for thread in own
    }


def measure(seconds: float, turns: int) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return medians: the floor's threads, the decider's threads, the decider's steps."""
    floors: dict[str, list[float]] = defaultdict(list)
    threads: dict[str, list[float]] = defaultdict(list)
    steps: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="offer-optimizer-bench-") as folder:
        file, recorder = Path(folder, "steps.json"), Path(__file__).with_name("steps")
        path = f"{under_test.environment()['PYTHONPATH']}:{recorder}"
        extra = {"PYTHONPATH": path, "OFFER_OPTIMIZER_STEPS": str(file)}
        catalog = setting.catalog_text()
        with under_test.service(catalog, extra=extra) as service:
            decider = Watched("serve", service.target, service.deciders[0])
            reply = under_test.one_reply(service.target)
            with under_test.ours("floor", reply.hex()) as running:
                floor = Watched("floor", running.target, running.pid)
                for number in range(turns + 1):
                    before = read(file)
                    of_floor = turn(floor, seconds)
                    of_decider = turn(decider, seconds, before["threads"])
                    if number == 0:
                        continue  # it warms up
                    for found, seen in (
                        (floors, of_floor),
                        (threads, of_decider),
                        (steps, steps_us(before, read(file))),
                    ):
                        for name, value in seen.items():
                            found[name].append(value)
    return medians(floors), medians(threads), medians(steps)


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: statistics.median(values) for name, values in found.items()}


def figures(
    floors: Mapping[str, float], threads: Mapping[str, float], steps: Mapping[str, float]
) -> list[question.Figure]:
    """Return the rows of the table, in the order of a call."""
    ours_us = sum(steps[name] for name in ROWS if name != "door") + steps[RECORDER]
    found = [("floor, whole", sum(floors.values())), ("decider, whole", sum(threads.values()))]
    found += [(f"floor, {kind}", floors.get(kind, 0.0)) for kind in (SOCKETS, RECEIVES, ANSWERS)]
    found += [(f"decider, {kind}", threads.get(kind, 0.0)) for kind in (SOCKETS, RECEIVES)]
    found += [(ROWS["door"], steps["door"])]
    found += [("decider, answering threads: gRPC's part", threads.get(ANSWERS, 0.0) - ours_us)]
    found += [(text, steps[name]) for name, text in ROWS.items() if name != "door"]
    found += [("the recorder, by what it costs where nothing else runs", steps[RECORDER])]
    found += [("decider, other threads: models that are swapped, syncs", threads.get(REST, 0.0))]
    return [question.Figure(f"{text}, CPU us a call", us, at_least=False) for text, us in found]


def main() -> None:
    """Measure in turns and tell."""
    asked = question.ask(question.parser("call_steps", __doc__))
    seconds, turns = (1.0, 2) if asked.is_short else (3.0, 8)
    floors, threads, steps = measure(seconds, turns)
    text = (__doc__ or "").splitlines()[0]
    details = {"floor_us": floors, "decider_us": threads, "steps_us": steps}
    question.finish(asked, question.Answer("call_steps", text, figures(floors, threads, steps), details))


if __name__ == "__main__":
    main()
