"""Checks a catalog's policies; apart, because it loads Vowpal Wabbit."""

from __future__ import annotations

from typing import Any

from offer_optimizer.policy import registry


def check_policy(name: str, options: dict[str, Any]) -> None:
    """Raise InvalidInput unless a policy and its options exist."""
    registry.describe(name, options)
