"""`offer-optimizer offer`: the operator's verbs for one offer, acting within a second and without a restart.

Always holds: the service changes its own catalog, so that nothing is lost that somebody applied meanwhile;
the file under version control has to be changed too, and the command says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, NoReturn

import grpc
import typer
from rich.console import Console
from rich.text import Text

from offer_optimizer.cli.target import channel_to
from offer_optimizer.v1 import catalog_service_pb2, catalog_service_pb2_grpc

offer_app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Take one offer off every page, now.",
)


@offer_app.callback()
def describe() -> None:
    """Take one offer off every page, now."""


@offer_app.command()
def disable(
    offer_id: Annotated[str, typer.Argument(metavar="ID", help="The offer, as the catalog names it.")],
    target: Annotated[str, typer.Option(help="HOST:PORT of the service.")] = "127.0.0.1:50051",
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")] = 10.0,
) -> None:
    """Pause an offer: no page shows it from about a second on. Write it into the catalog file as well."""
    request = catalog_service_pb2.DisableOfferRequest(offer_id=offer_id)
    try:
        with _stub(target) as stub:
            done = stub.DisableOffer(request, timeout=timeout_s)
    except grpc.RpcError as error:
        _explain(error.code(), error.details() or "", target, timeout_s)
    _say(f"{offer_id} is off: revision {done.revision} is in force", "green")
    _say(f"Write `status: PAUSED` into the catalog file too, or the next apply puts {offer_id} back.", "dim")


@contextmanager
def _stub(target: str) -> Iterator[Any]:
    with channel_to(target) as channel:
        yield catalog_service_pb2_grpc.CatalogServiceStub(channel)


def _explain(code: grpc.StatusCode, details: str, target: str, timeout_s: float) -> NoReturn:
    if code is grpc.StatusCode.UNAVAILABLE and "storage" not in details:
        _fail(f"{target}: no service answers there; is it running, and is --target right?")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        _fail(f"{target}: no answer within {timeout_s:g} s; look with `offer-optimizer catalog show`")
    if code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
        _fail(f"{target}: {details}")
    _fail(f"{target}: {code.name}: {details}")


def _say(line: str, style: str) -> None:
    # Built as Text: square brackets in ids are no markup.
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(line, style=style))


def _fail(line: str) -> NoReturn:
    _say(line, "bold red")
    raise typer.Exit(1)
