"""The `offer-optimizer` command: a table of commands, each imported only when it is run.

`--help` therefore loads neither gRPC nor a policy. A command module exports a function or a typer app;
this module knows nothing of what they do. An error that we raise on purpose is one line, not a traceback.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from offer_optimizer import __version__
from offer_optimizer.core.errors import OfferOptimizerError


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command lives: `module` of this package, and the `attribute` that is it.

    The module has the command's name, or `file` where that is a word of Python.
    """

    name: str
    attribute: str
    summary: str
    file: str = ""

    @property
    def module(self) -> str:
        """Return the full name of the module."""
        return f"offer_optimizer.cli.{self.file or self.name}"


COMMANDS: Final = (
    Command("serve", "serve", "Run the service: deciders, learner and all."),
    Command("demo", "demo", "Watch the real service learn a simulated shop."),
    Command("drive", "drive", "Push a randomised test from a CSV file through a running service."),
    Command("catalog", "catalog_app", "Validate, show, compare and apply catalogs."),
    Command("offer", "offer_app", "Take one offer off every page, now."),
    Command("learning", "learning_app", "Stop and resume learning."),
    Command("rollback", "rollback", "Go back to an earlier model, within a second."),
    Command("quarantine", "quarantine", "Leave an interval out of all learning."),
    Command("clock", "clock_app", "Accept a jump of the server's clock."),
    Command("ledger", "ledger_app", "Look inside the ledger of a data directory."),
    Command("report", "report", "Say what placements earned, what was added, and what offers are worth."),
    Command("replay", "replay", "Say what other policies would have earned on a log, with intervals."),
    Command("explain", "explain", "Tell the whole story of one past decision."),
    Command("rebuild", "rebuild", "Derive models again from the ledger, and compare."),
    Command("retention", "retention_app", "Move old days out of the ledger into an archive."),
    Command("backup", "backup", "Copy a data directory beside the running service."),
    Command("verify", "verify", "Derive every logged decision again, and report what does not agree."),
    Command("keys", "keys_app", "Make keys for callers, and see which there are."),
    Command("audit", "audit", "Say who changed what through the API."),
    Command("export", "export", "Write a log as dsjson for Vowpal Wabbit, or as OBP's feedback."),
    Command("import", "import_log", "Begin a data directory with the log of another system.", "import_log"),
    Command("status", "status", "Say how the learning loop is: alarms first, each with what to do."),
    Command("health", "health", "Ask a running service whether it is ready."),
)


class Forwarded(TyperCommand):
    """A command that leaves everything behind its name, `--help` and `--` included, to somebody else."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's own type is private)
        """Keep the arguments as they were written."""
        ctx.args = list(args)
        return list(args)


def build_app() -> typer.Typer:
    """Build the root with every command of the table mounted, none imported."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(describe)
    for command in COMMANDS:
        mount(app, command)
    return app


def describe(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=show_version)
    ] = False,
) -> None:
    """Pick what to show each visitor, and learn from what the visitor does."""


def show_version(on: bool) -> None:
    """Print the version and exit, when asked to."""
    if on:
        print(f"offer-optimizer {__version__}")
        raise typer.Exit


def mount(app: typer.Typer, command: Command) -> None:
    """Add a command that imports the real one when it is called, and hands it its arguments."""

    @app.command(command.name, cls=Forwarded, help=command.summary, add_help_option=False)
    def forward(context: typer.Context) -> None:
        load(command)(args=list(context.args), prog_name=context.command_path)


def load(command: Command) -> typer.Typer:
    """Import a command and return it as a typer app of its own."""
    found = getattr(importlib.import_module(command.module), command.attribute)
    if isinstance(found, typer.Typer):
        return found
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(found)
    return app


def main() -> None:
    """Run the command line; exit with 1 and one plain message on an error of ours."""
    try:
        build_app()()
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
