"""How many decisions a second does BatchDecide make with one core, against Decide?

The same service and the same requests, in turns: many visitors at one placement, each in a context of its
own, as a mailing asks, alone and 200 in a batch; and one visitor in one context at ten placements, as a
page asks, alone and in one batch. The ratio is that of CPU time of the deciding process for a decision, the
least of the turns.
"""

from __future__ import annotations

from typing import Final

from benchmarks import decide_floor, question, setting, under_test
from benchmarks.under_test import UnderTest
from offer_optimizer.v1 import offer_service_pb2 as pb

BATCH: Final = 200
PAGE: Final = 10
COUNT: Final = 1000
TOLERANCE: Final = 0.3
"""Of five short runs on a quiet machine the worst was 25 % worse than the median (a page's 3 %)."""


def batches(requests: list[bytes], size: int) -> list[bytes]:
    """Return the requests in batches."""
    parsed = [pb.DecideRequest.FromString(request) for request in requests]
    return [
        pb.BatchDecideRequest(requests=parsed[start : start + size]).SerializeToString()
        for start in range(0, len(parsed), size)
    ]


def one_visitor_a_page() -> list[bytes]:
    """Return requests of which each ten are of one visitor in one context, at all ten placements."""
    found = []
    for request in setting.many_requests(COUNT // PAGE, 3):
        for placement in setting.PLACEMENTS:
            one = pb.DecideRequest.FromString(request)
            one.placement = placement
            found.append(one.SerializeToString())
    return found


def main() -> None:
    """Measure in turns and answer."""
    asked = question.ask(question.parser("batch_decide", __doc__))
    seconds, turns = (0.5, 2) if asked.is_short else (4.0, 5)
    mailing, page = setting.many_requests(COUNT, 2, placements=1), one_visitor_a_page()
    kinds = {
        "unary": (setting.DECIDE, mailing, 1),
        "batch": (setting.BATCH_DECIDE, batches(mailing, BATCH), BATCH),
        "unary page": (setting.DECIDE, page, 1),
        "batch page": (setting.BATCH_DECIDE, batches(page, PAGE), PAGE),
    }
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    with under_test.service() as service:
        for _ in range(turns):
            for name, (method, sent, size) in kinds.items():
                server = UnderTest(name, service.target, service.deciders[0])
                found = decide_floor.drive(server, seconds, 1, 2, method=method, requests=sent)
                if not found.is_whole or found.cpu_us_per_call is None:
                    raise SystemExit(
                        f"{name}: {found.failure_count} calls failed, {found.refused_count} refused"
                    )
                spent[name].append(found.cpu_us_per_call / size)
    each_us = {name: min(values) for name, values in spent.items()}
    for name, us in each_us.items():
        print(f"{name:10} {us:7.1f} CPU us a decision")
    figures = [
        question.Figure(
            f"decisions a CPU second: {BATCH} in a batch / unary",
            each_us["unary"] / each_us["batch"],
            4.0,
            tolerance=TOLERANCE,
        ),
        question.Figure(
            f"decisions a CPU second: {PAGE} of one visitor / unary",
            each_us["unary page"] / each_us["batch page"],
            tolerance=TOLERANCE,
        ),
    ]
    text = (__doc__ or "").splitlines()[0]
    question.finish(asked, question.Answer("batch_decide", text, figures, {"cpu_us": spent}))


if __name__ == "__main__":
    main()
