"""Messages from valid but hostile to random bytes: every answer is one that the API promises.

In process, through the handlers that take raw bytes, with a real runtime, real counters and a real learner.
Native code runs in this process: whatever kills it ends the test run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.conftest import Size
from tests.fuzz.judge import judge, judge_whole
from tests.fuzz.messages import Messages
from tests.fuzz.whole_service import WholeService
from tests.fuzz.world import CATALOG

LEARNED_EVERY = 400
"""Messages between two rounds of the learner."""
MENDED_EVERY = 2000
"""Messages between two repairs of what operators' calls did: offers paused, learning frozen."""


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(4))
def test_no_message_gets_an_answer_that_the_api_does_not_promise(
    tmp_path: Path, size: Size, figure: Callable[[str], None], part: int
) -> None:
    """Nothing dies, nothing is UNKNOWN or INTERNAL; verify and rebuild agree with what is left."""
    count = size.pick(test=400, ci=10_000, proof=250_000)
    messages = Messages(f"part {part}")
    service = WholeService(tmp_path, CATALOG, seed=part)
    codes: Counter[str] = Counter()
    slowest_s = 0.0
    try:
        for number in range(1, count + 1):
            method, data = messages.draw()
            began_s = time.process_time()
            answer = service.call(method, data)
            slowest_s = max(slowest_s, time.process_time() - began_s)
            judge(method, data, answer)
            codes[answer.code.name] += 1
            if answer.is_ok and method == "OfferService/Decide":
                remember(messages, pb.DecideResponse.FromString(answer.data))
            if number % LEARNED_EVERY == 0:
                service.run_for(0.9)
            if number % MENDED_EVERY == 0:
                mend(service)
        service.run_for(60.0)
        erased_count = service.erase_all()
        assert erased_count or count < 5000, "few messages may name nobody who is known"
        service.learner.publish_all()
        learned = judge_whole(service)
    finally:
        service.close()
    told = ", ".join(f"{code} {seen}" for code, seen in codes.most_common())
    figure(
        f"hostile messages, part {part}: {count} calls, {told}; the slowest took"
        f" {slowest_s * 1e3:.0f} ms of CPU; {learned.total()} examples learned,"
        f" {erased_count} visitors erased, verify clean, rebuilds equal"
    )


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
