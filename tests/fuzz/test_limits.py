"""Every limit of core/limits.py on what callers send: n is taken, n + 1 is refused with field and limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from offer_optimizer.core import limits
from offer_optimizer.v1 import catalog_service_pb2 as catalog_pb
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.conftest import REPOSITORY
from tests.fuzz.mutations import varint
from tests.fuzz.whole_service import Answer, WholeService
from tests.fuzz.world import CATALOG

ELSEWHERE: Final = {
    "OFFERS": "tests/unit/core/test_catalog_limits.py",
    "PLACEMENTS": "tests/unit/core/test_catalog_limits.py",
    "KINDS": "tests/unit/core/test_catalog_limits.py",
    "PAYLOAD_BYTES": "tests/unit/core/test_catalog_limits.py",
    "FORMULA_BYTES": "tests/unit/core/test_catalog_limits.py",
    "CAPS": "tests/unit/core/test_catalog_caps.py",
    "CAP_LIMIT": "tests/unit/core/test_catalog_caps.py",
    "BUDGETS": "tests/unit/core/test_catalog_caps.py",
    "PARKED_S": "tests/unit/learn/test_drain.py",
    "PARKED_FEEDBACK": "tests/unit/learn/test_fold_parked.py",
    "PARKED_PER_DECISION": "tests/unit/learn/test_fold_parked.py",
    "FEEDBACK_PER_DECISION": "tests/unit/learn/test_fold_late.py",
    "RULE_BYTES": "tests/unit/core/test_catalog_caps.py",
    "SHADOWS": "tests/unit/core/test_shadow_edit.py",
    "GATE_VISITORS_LEAST": "tests/unit/core/test_shadow_edit.py",
    "SHADOW_SHARE_LEAST": "tests/unit/core/test_shadow_edit.py",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: the call that carries something of a size, how it is made, and what a refusal names."""

    name: str
    method: str
    make: Callable[[float], bytes]
    field: str
    value: float
    above: float

    @property
    def label(self) -> str:
        """How the test is called."""
        return f"{self.name} of {self.field}"


def decide(**fields: Any) -> bytes:  # noqa: ANN401
    return pb.DecideRequest(placement="lot", **fields).SerializeToString()


def padded(request: Message, bytes_: int) -> bytes:
    """Return a message of just so many bytes: an unknown field fills it up."""
    data = request.SerializeToString()
    left = bytes_ - len(data)
    for head in range(3, 8):
        size = left - head
        prefix = b"\xfa\x7f" + varint(size)
        if size >= 0 and len(prefix) == head:
            return data + prefix + b"x" * size
    raise AssertionError(f"{bytes_} bytes can't be made")


def features(count: int) -> pb.Features:
    return pb.Features(numbers={f"f{number}": 1.0 for number in range(count)})


def candidates(count: int) -> list[pb.Candidate]:
    return [pb.Candidate(offer_id=f"own-{number}") for number in range(count)]


def feedback(**fields: Any) -> pb.Feedback:  # noqa: ANN401
    usual: dict[str, Any] = {"feedback_id": "f", "kind": "click"}
    target = pb.VisitorPlacement(visitor_id="v", placement="lot")
    return pb.Feedback(**{**usual, "visitor_placement": target, **fields})


def record(*items: pb.Feedback, source: str = "") -> bytes:
    return pb.RecordFeedbackRequest(items=items, source=source).SerializeToString()


def apply(text: str) -> bytes:
    request = catalog_pb.ApplyCatalogRequest(document=text, expected_revision=1, validate_only=True)
    return request.SerializeToString()


def sized(name: str, method: str, field: str, make: Callable[[int], bytes]) -> Limit:
    value = getattr(limits, name)
    return Limit(name, method, lambda size: make(int(size)), field, value, value + 1)


def magnitude(method: str, field: str, make: Callable[[float], bytes], sign: float = 1.0) -> Limit:
    value = sign * limits.NUMBER_MAGNITUDE
    return Limit("NUMBER_MAGNITUDE", method, make, field, value, math.nextafter(value, sign * math.inf))


DECIDE, BATCH, RECORD, APPLY = (
    "OfferService/Decide",
    "OfferService/BatchDecide",
    "OfferService/RecordFeedback",
    "CatalogService/ApplyCatalog",
)
MERGE, FREEZE = "OfferService/MergeVisitor", "CatalogService/SetLearning"


def of_decide() -> Iterator[Limit]:
    names: dict[str, Callable[[int], bytes]] = {
        "visitor.visitor_id": lambda n: decide(visitor=pb.Visitor(visitor_id="v" * n)),
        "request_id": lambda n: decide(request_id="r" * n),
        "context.categories": lambda n: decide(context=pb.Features(categories={"n" * n: ""})),
        "context.categories['n']": lambda n: decide(context=pb.Features(categories={"n": "v" * n})),
        "context.numbers": lambda n: decide(context=pb.Features(numbers={"n" * n: 1.0})),
        "context.tags['t']": lambda n: decide(context=pb.Features(tags={"t": pb.Tags(values=["v" * n])})),
        "candidates[0].offer_id": lambda n: decide(candidates=[pb.Candidate(offer_id="o" * n)]),
        "exclude_offer_ids[0]": lambda n: decide(exclude_offer_ids=["o" * n]),
    }
    for field, make in names.items():
        yield sized("NAME_BYTES", DECIDE, field, make)
    yield sized("CONTEXT_FEATURES", DECIDE, "context", lambda n: decide(context=features(n)))
    yield sized(
        "CONTEXT_FEATURES",
        DECIDE,
        "context",
        lambda n: decide(context=pb.Features(tags={"t": pb.Tags(values=[str(i) for i in range(n)])})),
    )
    own = pb.Candidate
    yield sized(
        "OFFER_FEATURES",
        DECIDE,
        "candidates[0].attributes",
        lambda n: decide(candidates=[own(offer_id="o", attributes=features(n))]),
    )
    yield sized("CANDIDATES", DECIDE, "candidates", lambda n: decide(candidates=candidates(n)))
    yield sized("EXCLUDED_OFFERS", DECIDE, "exclude_offer_ids", lambda n: decide(exclude_offer_ids=["o"] * n))
    yield sized(
        "MESSAGE_BYTES", DECIDE, "DecideRequest", lambda n: padded(pb.DecideRequest(placement="lot"), n)
    )
    for sign in (1.0, -1.0):
        yield magnitude(
            DECIDE,
            "context.numbers['n']",
            lambda value: decide(context=pb.Features(numbers={"n": value})),
            sign,
        )


def of_other_calls() -> Iterator[Limit]:
    home = pb.DecideRequest(placement="lot")
    yield sized(
        "BATCH_DECISIONS",
        BATCH,
        "requests",
        lambda n: pb.BatchDecideRequest(requests=[home] * n).SerializeToString(),
    )
    yield sized("BATCH_BYTES", BATCH, "BatchDecideRequest", lambda n: padded(pb.BatchDecideRequest(), n))
    yield sized(
        "BATCH_BYTES", RECORD, "RecordFeedbackRequest", lambda n: padded(pb.RecordFeedbackRequest(), n)
    )
    yield sized("BATCH_FEEDBACK", RECORD, "items", lambda n: record(*[feedback()] * n))
    yield sized("NAME_BYTES", RECORD, "source", lambda n: record(feedback(), source="s" * n))
    yield sized("NAME_BYTES", RECORD, "items[0].feedback_id", lambda n: record(feedback(feedback_id="f" * n)))
    yield sized(
        "NAME_BYTES",
        RECORD,
        "items[0].retracts_feedback_id",
        lambda n: record(feedback(retracts_feedback_id="r" * n)),
    )
    yield sized(
        "NAME_BYTES",
        RECORD,
        "items[0].visitor_placement.visitor_id",
        lambda n: record(
            feedback(visitor_placement=pb.VisitorPlacement(visitor_id="v" * n, placement="lot"))
        ),
    )
    for sign in (1.0, -1.0):
        yield magnitude(RECORD, "items[0].value", lambda value: record(feedback(value=value)), sign)
    yield sized(
        "NAME_BYTES",
        MERGE,
        "from_visitor_id",
        lambda n: pb.MergeVisitorRequest(from_visitor_id="v" * n, into_visitor_id="w").SerializeToString(),
    )
    freeze = catalog_pb.SetLearningRequest
    yield sized("REASON_BYTES", FREEZE, "reason", lambda n: freeze(reason="r" * n).SerializeToString())
    yield sized("ACTOR_BYTES", FREEZE, "actor", lambda n: freeze(actor="a" * n).SerializeToString())


def of_catalogs() -> Iterator[Limit]:
    for name, field, text in (
        ("WINDOW_MAX_S", "window", "window: {}s"),
        ("GRACE_MAX_S", "grace", "trust_occur_time: true, grace: {}s"),
        ("REPEAT_S", "sticky_for", "sticky_for: {}s"),
    ):
        yield sized(name, APPLY, field, partial(document, text))
    below = limits.WINDOW_MIN_S - 1
    yield Limit("WINDOW_MIN_S", APPLY, partial(document, "window: {}s"), "window", limits.WINDOW_MIN_S, below)
    under = math.nextafter(limits.FLOOR_LEAST, 0.0)
    yield Limit("FLOOR_LEAST", APPLY, partial(document, "floor: {!r}"), "floor", limits.FLOOR_LEAST, under)
    head, tail = "version: 1\n#", "\noffers: [{id: a, type: MESSAGE}]\nplacements: []\n"
    yield sized(
        "DOCUMENT_BYTES", APPLY, "document", lambda n: apply(head + "x" * (n - len(head) - len(tail)) + tail)
    )


def document(placement: str, value: float) -> bytes:
    """Return a catalog to be validated whose placement has a setting."""
    return apply(
        "offers: [{id: a, type: MESSAGE}]\nplacements: [{id: p, offers: [a], policy: uniform, baseline: [a], "
        + placement.format(value)
        + "}]\n"
    )


LIMITS: Final = (*of_decide(), *of_other_calls(), *of_catalogs())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeService]:
    """One service for all limits."""
    made = WholeService(tmp_path_factory.mktemp("limits"), CATALOG, seed=1)
    yield made
    assert made.log.events == []
    made.close()


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.label)
def test_a_limit_is_inclusive_and_one_more_is_refused_by_name(service: WholeService, limit: Limit) -> None:
    """Taken at n; at n + 1, or the next number beyond, refused with the field."""
    taken = service.call(limit.method, limit.make(limit.value))
    assert taken.is_ok, taken
    assert problem(limit, taken) == ""
    refused = service.call(limit.method, limit.make(limit.above))
    assert limit.field in problem(limit, refused), refused


def problem(limit: Limit, answer: Answer) -> str:
    """Return what was wrong with a call or its only item; empty where nothing was."""
    if not answer.is_ok:
        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT, answer
        return answer.message
    if limit.method != RECORD:
        return ""
    return "".join(result.message for result in pb.RecordFeedbackResponse.FromString(answer.data).results)


def test_every_limit_there_is_has_a_test() -> None:
    """Here, or where it belongs: a new limit without one fails."""
    there = {name for name in vars(limits) if name.isupper()}
    here = {limit.name for limit in LIMITS}
    assert there - here == ELSEWHERE.keys()
    for name, path in ELSEWHERE.items():
        assert name in (REPOSITORY / path).read_text(), f"{path} does not try {name}"
