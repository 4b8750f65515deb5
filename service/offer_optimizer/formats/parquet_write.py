"""Writing a Parquet log: logged decisions of one placement, in ledger order, into any binary sink.

Memory is bounded by one row group. The sink belongs to the caller, who makes it durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO

import pyarrow.parquet as pq

from offer_optimizer.core.catalog_revision import CatalogRevision
from offer_optimizer.core.outcome import LoggedDecision
from offer_optimizer.formats.parquet_rows import Row, to_row, to_table
from offer_optimizer.formats.parquet_schema import (
    COMPRESSION,
    FORMAT_KEY,
    FORMAT_VERSION,
    PLACEMENT_KEY,
    ROW_GROUP_ROWS,
    SCHEMA,
)


class ParquetLogWriter:
    """Writes one file. Call `close` at the end: without it the file has no end and can't be read."""

    def __init__(self, sink: IO[bytes], placement_id: str, catalogs: Mapping[int, CatalogRevision]) -> None:
        metadata = {FORMAT_KEY: str(FORMAT_VERSION).encode(), PLACEMENT_KEY: placement_id.encode()}
        self._writer = pq.ParquetWriter(
            sink, SCHEMA.with_metadata(metadata), compression=COMPRESSION, use_dictionary=True
        )
        self._placement_id = placement_id
        self._catalogs = catalogs
        self._rows: list[Row] = []
        self.row_count = 0

    def add(self, logged: LoggedDecision) -> None:
        """Add a row. Raises ValueError for another placement, KeyError for an unknown catalog revision."""
        decision = logged.decision
        if decision.placement_id != self._placement_id:
            raise ValueError(f"a decision of {decision.placement_id} in a log of {self._placement_id}")
        self._rows.append(to_row(logged, self._catalogs[decision.catalog_revision].catalog))
        self.row_count += 1
        if len(self._rows) >= ROW_GROUP_ROWS:
            self.flush()

    def close(self) -> None:
        """Write what is left, and the file's end."""
        self.flush()
        self._writer.close()

    @property
    def buffered_count(self) -> int:
        """How many rows wait to be written."""
        return len(self._rows)

    def flush(self) -> None:
        """Write the rows that wait as a row group."""
        if self._rows:
            self._writer.write_table(to_table(self._rows))
            self._rows.clear()
