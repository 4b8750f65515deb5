"""`offer-optimizer catalog`: validate, show, compare and apply catalog documents.

Always holds: a document is validated here before a server sees it, so all its defects are shown at once;
what goes wrong is said in lines for people, with exit status 1. Output for pipes (`show`, the lines of a
diff) goes to standard output as it is, all else to standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import grpc
import typer
from rich.console import Console
from rich.text import Text

from offer_optimizer.cli.target import channel_to
from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.catalog_diff import diff_catalogs
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.errors import InvalidCatalog
from offer_optimizer.v1 import catalog_service_pb2, catalog_service_pb2_grpc

catalog_app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Validate, show, compare and apply catalogs.",
)

File = Annotated[Path, typer.Argument(help="The catalog, a YAML file.", show_default=False)]
Target = Annotated[str, typer.Option(help="HOST:PORT of the service.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait.")]
_LOCAL: Final = "127.0.0.1:50051"
_TIMEOUT_S: Final = 10.0
_METADATA_BYTES: Final = 256 * 1024
"""Room for the problems of a refused document, which travel in the status; gRPC's own is 8 KiB."""

_COLORS: Final = {"added": "green", "removed": "red"}


@catalog_app.command()
def validate(file: File) -> None:
    """Check a file without a server: exit 0 if it could be put in force, 1 with all its defects if not."""
    catalog = _parse(_read(file), str(file))
    counts = f"{len(catalog.offers)} offers, {len(catalog.placements)} placements, {len(catalog.kinds)} kinds"
    _say(f"{file}: valid ({counts})", "green")


@catalog_app.command()
def show(
    target: Target = _LOCAL,
    revision: Annotated[int, typer.Option(min=0, help="A revision; 0 is the one in force.")] = 0,
    timeout_s: Timeout = _TIMEOUT_S,
) -> None:
    """Print a catalog as it was applied: the one in force, or an older one."""
    found = _get(target, revision, timeout_s)
    applied = found.apply_time.ToDatetime().isoformat(timespec="seconds")
    _say(f"revision {found.revision}, applied {applied}Z", "dim")
    print(found.document, end="" if found.document.endswith("\n") else "\n")


@catalog_app.command()
def diff(file: File, target: Target = _LOCAL, timeout_s: Timeout = _TIMEOUT_S) -> None:
    """Print what applying a file would change; nothing is changed."""
    new = _parse(_read(file), str(file))
    found = _get(target, 0, timeout_s)
    changes = diff_catalogs(_parse(found.document, f"the catalog in force at {target}"), new)
    _print_changes(changes)
    _say(f"{_counted(changes)} to revision {found.revision}", "dim")


@catalog_app.command()
def apply(
    file: File,
    target: Target = _LOCAL,
    expected_revision: Annotated[
        int | None,
        typer.Option(min=0, help="Refuse unless this revision is in force. Left out: the one in force now."),
    ] = None,
    timeout_s: Timeout = _TIMEOUT_S,
) -> None:
    """Put a file in force, whole or not at all, and print what that changed."""
    document = _read(file)
    _parse(document, str(file))
    before = _get(target, 0, timeout_s).revision if expected_revision is None else expected_revision
    request = catalog_service_pb2.ApplyCatalogRequest(document=document, expected_revision=before)
    with _stub(target) as stub:
        done = _call(lambda: stub.ApplyCatalog(request, timeout=timeout_s), target, timeout_s)
    _print_changes(tuple(done.changes))
    if done.revision == before:
        _say(f"nothing changed: revision {done.revision} stays in force", "dim")
    else:
        _say(f"revision {done.revision} is in force ({_counted(tuple(done.changes))})", "green")


def _read(file: Path) -> str:
    try:
        # One byte more than allowed is enough to see that it is too long.
        with file.open("rb") as source:
            data = source.read(limits.DOCUMENT_BYTES + 1)
    except OSError as error:
        _fail(f"{file}: can't be read: {error.strerror}")
    if len(data) > limits.DOCUMENT_BYTES:
        _fail(f"{file}: over {limits.DOCUMENT_BYTES} bytes, the most a catalog may have")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _fail(f"{file}: line {line}: is not UTF-8; save the file in that encoding")


def _parse(document: str, name: str) -> Catalog:
    from offer_optimizer.policy.registry import describe

    try:
        return parse_catalog(document, describe)
    except InvalidCatalog as error:
        _fail(f"{name}: not valid", *error.problems)


def _get(target: str, revision: int, timeout_s: float) -> catalog_service_pb2.GetCatalogResponse:
    request = catalog_service_pb2.GetCatalogRequest(revision=revision)
    with _stub(target) as stub:
        reply = _call(lambda: stub.GetCatalog(request, timeout=timeout_s), target, timeout_s)
    assert isinstance(reply, catalog_service_pb2.GetCatalogResponse)  # the stub decoded it
    return reply


@contextmanager
def _stub(target: str) -> Iterator[Any]:
    options = [
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
    ]
    with channel_to(target, options) as channel:
        yield catalog_service_pb2_grpc.CatalogServiceStub(channel)


def _call(rpc: Callable[[], Any], target: str, timeout_s: float) -> Any:  # noqa: ANN401  (any reply)
    """Return the reply of an RPC; say what is wrong and exit when there is none."""
    try:
        return rpc()
    except grpc.RpcError as error:
        _explain(error.code(), error.details() or "", target, timeout_s)


def _explain(code: grpc.StatusCode, details: str, target: str, timeout_s: float) -> NoReturn:
    if code is grpc.StatusCode.UNAVAILABLE:
        _fail(f"{target}: no service answers there; is it running, and is --target right?")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        _fail(f"{target}: no answer within {timeout_s:g} s")
    if code is grpc.StatusCode.ABORTED:
        _fail(
            f"{target}: somebody else changed the catalog first ({details})",
            "Nothing was applied. Look with `offer-optimizer catalog diff`, then apply again.",
        )
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        _fail(f"{target}: the service refuses this catalog", *details.splitlines())
    _fail(f"{target}: {code.name}: {details}")


def _counted(changes: tuple[str, ...]) -> str:
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}"


def _print_changes(changes: tuple[str, ...]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for change in changes:
        console.print(Text(change, style=_COLORS.get(change.rpartition(": ")[2], "yellow")))


def _say(line: str, style: str) -> None:
    # Built as Text: square brackets in file names and problems are no markup.
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(line, style=style))


def _fail(headline: str, *lines: str) -> NoReturn:
    _say(headline, "bold red")
    for line in lines:
        _say(f"  {line}", "")
    raise typer.Exit(1)
