"""Messages from valid but hostile to random bytes: every answer is one that the API promises.

In process, through the handlers that take raw bytes, with a real runtime, real counters and a real learner.
Native code runs in this process: whatever kills it ends the test run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.conftest import Size
from tests.fuzz.judge import judge, judge_whole
from tests.fuzz.messages import Messages
from tests.fuzz.whole_service import Answer, WholeService
from tests.fuzz.world import CATALOG

LEARNED_EVERY = 400
"""Messages between two rounds of the learner."""
MENDED_EVERY = 2000
"""Messages between two repairs of what operators' calls did: offers paused, learning frozen."""


PARTS: Final = {"test": (4, 400), "ci": (10, 10_000), "proof": (20, 50_000)}
"""Parts and messages of each, by size: a part is a service of its own, drawn from a seed of its own."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make as many parts as the size of the run has: parts of the same length keep the workers even."""
    if "part" in metafunc.fixturenames:
        count, _ = PARTS[metafunc.config.getoption("size")]
        metafunc.parametrize("part", range(count))


@pytest.mark.timeout(7200)
def test_no_message_gets_an_answer_that_the_api_does_not_promise(
    tmp_path: Path,
    size: Size,
    figure: Callable[[str], None],
    tally: Callable[[str, Mapping[str, int]], None],
    part: int,
) -> None:
    """Nothing dies, nothing is UNKNOWN or INTERNAL; verify and rebuild agree with what is left."""
    _, count = PARTS[size.name]
    began_s = time.process_time()
    service = WholeService(tmp_path, CATALOG, seed=part)
    try:
        seen = send(service, Messages(f"part {part}"), count)
        service.run_for(60.0)
        erased_count = service.erase_all()
        assert erased_count or count < 5000, "few messages may name nobody who is known"
        service.learner.publish_all()
        learned = judge_whole(service)
    finally:
        service.close()
    for title, counts in seen.counts.items():
        tally(f"hostile messages by {title}", counts)
    tally("examples learned between hostile messages by placement", learned)
    each_ms = (time.process_time() - began_s) / count * 1e3
    figure(
        f"hostile messages, part {part}: {count:,} calls, {each_ms:.2f} ms of CPU each, all included, the"
        f" slowest took {seen.slowest_s * 1e3:.0f} ms; {erased_count} visitors erased; no defect: no answer"
        " that is not promised, nothing in the log, verify clean, rebuilt models and tables equal"
    )


@dataclass
class Seen:
    """What was sent and how it was answered."""

    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {"call": Counter(), "code": Counter(), "reason of refusal": Counter()}
    )
    slowest_s: float = 0.0

    def add(self, method: str, answer: Answer, took_s: float) -> None:
        """Note a call."""
        self.counts["call"][method.partition("/")[2]] += 1
        self.counts["code"][answer.code.name] += 1
        if not answer.is_ok:
            self.counts["reason of refusal"][answer.reason] += 1
        self.slowest_s = max(self.slowest_s, took_s)


def send(service: WholeService, messages: Messages, count: int) -> Seen:
    """Send messages and judge every answer, while the learner works and operators mend what calls did."""
    seen = Seen()
    for number in range(1, count + 1):
        method, data = messages.draw()
        began_s = time.process_time()
        answer = service.call(method, data)
        seen.add(method, answer, time.process_time() - began_s)
        judge(method, data, answer)
        if answer.is_ok and method == "OfferService/Decide":
            remember(messages, pb.DecideResponse.FromString(answer.data))
        if number % LEARNED_EVERY == 0:
            service.run_for(0.9)
        if number % MENDED_EVERY == 0:
            mend(service)
    return seen


def remember(messages: Messages, reply: pb.DecideResponse) -> None:
    """Let later messages name what was decided."""
    messages.decided.append(reply.decision_id)
    if reply.model_version:
        messages.versions.append(reply.model_version)


def mend(service: WholeService) -> None:
    """Put the catalog in force again and let learning go on."""
    service.store.apply(CATALOG, service.store.newest_number())
    thaw = catalog_pb.SetLearningRequest(frozen=False)
    assert service.call("CatalogService/SetLearning", thaw.SerializeToString()).is_ok
