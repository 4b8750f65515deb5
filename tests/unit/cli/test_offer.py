"""`offer-optimizer offer` against a service played by a fake stub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from offer_optimizer.cli import offer as command
from offer_optimizer.v1 import catalog_service_pb2


class Refusal(grpc.RpcError):
    """What a call raises."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        self._answer = (code, details)

    def code(self) -> grpc.StatusCode:
        return self._answer[0]

    def details(self) -> str:
        return self._answer[1]


class Service:
    """A CatalogService that disables any offer as revision 8, unless it has a `refusal`."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.asked: list[tuple[str, str, float]] = []
        self.target = ""

    def DisableOffer(
        self, request: catalog_service_pb2.DisableOfferRequest, timeout: float
    ) -> catalog_service_pb2.DisableOfferResponse:
        if self.refusal:
            raise self.refusal
        self.asked.append((self.target, request.offer_id, timeout))
        return catalog_service_pb2.DisableOfferResponse(revision=8)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    fake = Service()

    @contextmanager
    def stub(target: str) -> Iterator[Any]:
        fake.target = target
        yield fake

    monkeypatch.setattr(command, "_stub", stub)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.offer_app, list(arguments))


def test_disable_asks_the_service_and_says_what_is_left_to_do(service: Service) -> None:
    result = run("disable", "coupon-20", "--target", "shop:1", "--timeout", "2")
    assert result.exit_code == 0
    assert service.asked == [("shop:1", "coupon-20", 2.0)]
    assert "coupon-20 is off: revision 8 is in force" in result.output
    assert "Write `status: PAUSED` into the catalog file too" in result.output


@pytest.mark.parametrize(
    ("code", "details", "said"),
    [
        (grpc.StatusCode.NOT_FOUND, "offer 'x' is not in the catalog", "shop:1: offer 'x' is not in the"),
        (grpc.StatusCode.UNAVAILABLE, "", "no service answers there"),
        (grpc.StatusCode.UNAVAILABLE, "storage did not take the write", "storage did not take the write"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", "no answer within 10 s"),
        (grpc.StatusCode.UNIMPLEMENTED, "not served", "UNIMPLEMENTED: not served"),
    ],
)
def test_a_refusal_is_one_line_and_exit_status_one(
    service: Service, code: grpc.StatusCode, details: str, said: str
) -> None:
    service.refusal = Refusal(code, details)
    result = run("disable", "x", "--target", "shop:1")
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1
