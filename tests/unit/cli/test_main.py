"""The root command: what it lists, and that a command gets its arguments as they were written."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from offer_optimizer import __version__
from offer_optimizer.cli import main as root
from offer_optimizer.core.errors import CannotStart


def install(monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, command: object) -> None:
    """Put a fake in the place of a command's module."""
    module = ModuleType(f"offer_optimizer.cli.{name}")
    setattr(module, attribute, command)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(root.build_app(), ["--help"])
    assert result.exit_code == 0
    assert all(command.name in result.output for command in root.COMMANDS)


def test_version_is_printed() -> None:
    result = CliRunner().invoke(root.build_app(), ["--version"])
    assert result.output == f"offer-optimizer {__version__}\n"


def test_a_function_gets_options_and_arguments_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def rebuild(
        data: Annotated[str, typer.Argument()],
        check: bool = False,
        limit: Annotated[int, typer.Option("-n")] = 0,
    ) -> None:
        print(f"data={data} check={check} limit={limit}")

    install(monkeypatch, "rebuild", "rebuild", rebuild)
    for arguments in (["folder", "--check", "-n", "-3"], ["--check", "-n", "-3", "folder"]):
        result = CliRunner().invoke(root.build_app(), ["rebuild", *arguments])
        assert result.output == "data=folder check=True limit=-3\n"
    result = CliRunner().invoke(root.build_app(), ["rebuild", "--check", "--", "--folder"])
    assert result.output == "data=--folder check=True limit=0\n"


def test_a_group_has_its_own_commands_and_help(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = typer.Typer()

    @ledger.command()
    def tail(lines: int = 10) -> None:
        print(f"tail {lines}")

    @ledger.command()
    def show(decision_id: str) -> None:
        print(f"show {decision_id}")

    install(monkeypatch, "ledger", "ledger_app", ledger)
    runner = CliRunner()
    assert runner.invoke(root.build_app(), ["ledger", "tail", "--lines", "3"]).output == "tail 3\n"
    assert "show" in runner.invoke(root.build_app(), ["ledger", "--help"]).output


def test_the_status_of_a_command_is_the_status_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve() -> None:
        raise typer.Exit(7)

    install(monkeypatch, "serve", "serve", serve)
    assert CliRunner().invoke(root.build_app(), ["serve"]).exit_code == 7
    assert CliRunner().invoke(root.build_app(), ["serve", "--no-such-option"]).exit_code == 2


def test_an_error_of_ours_is_one_plain_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve() -> None:
        raise CannotStart("another server uses this directory")

    install(monkeypatch, "serve", "serve", serve)
    monkeypatch.setattr(sys, "argv", ["offer-optimizer", "serve"])
    with pytest.raises(SystemExit) as stopped:
        root.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: another server uses this directory\n"


@pytest.mark.parametrize("command", root.COMMANDS, ids=lambda command: command.name)
def test_every_command_of_the_table_exists_and_explains_itself(command: root.Command) -> None:
    result = CliRunner().invoke(root.build_app(), [command.name, "--help"])
    assert result.exit_code == 0, result.exception
    assert f"{command.name}" in result.output
