"""`offer-optimizer catalog` against a service played by a fake stub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from offer_optimizer.cli import catalog as command
from offer_optimizer.core import limits
from offer_optimizer.v1 import catalog_service_pb2

DOCUMENT = "offers: [{id: a, type: MESSAGE}]\nplacements: [{id: p, offers: [a]}]\n"
CHANGED = DOCUMENT.replace("MESSAGE", "COUPON")


class Refusal(grpc.RpcError):
    """What a call raises."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        self._answer = (code, details)

    def code(self) -> grpc.StatusCode:
        return self._answer[0]

    def details(self) -> str:
        return self._answer[1]


class Service:
    """A CatalogService with DOCUMENT in force as revision 7; `refusal` is raised by every call."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.applied: list[catalog_service_pb2.ApplyCatalogRequest] = []
        self.changes: tuple[str, ...] = ("offer a: type MESSAGE -> COUPON",)

    def GetCatalog(
        self, request: catalog_service_pb2.GetCatalogRequest, timeout: float
    ) -> catalog_service_pb2.GetCatalogResponse:
        if self.refusal:
            raise self.refusal
        reply = catalog_service_pb2.GetCatalogResponse(revision=request.revision or 7, document=DOCUMENT)
        reply.apply_time.FromJsonString("2026-01-02T03:04:05Z")
        return reply

    def ApplyCatalog(
        self, request: catalog_service_pb2.ApplyCatalogRequest, timeout: float
    ) -> catalog_service_pb2.ApplyCatalogResponse:
        if self.refusal:
            raise self.refusal
        self.applied.append(request)
        return catalog_service_pb2.ApplyCatalogResponse(revision=7 + bool(self.changes), changes=self.changes)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    fake = Service()

    @contextmanager
    def stub(target: str) -> Iterator[Any]:
        yield fake

    monkeypatch.setattr(command, "_stub", stub)
    return fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_text(CHANGED)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command.catalog_app, [str(argument) for argument in arguments])


def failed(result: Result) -> str:
    """Return what a failed command said; fail if it succeeded or ended with a traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    return result.stderr


def test_a_valid_file_is_called_valid_with_its_size(file: Path) -> None:
    result = run("validate", file)
    assert result.exit_code == 0
    assert "valid (1 offers, 1 placements, 0 kinds)" in result.stderr


def test_all_defects_of_a_file_are_shown_as_they_are(file: Path) -> None:
    file.write_text(DOCUMENT.replace("[a]}", "[z], policy: wv}"))
    said = failed(run("validate", file))
    assert 'line 2, placement "p", field "offers": there is no offer "z"' in said
    assert "policy.name: 'wv'" in said


def test_markup_in_a_document_is_shown_and_not_obeyed(file: Path) -> None:
    file.write_text(DOCUMENT.replace("MESSAGE", "'[bold]X'"))
    assert '(is "[bold]X")' in failed(run("validate", file))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: \xff\n", "line 2: is not UTF-8"),
        (b"#" * (limits.DOCUMENT_BYTES + 1), "over 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_text_is_refused(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    assert said in failed(run("validate", file))


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    assert "can't be read" in failed(run("validate", tmp_path / name))


def test_show_prints_the_document_alone_to_standard_output(service: Service) -> None:
    result = run("show", "--revision", "3")
    assert result.stdout == DOCUMENT
    assert "revision 3, applied 2026-01-02T03:04:05Z" in result.stderr


def test_diff_prints_the_changes_and_applies_nothing(service: Service, file: Path) -> None:
    result = run("diff", file)
    assert result.exit_code == 0
    assert result.stdout == "offer a: type MESSAGE -> COUPON\n"
    assert "1 change to revision 7" in result.stderr
    assert service.applied == []


def test_apply_expects_the_revision_in_force_and_prints_the_new_one(service: Service, file: Path) -> None:
    result = run("apply", file)
    assert result.exit_code == 0
    assert [(request.document, request.expected_revision) for request in service.applied] == [(CHANGED, 7)]
    assert result.stdout == "offer a: type MESSAGE -> COUPON\n"
    assert "revision 8 is in force (1 change)" in result.stderr


def test_apply_sends_the_revision_that_it_is_told_to_expect(service: Service, file: Path) -> None:
    run("apply", file, "--expected-revision", "5")
    assert [request.expected_revision for request in service.applied] == [5]


def test_apply_says_when_nothing_changed(service: Service, file: Path) -> None:
    service.changes = ()
    result = run("apply", file)
    assert result.exit_code == 0
    assert "nothing changed: revision 7 stays in force" in result.stderr


def test_an_invalid_file_is_never_sent(service: Service, file: Path) -> None:
    file.write_text("offers: 1\n")
    failed(run("apply", file))
    assert service.applied == []


@pytest.mark.parametrize(
    ("code", "details", "said"),
    [
        (grpc.StatusCode.UNAVAILABLE, "", "no service answers there"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", "no answer within 10 s"),
        (grpc.StatusCode.ABORTED, "expected 5", "somebody else changed the catalog first (expected 5)"),
        (grpc.StatusCode.INVALID_ARGUMENT, "line 1: x\nline 2: y", "  line 2: y"),
        (grpc.StatusCode.NOT_FOUND, "revision: 9 does not exist", "NOT_FOUND: revision: 9 does not exist"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "diff", "apply"])
def test_a_refusal_is_said_in_words_with_status_1(
    service: Service, file: Path, verb: str, code: grpc.StatusCode, details: str, said: str
) -> None:
    service.refusal = Refusal(code, details)
    assert said in failed(run(verb, *([] if verb == "show" else [file])))
