"""Calls that operators make from the command line: who asks, what goes wrong, and how it is said.

Knows no single verb. What is for pipes goes to standard output elsewhere; all that is said here goes to
standard error.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NoReturn, TypeVar

import grpc
import typer
from rich.console import Console
from rich.text import Text

from offer_optimizer.cli.target import channel_to
from offer_optimizer.v1 import catalog_service_pb2_grpc, insight_service_pb2_grpc

Reply = TypeVar("Reply")

Target = Annotated[str, typer.Option(help="HOST:PORT of the service.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")]
Reason = Annotated[str, typer.Option(help="Why, for the ledger.")]
LOCAL: Final = "127.0.0.1:50051"
TIMEOUT_S: Final = 10.0


@contextmanager
def stubs(target: str) -> Iterator[tuple[Any, Any]]:
    """Yield stubs of CatalogService and InsightService at an address."""
    with channel_to(target) as channel:
        yield (
            catalog_service_pb2_grpc.CatalogServiceStub(channel),
            insight_service_pb2_grpc.InsightServiceStub(channel),
        )


def call(rpc: Callable[[], Reply], target: str, timeout_s: float) -> Reply:
    """Return the reply of an RPC; say in one line what is wrong and exit with 1 when there is none."""
    try:
        return rpc()
    except grpc.RpcError as error:
        explain(error.code(), error.details() or "", target, timeout_s)


def explain(code: grpc.StatusCode, details: str, target: str, timeout_s: float) -> NoReturn:
    """Say why a call failed, and exit with 1."""
    if code is grpc.StatusCode.UNAVAILABLE and "storage" not in details:
        fail(f"{target}: no service answers there; is it running, and is --target right?")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        fail(f"{target}: no answer within {timeout_s:g} s; look with `offer-optimizer ledger tail`")
    if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
        fail(f"{target}: {details}")
    fail(f"{target}: {code.name}: {details}")


def local_user() -> str:
    """Return who asks, as the ledger keeps it."""
    try:
        return f"local user {getpass.getuser()}"
    except (KeyError, OSError):
        return "a local user without a name"


def parse_time(text: str, option: str) -> datetime:
    """Return an instant out of an ISO 8601 text; without a zone it is UTC. Exits with 1."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option}: must be a time like 2026-03-01T09:30 or 2026-03-01T09:30+01:00 (is {text[:40]!r})")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def say(line: str, style: str) -> None:
    """Print a line for people."""
    # Built as Text: square brackets in ids are no markup.
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(line, style=style))


def fail(line: str) -> NoReturn:
    """Say what is wrong, and exit with 1."""
    say(line, "bold red")
    raise typer.Exit(1)
