"""`offer-optimizer health`: the probe of containers and scripts. It speaks grpc.health.v1 alone."""

from __future__ import annotations

import sys
from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from offer_optimizer.cli.target import channel_to


def health(
    target: Annotated[str, typer.Option(help="HOST:PORT of the service.")] = "127.0.0.1:50051",
    service: Annotated[
        str,
        typer.Option(help="What to ask for: a gRPC service, `liveness`, or nothing for all of it."),
    ] = "",
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")] = 2.0,
) -> None:
    """Ask a running service whether it is ready: exit 0 if it is, 1 if not or if nothing answers."""
    ready, answer = probe(target, service, timeout_s)
    print(answer, file=sys.stdout if ready else sys.stderr)
    if not ready:
        raise typer.Exit(1)


def probe(target: str, service: str, timeout_s: float) -> tuple[bool, str]:
    """Return whether `service` at `target` is serving, and a line for people."""
    with channel_to(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(  # type: ignore[attr-defined]  # types-grpcio declares no methods here
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_s, wait_for_ready=True
            )
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return False, f"{target}: no answer within {timeout_s:g} s"
            if code is grpc.StatusCode.NOT_FOUND:
                return False, f"{target}: knows no service {service!r}"
            return False, f"{target}: {code.name}"
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    return reply.status == health_pb2.HealthCheckResponse.SERVING, f"{target}: {status}"
