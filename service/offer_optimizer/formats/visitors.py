"""Visitor ids of a log as numbers: stable from run to run, and of their own where a row has none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from offer_optimizer.core.log import Ints


def visitor_numbers(visitor_ids: Sequence[str], rows_before: int) -> Ints:
    """Return a number for every id: 63 bits of its BLAKE2b digest; negative where the id is empty.

    `rows_before` counts the rows of earlier batches, so that rows without an id differ from each other.
    """
    numbers: dict[str, int] = {}
    found = np.empty(len(visitor_ids), dtype=np.int64)
    for row, visitor_id in enumerate(visitor_ids):
        if not visitor_id:
            found[row] = -(rows_before + row + 1)
            continue
        number = numbers.get(visitor_id)
        if number is None:
            digest = hashlib.blake2b(visitor_id.encode(), digest_size=8).digest()
            number = numbers[visitor_id] = int.from_bytes(digest, "big") >> 1
        found[row] = number
    return found


def nobody(count: int, rows_before: int) -> Ints:
    """Return numbers for rows of a log that names no visitors: every row is one of its own."""
    return -np.arange(rows_before + 1, rows_before + count + 1, dtype=np.int64)
