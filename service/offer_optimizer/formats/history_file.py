"""`history.json`: what the rows of a Parquet log refer to, in one file beside them.

What always holds: reading what was written gives an equal history. It may not know who writes or reads it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

from offer_optimizer.core.catalog import Catalog
from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.control import (
    Audit,
    Learning,
    Promotion,
    Quarantine,
    Retention,
    Rollback,
    Steering,
    Thinning,
)
from offer_optimizer.core.errors import DamagedFile
from offer_optimizer.core.history import History, KnownEpoch, KnownSalt

HISTORY_NAME: Final = "history.json"
FORMAT_VERSION: Final = 1
_STEERING: Final[dict[str, type[Steering]]] = {
    kind.__name__.lower(): kind for kind in (Learning, Rollback, Quarantine, Promotion, Thinning, Retention)
}


def encode_history(history: History) -> bytes:
    """Return the file's content: JSON, byte strings as hexadecimal text."""
    content = {
        "format": FORMAT_VERSION,
        "catalogs": [
            {
                "revision": revision.revision,
                "apply_time_us": revision.apply_time_us,
                "document": revision.document,
                "catalog": revision.catalog.model_dump(mode="json"),
            }
            for _, revision in sorted(history.catalogs.items())
        ],
        "epochs": [_plain(epoch) for epoch in history.epochs],
        "salts": [_plain(salt) for salt in history.salts],
        "merged": [list(pair) for pair in sorted(history.merged.items())],
        "steering": [
            {"position": position, "kind": type(body).__name__.lower(), "body": _plain(body)}
            for position, body in history.steering
        ],
    }
    return json.dumps(content, indent=1).encode()


def decode_history(data: bytes, path: str) -> History:
    """Read what encode_history wrote. Raises DamagedFile."""
    try:
        content = json.loads(data)
        if content["format"] != FORMAT_VERSION:
            raise DamagedFile(path, f"format {content['format']}, this release reads format {FORMAT_VERSION}")
        return History(
            catalogs={entry["revision"]: _revision(entry) for entry in content["catalogs"]},
            epochs=tuple(_load(KnownEpoch, entry) for entry in content["epochs"]),
            salts=tuple(_load(KnownSalt, entry) for entry in content["salts"]),
            merged=dict(content["merged"]),
            steering=tuple(_steering(entry) for entry in content["steering"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFile(path, f"is not the history of a log: {type(error).__name__}") from None


def _revision(entry: dict[str, Any]) -> CatalogRevision:
    catalog = Catalog.model_validate_json(json.dumps(entry["catalog"]))
    return CatalogRevision(entry["revision"], entry["document"], entry["apply_time_us"], catalog)


def _steering(entry: dict[str, Any]) -> tuple[int, Steering]:
    fields = dict(entry["body"])
    if "audit" in fields:
        fields["audit"] = Audit(**fields["audit"])
    return entry["position"], _load(_STEERING[entry["kind"]], fields)


def _plain(value: object) -> dict[str, Any]:
    """Return the fields of a dataclass, bytes as hexadecimal text."""
    fields = dataclasses.asdict(value)  # type: ignore[call-overload]
    return {name: item.hex() if isinstance(item, bytes) else item for name, item in fields.items()}


def _load(kind: Any, fields: dict[str, Any]) -> Any:  # noqa: ANN401  (any of the dataclasses above)
    of_bytes = {field.name for field in dataclasses.fields(kind) if field.type in (bytes, "bytes")}
    return kind(**{name: bytes.fromhex(item) if name in of_bytes else item for name, item in fields.items()})
