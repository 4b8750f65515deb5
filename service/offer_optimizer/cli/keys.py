"""`offer-optimizer keys`: make keys for callers, and see which there are.

A key is shown once and kept nowhere: the file holds hashes only. A running service
takes a changed file within a second.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
import yaml
from rich.console import Console
from rich.table import Table

from offer_optimizer.app.clocks import entropy
from offer_optimizer.app.keys import read_keys
from offer_optimizer.core.access import Key, Role, make_key
from offer_optimizer.core.errors import CannotStart
from offer_optimizer.store.files import Files

keys_app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make keys for callers, and see which there are.",
)
FILE_MODE: Final = 0o600


@keys_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is, as the audit log will say.")],
    role: Annotated[list[Role], typer.Option(help="What it is good for; may be repeated.")],
    file: Annotated[
        Path, typer.Option(help="Keys file; made when it is missing.", envvar="OFFER_OPTIMIZER_KEYS")
    ],
    placement: Annotated[
        list[str] | None, typer.Option(help="Only for this placement; may be repeated.")
    ] = None,
) -> None:
    """Make a key, add its hash to the file, and print the key itself once, on standard output."""
    keys = _read(file) if file.exists() else ()
    if any(key.name == name for key in keys):
        _fail(f"{file}: there is a key named {name!r} already")
    text, key = make_key(entropy, name, role, placement or ())
    _write(file, (*keys, key))
    print(text)
    print(f"Added to {file}. Keep the key: it can't be shown again.", file=sys.stderr)


@keys_app.command("list")
def list_keys(
    file: Annotated[Path, typer.Option(help="Keys file.", envvar="OFFER_OPTIMIZER_KEYS")],
) -> None:
    """Show whose keys there are and what they are good for."""
    table = Table("name", "roles", "placements", "calls/s", "known by")
    for key in _read(file):
        known_by = f"key {key.id}" if key.id else ""
        known_by += f"{' or ' if key.id and key.certificate else ''}"
        known_by += f"certificate {key.certificate}" if key.certificate else ""
        rate = "" if key.calls_per_second is None else f"{key.calls_per_second:g}"
        table.add_row(key.name, " ".join(key.roles), " ".join(key.placements) or "all", rate, known_by)
    Console().print(table)


@keys_app.command()
def remove(
    name: Annotated[str, typer.Argument(help="Whose key goes.")],
    file: Annotated[Path, typer.Option(help="Keys file.", envvar="OFFER_OPTIMIZER_KEYS")],
) -> None:
    """Take a key away: within a second no call with it is served."""
    keys = _read(file)
    kept = tuple(key for key in keys if key.name != name)
    if len(kept) == len(keys):
        _fail(f"{file}: there is no key named {name!r}")
    _write(file, kept)
    print(f"Removed {name} from {file}.", file=sys.stderr)


def _read(file: Path) -> tuple[Key, ...]:
    try:
        return read_keys(file)
    except CannotStart as error:
        _fail(str(error))


def _write(file: Path, keys: tuple[Key, ...]) -> None:
    entries: list[dict[str, Any]] = [
        key.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for key in keys
    ]
    text = yaml.safe_dump({"keys": entries}, sort_keys=False, allow_unicode=True)
    Files().replace(file, text.encode(), "keys", FILE_MODE)


def _fail(line: str) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    raise typer.Exit(1)
