"""docs/operations.md knows every setting, command, error reason and log event; nothing is undocumented."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import typer.main

from offer_optimizer.api.status import ErrorReason
from offer_optimizer.cli.main import COMMANDS, load
from tests.conftest import REPOSITORY

SERVICE = REPOSITORY / "service" / "offer_optimizer"


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """Everything that the document sets in code."""
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    return set(re.findall(r"`([^`\n]+)`", text))


def test_every_option_and_variable_of_serve_is_documented(documented: set[str]) -> None:
    """As the command itself declares them."""
    (command,) = (command for command in COMMANDS if command.name == "serve")
    parameters = typer.main.get_command(load(command)).params
    wanted = {name for one in parameters for name in (*one.opts, *one.secondary_opts)} - {"--help"}
    wanted |= {one.envvar for one in parameters if isinstance(one.envvar, str)}
    assert "OFFER_OPTIMIZER_DATA" in wanted
    assert wanted - documented == set()


def test_every_variable_of_the_environment_is_documented(documented: set[str]) -> None:
    """Those of commands and client too; the client puts a prefix before some."""
    wanted = set()
    for path in SERVICE.rglob("*.py"):
        text = path.read_text()
        wanted |= set(re.findall(r'"(OFFER_OPTIMIZER_[A-Z_]+)"', text))
        wanted |= {f"OFFER_OPTIMIZER_{name}" for name in re.findall(r'\bcontent\("([A-Z_]+)"\)', text)}
    assert "OFFER_OPTIMIZER_CLIENT_KEY" in wanted
    assert wanted - documented == set()


def test_every_command_is_documented(documented: set[str]) -> None:
    """By the table of the command line."""
    assert {command.name for command in COMMANDS} - documented == set()


def test_every_error_reason_is_documented(documented: set[str]) -> None:
    """Callers switch on them."""
    assert {reason.value for reason in ErrorReason} - documented == set()


def test_every_event_of_the_log_is_documented(documented: set[str]) -> None:
    """An operator looks up what the log says."""
    events = set(logged_events())
    assert "learner_round_failed" in events
    assert events - documented == set()


def logged_events() -> Iterator[str]:
    """Yield the first argument of each call of a logger's method."""
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("info", "warning", "error", "critical")
                and ast.unparse(node.func.value).endswith("log")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value)
