"""The gate: every RPC has a role, and what a key is not good for is refused before the handler runs."""

from __future__ import annotations

import grpc
import pytest

from offer_optimizer.api.access import ROLES, Gate
from offer_optimizer.api.server import CATALOG_SERVICE, INSIGHT_SERVICE, OFFER_SERVICE
from offer_optimizer.core.access import Key, KeyRing, Role, make_key
from offer_optimizer.core.errors import Forbidden, InvalidInput, KeyLimit, StorageUnavailable, Unauthenticated
from offer_optimizer.v1 import offer_service_pb2 as pb


class Call:
    """The part of a ServicerContext that the gate looks at."""

    def __init__(self, key: str = "") -> None:
        self._key = key

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("user-agent", "test"), ("authorization", f"Bearer {self._key}")) if self._key else ()

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"


class Notes(list[tuple[str, str, str]]):
    """An audit log in memory."""

    def note(self, actor: str, peer: str, call: str, verdict: str) -> None:
        assert peer
        self.append((actor, call, verdict))


TEXT, KEY = make_key(lambda count: bytes(range(count)), "shop", list(Role), ["home"])


def gate(key: Key = KEY, notes: Notes | None = None) -> Gate:
    ring = KeyRing([key])
    return Gate(lambda: ring, Notes() if notes is None else notes, lambda: 0.0)


def echo(data: bytes, _context: object) -> bytes:
    return data


def decide(placement: str) -> bytes:
    return pb.DecideRequest(placement=placement).SerializeToString()


def test_every_rpc_has_a_role() -> None:
    services = (OFFER_SERVICE, CATALOG_SERVICE, INSIGHT_SERVICE)
    assert {f"{service.name}.{method.name}" for service in services for method in service.methods} == set(
        ROLES
    )


def test_a_call_with_a_good_key_reaches_its_handler() -> None:
    data = decide("home")
    assert gate().guard(echo, "OfferService.Decide")(data, Call(TEXT)) == data  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_call_without_a_key_reaches_none(name: str) -> None:
    def never(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        raise AssertionError("the handler was reached")

    with pytest.raises(Unauthenticated):
        gate().guard(never, name)(b"", Call())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("OfferService.Decide", decide("cart")),
        (
            "OfferService.BatchDecide",
            pb.BatchDecideRequest(
                requests=[pb.DecideRequest(placement="home"), pb.DecideRequest(placement="cart")]
            ).SerializeToString(),
        ),
        (
            "OfferService.RecordFeedback",
            pb.RecordFeedbackRequest(
                items=[pb.Feedback(visitor_placement=pb.VisitorPlacement(visitor_id="v", placement="cart"))]
            ).SerializeToString(),
        ),
        ("CatalogService.ApplyCatalog", b""),
        ("CatalogService.GetCatalog", b""),
        ("InsightService.GetLoopHealth", b""),
        ("OfferService.EraseVisitor", b""),
    ],
    ids=["decide", "batch", "feedback", "apply", "catalog", "health", "erase"],
)
def test_a_key_for_one_placement_is_refused_elsewhere(name: str, data: bytes) -> None:
    with pytest.raises(Forbidden):
        gate().guard(echo, name)(data, Call(TEXT))  # type: ignore[arg-type]


def test_an_answer_about_another_placement_is_withheld() -> None:
    def explain(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        return pb.ExplainResponse(placement="cart").SerializeToString()

    with pytest.raises(Forbidden):
        gate().guard(explain, "OfferService.Explain")(b"", Call(TEXT))  # type: ignore[arg-type]


def test_garbage_is_left_to_the_handler_to_name() -> None:
    assert gate().guard(echo, "OfferService.Decide")(b"\xff", Call(TEXT)) == b"\xff"  # type: ignore[arg-type]


def test_a_key_that_calls_too_often_is_refused() -> None:
    guarded = gate(KEY.model_copy(update={"calls_per_second": 2.0})).guard(echo, "OfferService.Decide")
    for _ in range(2):
        guarded(decide("home"), Call(TEXT))  # type: ignore[arg-type]
    with pytest.raises(KeyLimit, match="at most 2 calls a second"):
        guarded(decide("home"), Call(TEXT))  # type: ignore[arg-type]


def test_admin_actions_are_noted_before_and_after_also_where_no_key_is_asked_for() -> None:
    notes = Notes()
    key = KEY.model_copy(update={"placements": ()})
    gate(key, notes).guard(echo, "CatalogService.DisableOffer")(b"", Call(TEXT))  # type: ignore[arg-type]
    Gate(None, notes, lambda: 0.0).guard(echo, "CatalogService.ApplyCatalog")(b"", Call())  # type: ignore[arg-type]
    assert notes == [
        ("shop", "CatalogService.DisableOffer", "asked"),
        ("shop", "CatalogService.DisableOffer", "done"),
        ("no key", "CatalogService.ApplyCatalog", "asked"),
        ("no key", "CatalogService.ApplyCatalog", "done"),
    ]


def test_an_action_that_was_done_is_answered_whether_or_not_its_end_could_be_noted() -> None:
    """Told that nothing was promised, its caller would do it again."""

    class Full(Notes):
        def note(self, actor: str, peer: str, call: str, verdict: str) -> None:
            if verdict != "asked":
                raise StorageUnavailable("full")
            super().note(actor, peer, call, verdict)

    def fail(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        raise InvalidInput("field", "bad")

    gate = Gate(None, Full(), lambda: 0.0)
    assert gate.guard(echo, "CatalogService.ApplyCatalog")(b"x", Call()) == b"x"  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="bad"):
        gate.guard(fail, "CatalogService.ApplyCatalog")(b"", Call())  # type: ignore[arg-type]


def test_a_failed_admin_action_is_noted_as_such() -> None:
    notes = Notes()

    def fail(_data: bytes, _context: grpc.ServicerContext) -> bytes:
        raise InvalidInput("document", "bad")

    with pytest.raises(InvalidInput):
        Gate(None, notes, lambda: 0.0).guard(fail, "CatalogService.ApplyCatalog")(b"", Call())  # type: ignore[arg-type]
    assert notes[-1][2] == "InvalidInput"


def test_without_keys_a_decision_pays_for_no_gate() -> None:
    assert Gate(None, Notes(), lambda: 0.0).guard(echo, "OfferService.Decide") is echo
