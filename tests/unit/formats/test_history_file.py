"""The history beside a Parquet log comes back as it was."""

from __future__ import annotations

import pytest

from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.control import (
    Audit,
    Learning,
    Promotion,
    Quarantine,
    Retention,
    Rollback,
    Thinning,
)
from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.core.history import History, KnownEpoch, KnownSalt
from offer_optimizer.formats.history_file import decode_history, encode_history
from tests.unit.core.small_catalog import SMALL

AUDIT = Audit("ann", "because", 7)


def test_a_history_comes_back_as_it_was() -> None:
    history = History(
        catalogs={3: CatalogRevision(3, SMALL, 5, parse_catalog(SMALL))},
        epochs=(KnownEpoch(bytes(range(16)), "home", 3, "{}"),),
        salts=(KnownSalt(1, "draw", b"\x00\xff"),),
        merged={2**62: 5},
        steering=(
            (4, Learning("home", True, AUDIT)),
            (5, Rollback("home", bytes(16), 1, 2, 3, 4, AUDIT)),
            (6, Quarantine("", 1, 2, "msg", "", AUDIT)),
            (7, Promotion("home", bytes(16), "{}", 1, 2, False, AUDIT)),
            (8, Thinning("", 0.25)),
            (9, Retention(8, bytes(32))),
        ),
    )
    assert decode_history(encode_history(history), "x") == history


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": 1}', b'{"format": 2}', b"\xff"])
def test_anything_else_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedFile, match=r"^x: "):
        decode_history(data, "x")
