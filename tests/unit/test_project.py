"""The project's own files agree with each other.

Alone among unit tests this one reads files: they are its subject.
"""

from __future__ import annotations

import ast
import fnmatch
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import offer_optimizer
from offer_optimizer.cli.main import COMMANDS
from tools.check_tree import inspect_file

ROOT: Final = Path(offer_optimizer.__file__).resolve().parents[2]
DOCUMENTS: Final = (
    "README.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def pins(path: str) -> dict[str, set[str]]:
    """Return the pinned versions of a requirements file by name."""
    found: dict[str, set[str]] = {}
    for line in re.sub(r"\\\n", " ", read(path)).splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement = Requirement(line.partition(" --hash=")[0])
            assert "--hash=sha256:" in line, f"{path}: {requirement.name} has no hash"
            found.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    return found


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), flags=re.MULTILINE))


# Requirements


def test_everything_pinned_is_exact_and_hashed_and_nothing_names_an_index() -> None:
    for path in (ROOT / "requirements").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|--index-url|--find-links|--extra-index-url", text), path.name
        for name, specifiers in pins(f"requirements/{path.name}").items():
            assert all(re.fullmatch(r"==[\w.!+-]+", text) for text in specifiers), f"{path.name}: {name}"


def test_what_is_declared_is_pinned() -> None:
    declared, groups = project()["project"], project()["dependency-groups"]
    assert names(declared["dependencies"]) <= pins("requirements/runtime.txt").keys()
    assert names(project()["build-system"]["requires"]) <= pins("requirements/build.txt").keys()
    everything = (
        names(declared["dependencies"])
        | names(declared["optional-dependencies"]["plots"])
        | names(groups["dev"])
        | names(groups["build"])
    )
    assert everything <= pins("requirements/dev.txt").keys()


def test_tests_run_with_the_versions_of_production() -> None:
    dev = pins("requirements/dev.txt")
    for path in ("requirements/runtime.txt", "requirements/build.txt"):
        for name, specifiers in pins(path).items():
            assert dev[name] == specifiers, f"{path}: {name}"


def imported_packages() -> Iterator[tuple[str, Path]]:
    """Yield the top-level name of every absolute import in the package, and where it is."""
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((alias.name, path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module, path


def test_the_package_imports_only_what_it_declares() -> None:
    declared = project()["project"]
    allowed = names(declared["dependencies"]) | names(declared["optional-dependencies"]["plots"])
    providers = importlib.metadata.packages_distributions()
    for module, path in imported_packages():
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names or top == "offer_optimizer":
            continue
        # `google` belongs to several distributions; each of them that we use is declared.
        found = {canonicalize_name(name) for name in providers.get(top, [top])}
        assert found & allowed, (
            f"{path.relative_to(ROOT)} imports {module}, which pyproject.toml does not declare"
        )


def test_the_package_imports_everything_it_declares() -> None:
    providers = importlib.metadata.packages_distributions()
    used: set[str] = set()
    for module, _ in imported_packages():
        top = module.partition(".")[0]
        # Of the distributions that share `google`, google.rpc tells one.
        shared = {"googleapis-common-protos" if module.startswith("google.rpc") else "protobuf"}
        used |= shared if top == "google" else {canonicalize_name(name) for name in providers.get(top, [])}
    # Time zones of the catalog: read by `zoneinfo`, where the machine has none of its own.
    unused = names(project()["project"]["dependencies"]) - used - {"tzdata"}
    assert not unused


# Dockerfile


def copied_paths() -> list[str]:
    """Return what the Dockerfile copies out of the repository."""
    found = []
    for line in read("Dockerfile").splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            found += line.split()[1:-1]
    return found


def test_what_the_dockerfile_copies_exists_and_is_in_the_build_context() -> None:
    lines = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert copied_paths()
    for path in copied_paths():
        assert (ROOT / path).exists(), f"Dockerfile copies {path}, which does not exist"
        assert any(path == entry or path.startswith(f"{entry}/") for entry in kept), (
            f".dockerignore drops {path}"
        )


def test_the_image_does_not_run_as_root_and_is_probed() -> None:
    final_stage = read("Dockerfile").split("\nFROM ")[-1]
    assert re.search(r"^USER (?!root|0\b)\w+$", final_stage, flags=re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["offer-optimizer"\]$', final_stage, flags=re.MULTILINE)
    assert 'CMD ["offer-optimizer", "health"' in final_stage


# Commands and documents


def test_continuous_integration_runs_the_readmes_test_command_and_only_targets_that_exist() -> None:
    steps = re.findall(r"^step \S+ make (\S+)", read(".ci/run"), flags=re.MULTILINE)
    assert "test" in steps
    assert set(steps) <= make_targets()
    assert "make test" in read("README.md")


def test_what_continuous_integration_leaves_out_of_the_test_command_other_steps_run_larger() -> None:
    recipes = dict(re.findall(r"^([a-z-]+):.*\n\t(.*)$", read("Makefile"), flags=re.MULTILINE))
    left_out = re.findall(r"\$\((\w+_TESTS)\)", recipes["test"])
    assert left_out
    steps = re.findall(r"^step \S+ make (\S+)$", read(".ci/run"), flags=re.MULTILINE)
    larger = [recipes[step] for step in steps if "--size ci" in recipes.get(step, "")]
    for tests in left_out:
        assert any(recipe.endswith(f"$({tests})") for recipe in larger), tests


def test_make_help_describes_every_target() -> None:
    described = set(re.findall(r"^([a-z][a-z-]*):.*## ", read("Makefile"), flags=re.MULTILINE))
    assert described == make_targets()


def quoted_commands(document: str) -> list[str]:
    """Return what a document shows as a command: a line of a shell block, or code within a sentence."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", read(document), flags=re.DOTALL)
    prose = re.sub(r"```.*?```", "", read(document), flags=re.DOTALL)
    lines = [line for language, block in blocks if language == "sh" for line in block.splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", prose)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_only_targets_and_commands_that_exist(document: str) -> None:
    commands = {entry.name for entry in COMMANDS}
    for line in quoted_commands(document):
        if target := re.match(r"make ([a-z][a-z-]*)", line):
            assert target[1] in make_targets(), f"{document}: {line}"
        if command := re.match(r"offer-optimizer ([a-z]+)", line):
            assert command[1] in commands, f"{document}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_that_exist(document: str) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(document)):
        if "://" not in link:
            assert (ROOT / document).parent.joinpath(link).exists(), f"{document}: {link}"


def test_the_changelog_knows_this_version() -> None:
    assert re.search(
        rf"^## {re.escape(offer_optimizer.__version__)}\b", read("CHANGELOG.md"), flags=re.MULTILINE
    )


# The check of the tree


@pytest.mark.parametrize(
    ("path", "text", "defect"),
    [
        ("requirements/x.txt", "--index-url https://" + "pypi.org/" + "simple", "a registry host"),
        ("docs/x.md", "see /" + "home/somebody/notes", "a path of a machine"),
        ("service/x/utils.py", "", "a name that explains nothing"),
        ("service/x/long.py", "\n" * 401, "401 lines, at most 400"),
    ],
)
def test_the_tree_check_names_the_defect(path: str, text: str, defect: str) -> None:
    found = list(inspect_file(path, text.encode()))
    assert len(found) == 1
    assert defect in found[0]


def test_the_tree_check_passes_what_is_fine() -> None:
    assert not list(inspect_file("service/x/edge.py", b"\n" * 400))
    assert not list(inspect_file("service/x/y_pb2.py", b"\n" * 5000))
    assert not list(
        inspect_file("Dockerfile", b"COPY --from=build /opt/offer-optimizer /opt/offer-optimizer")
    )


def test_ignored_files_match_no_source_file() -> None:
    """A pattern that hides a source file from git would lose it without a word."""
    patterns = [line.strip("/") for line in read(".gitignore").splitlines()]
    for folder in ("service", "tests", "tools", "proto", "docs", "requirements"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".pyi", ".proto", ".md", ".txt", ".yaml"}:
                parts = path.relative_to(ROOT).parts
                assert "__pycache__" in parts or not any(
                    fnmatch.fnmatch(part, pattern) for part in parts for pattern in patterns
                ), path
