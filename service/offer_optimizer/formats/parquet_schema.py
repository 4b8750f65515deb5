"""The columns of a Parquet log: names, types and order. docs/evaluation.md says what each means.

One row a decision of one placement, in ledger order. Names and meanings are final within a format version;
a reader asks for columns by name, so that later versions may add some.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

FORMAT_VERSION: Final = 1
FORMAT_KEY: Final = b"offer_optimizer.format"
PLACEMENT_KEY: Final = b"offer_optimizer.placement"
ROW_GROUP_ROWS: Final = 10_000
"""Rows written, and read, at a time."""
ADDED: Final = frozenset({"erased"})
"""Columns that files of the first releases lack; absent is as empty."""
COMPRESSION: Final = "zstd"

TIME: Final = pa.timestamp("us", "UTC")
_CATEGORIES: Final = pa.map_(pa.string(), pa.string())
_NUMBERS: Final = pa.map_(pa.string(), pa.float64())
_TAGS: Final = pa.map_(pa.string(), pa.list_(pa.string()))
_PMF: Final = pa.list_(pa.float32())


def make_schema(time: pa.DataType) -> pa.Schema:
    """Return the schema with a type for times: TIME as stored, 64-bit microseconds where they are counted."""
    return pa.schema(
        [
            # The decision.
            pa.field("position", pa.int64(), nullable=False),
            pa.field("decision_id", pa.uuid(), nullable=False),
            pa.field("decide_time", time, nullable=False),
            pa.field("placement", pa.string(), nullable=False),
            pa.field("visitor", pa.int64()),
            pa.field("catalog_revision", pa.int64(), nullable=False),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("consent", pa.string(), nullable=False),
            pa.field("imported", pa.bool_(), nullable=False),
            pa.field("erased", pa.bool_()),
            pa.field("context_categories", _CATEGORIES, nullable=False),
            pa.field("context_numbers", _NUMBERS, nullable=False),
            pa.field("context_tags", _TAGS, nullable=False),
            # What was drawn from.
            pa.field("eligible", pa.list_(pa.string()), nullable=False),
            pa.field("pmf", _PMF),
            pa.field("chosen", pa.string()),
            pa.field("chosen_position", pa.int32()),
            pa.field("propensity", pa.float64()),
            pa.field("model_pmf", _PMF),
            pa.field("ramp", pa.float64(), nullable=False),
            pa.field("floor", pa.float64(), nullable=False),
            pa.field("baseline", pa.string()),
            pa.field("baseline_position", pa.int32()),
            pa.field("deferred", pa.bool_(), nullable=False),
            pa.field("holdout", pa.bool_(), nullable=False),
            pa.field("holdout_u", pa.float64()),
            pa.field("draw_salt_id", pa.int64(), nullable=False),
            pa.field("policy_epoch", pa.string()),
            pa.field("model_position", pa.int64()),
            # The funnel.
            pa.field("candidates", pa.list_(pa.int32()), nullable=False),
            pa.field(
                "excluded", pa.list_(_struct(position=pa.int32(), offer=pa.string(), reason=pa.string()))
            ),
            pa.field("excluded_by_caller", pa.list_(pa.string()), nullable=False),
            pa.field("cap_counts", pa.list_(_struct(index=pa.int32(), cap=pa.string(), count=pa.int64()))),
            pa.field(
                "budget_spent", pa.list_(_struct(index=pa.int32(), budget=pa.string(), spent=pa.float64()))
            ),
            pa.field(
                "inline",
                pa.list_(_struct(offer=pa.string(), categories=_CATEGORIES, numbers=_NUMBERS, tags=_TAGS)),
            ),
            pa.field("request_digest", pa.binary()),
            pa.field("body_digest", pa.binary()),
            pa.field(
                "more_slots",
                pa.list_(_struct(pmf=_PMF, chosen_position=pa.int32(), propensity=pa.float64())),
            ),
            # What came of it.
            pa.field("close_status", pa.string(), nullable=False),
            pa.field("close_time", time),
            pa.field("reward_learned", pa.float64()),
            pa.field("reward_final", pa.float64()),
            pa.field("clipped", pa.bool_(), nullable=False),
            pa.field("weight", pa.float64(), nullable=False),
            pa.field("feedback", pa.list_(_feedback(time)), nullable=False),
        ]
    )


def _feedback(time: pa.DataType) -> pa.DataType:
    return _struct(
        feedback_id=pa.string(),
        kind=pa.string(),
        value=pa.float64(),
        receive_time=time,
        occur_time=time,
        slot=pa.int32(),
        source=pa.string(),
        retracts_feedback_id=pa.string(),
        by_visitor=pa.bool_(),
        fate=pa.string(),
    )


def _struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


SCHEMA: Final = make_schema(TIME)
COUNTED: Final = make_schema(pa.int64())
