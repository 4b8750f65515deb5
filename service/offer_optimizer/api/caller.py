"""Whose key the call under way came with. Set by the gate, read where a change is put on record."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

KEY_NAME: Final[ContextVar[str]] = ContextVar("key_name", default="")
"""The name of the key; empty where the service asks for none."""
