"""What a piece of code is made of, as a hash: its module and every first-party module that it imports.

Comments, docstrings and layout don't count, so that only what could change a figure makes its passes run
again.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_AGREED: Final = "offer_optimizer.policy.contract"
# What policies and the race agree on: a change of it that changes a figure changes one of them as well.
_OURS: Final = ("offer_optimizer", "benchmarks")


def fingerprint(modules: tuple[str, ...], without: tuple[str, ...] = ()) -> str:
    """Return a hash of all that these modules reach, those in `without` left out.

    Raises ModuleNotFoundError for an unknown one.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    digest = hashlib.sha256()
    for name in sorted(found.difference(without, (_AGREED,))):
        digest.update(f"{name} {_code(name)}\n".encode())
    return digest.hexdigest()


@cache
def _tree(name: str) -> ast.Module:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return tree


def _is_text(line: ast.stmt) -> bool:
    is_value = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    return is_value and isinstance(line.value.value, str)  # type: ignore[attr-defined]


@cache
def _code(name: str) -> str:
    return hashlib.sha256(ast.dump(_tree(name)).encode()).hexdigest()


@cache
def _imports(name: str) -> tuple[str, ...]:
    return tuple(
        found for node in ast.walk(_tree(name)) for found in _named(node) if found.split(".")[0] in _OURS
    )


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module
        if node.module.split(".")[0] in _OURS:
            members = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (member for member in members if _is_module(member))


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # its parent is a module and no package: it is a class or a function
