"""A gate names policies as they were given, and is an error where it can't be read in one way."""

from __future__ import annotations

import pytest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.evaluate.gates import parse_gate

POLICIES = ["always:Mens E-Mail", "always:No E-Mail", "cel:context.x > 1.0 ? 'a' : 'b - c'"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("always:Mens E-Mail - always:No E-Mail > 0", (0, 1, 0.0)),
        ("always:Mens E-Mail-always:No E-Mail>0.5", (0, 1, 0.5)),
        ('"always:No E-Mail" - "always:Mens E-Mail" > -1e-3', (1, 0, -0.001)),
        ("always:Mens E-Mail > 0.12", (0, None, 0.12)),
        ("cel:context.x > 1.0 ? 'a' : 'b - c' - always:No E-Mail > 0", (2, 1, 0.0)),
        ("P3 - P1 > 0", (2, 0, 0.0)),
        ("P2 - P > 0", (1, 0, 0.0)),
    ],
    ids=["names", "tight", "quoted", "one", "minus-and-greater-inside", "numbers", "first"],
)
def test_gates_are_read(text: str, wanted: tuple[int, int | None, float]) -> None:
    gate = parse_gate(text, POLICIES)
    assert (gate.first, gate.second, gate.bound) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P1",
        "P1 > much",
        "P1 > nan",
        "P1 - P1 > 0",
        "P1 - P9 > 0",
        "P1 + P2 > 0",
        "P1 < 0",
        "P1 - P2 - P3 > 0",
    ],
)
def test_what_is_no_gate_is_an_error(text: str) -> None:
    with pytest.raises(InvalidInput, match="gate"):
        parse_gate(text, POLICIES)
