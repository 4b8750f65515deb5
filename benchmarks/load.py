"""One client process: `python -m benchmarks.load TARGET THREADS SECONDS METHOD FILE`, a closed loop a thread.

FILE has requests in hexadecimal, one a line; each thread sends them in turn.

Each thread has a connection of its own. Prints `ready` after a short warm-up, waits for a line, calls for
SECONDS, and prints JSON: calls that failed and that were refused, wall seconds, and the latency of each
other one in whole microseconds. Who is refused waits BACK_OFF_S.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

WARM_UP_CALLS = 50
DEADLINE_S = 5.0
BACK_OFF_S = 0.02


def loop(
    call: Any,  # noqa: ANN401
    requests: Sequence[bytes],
    stop_ns: int,
    latencies: list[int],
    failures: list[str],
    refusals: list[int],
) -> None:
    """Call until the time is up."""
    turns = itertools.cycle(requests)
    now = time.perf_counter_ns()
    while now < stop_ns:
        start = now
        try:
            call(next(turns), timeout=DEADLINE_S)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                refusals.append(start)
                time.sleep(BACK_OFF_S)
                now = time.perf_counter_ns()
                continue
            failures.append(str(error))
        now = time.perf_counter_ns()
        latencies.append((now - start) // 1000)


def run(target: str, thread_count: int, seconds: float, method: str, requests: Sequence[bytes]) -> None:
    """Warm up, wait for the word, drive, report."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(target, options=options) for _ in range(thread_count)]
    calls: list[Any] = [channel.unary_unary(method) for channel in channels]
    for call in calls:
        for request in itertools.islice(itertools.cycle(requests), WARM_UP_CALLS):
            call(request, timeout=DEADLINE_S)
    print("ready", flush=True)
    sys.stdin.readline()
    start_ns = time.perf_counter_ns()
    stop_ns = start_ns + int(seconds * 1e9)
    latencies: list[list[int]] = [[] for _ in calls]
    failures: list[str] = []
    refusals: list[int] = []
    threads = [
        threading.Thread(target=loop, args=(call, requests, stop_ns, latencies[index], failures, refusals))
        for index, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s = (time.perf_counter_ns() - start_ns) / 1e9
    every = [latency for part in latencies for latency in part]
    json.dump(
        {
            "failure_count": len(failures),
            "failure": failures[:1],
            "refused_count": len(refusals),
            "wall_s": wall_s,
            "latencies_us": every,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    given = [bytes.fromhex(text) for text in Path(sys.argv[5]).read_text(encoding="ascii").split()]
    run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], given)
