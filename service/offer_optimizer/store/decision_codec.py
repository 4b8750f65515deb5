"""Decisions to stored records and back. Equal values give equal bytes in every process and release.

What always holds: `encode_decision` writes what the generated class would write of the same fields, byte for
byte. A decision is recorded inside a page's request, and most of a record is the same every time: so it is
put together from serialised parts, of which those that come again are remembered.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import starmap
from typing import Final

import numpy as np

from offer_optimizer.core.decision import (
    Consent,
    Decision,
    InlineCandidate,
    ModelVersion,
    Pmf32,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.wire import BYTES, FIXED64, VARINT, sized, tag, varint

_DECISION_ID: Final = tag(pb.DecisionRecord.DECISION_ID_FIELD_NUMBER, BYTES)
_DECIDE_TIME: Final = tag(pb.DecisionRecord.DECIDE_TIME_US_FIELD_NUMBER, VARINT)
_SLOTS: Final = tag(pb.DecisionRecord.SLOTS_FIELD_NUMBER, BYTES)
_CONTEXT: Final = tag(pb.DecisionRecord.CONTEXT_FIELD_NUMBER, BYTES)
_PMF: Final = tag(pb.StoredSlot.PMF_FIELD_NUMBER, BYTES)
_CHOSEN: Final = tag(pb.StoredSlot.CHOSEN_FIELD_NUMBER, VARINT)
_PROPENSITY: Final = tag(pb.StoredSlot.PROPENSITY_FIELD_NUMBER, FIXED64)
_NUMBERS: Final = tag(pb.StoredFeatures.NUMBER_VALUES_FIELD_NUMBER, BYTES)
_TAGS: Final = tag(pb.StoredFeatures.TAGS_FIELD_NUMBER, BYTES)
_FLOAT: Final = np.dtype("<f4")
_DOUBLE: Final = struct.Struct("<d")

_PARTS: Final = 4096
"""Parts of a kind that are remembered; each is short, a text at most 128 bytes."""
_NAME_LISTS: Final = 256
"""Lists of names that are remembered: callers send few different ones, and each may be 26 KB."""


def encode_decision(decision: Decision) -> bytes:
    """Serialise a decision; maps are already sorted in Features."""
    version = decision.model_version
    time_us = decision.decide_time_us
    context = _features(decision.context)
    parts = [
        sized(_DECISION_ID, decision.decision_id),
        _DECIDE_TIME + varint(time_us) if time_us else b"",
        _funnel(
            decision.catalog_revision,
            decision.placement_id,
            decision.candidates,
            decision.excluded,
            decision.exclusion_reasons,
        ),
        *[sized(_SLOTS, _slot(slot)) for slot in decision.slots],
        sized(_CONTEXT, context) if context else b"",
        _served(
            (
                version.epoch if version else b"",
                version.position if version else 0,
                # Plain numbers: those of an enum are hashed in Python.
                int(decision.reason),
                decision.deferred,
                decision.holdout,
                decision.ramp,
                decision.floor,
                decision.baseline,
                decision.draw_salt_id,
                int(decision.consent),
            )
        ),
        *starmap(_count, decision.cap_counts),
    ]
    if _has_more(decision):
        parts.append(_more(decision))
    return b"".join(parts)


def decode_decision(data: bytes) -> Decision:
    """Parse what encode_decision wrote."""
    record = pb.DecisionRecord.FromString(data)
    return Decision(
        decision_id=record.decision_id,
        decide_time_us=record.decide_time_us,
        catalog_revision=record.catalog_revision,
        placement_id=record.placement_id,
        candidates=tuple(record.candidates),
        excluded=tuple(record.excluded),
        exclusion_reasons=tuple(record.exclusion_reasons),
        slots=tuple(SlotChoice(_pmf(slot.pmf), slot.chosen, slot.propensity) for slot in record.slots),
        context=load_features(record.context) if record.HasField("context") else EMPTY,
        model_version=ModelVersion(record.policy_epoch, record.model_position)
        if record.policy_epoch
        else None,
        reason=Reason(record.reason),
        deferred=record.deferred,
        holdout=record.holdout,
        ramp=record.ramp,
        floor=record.floor,
        baseline=record.baseline if record.HasField("baseline") else None,
        draw_salt_id=record.draw_salt_id,
        consent=Consent(record.consent),
        model_pmf=_pmf(record.model_pmf) if record.model_pmf else None,
        holdout_u=record.holdout_u if record.HasField("holdout_u") else None,
        cap_counts=tuple((read.cap, read.count) for read in record.cap_counts),
        budget_spent=tuple((read.budget, read.spent) for read in record.budget_spent),
        inline=tuple(
            InlineCandidate(inline.offer_id, load_features(inline.attributes))
            for inline in record.inline_candidates
        ),
        excluded_by_caller=tuple(record.excluded_by_caller),
        request_digest=record.request_digest,
        body_digest=record.body_digest,
        imported=record.imported,
        erased=record.erased,
    )


@lru_cache(maxsize=_PARTS)
def _funnel(
    revision: int,
    placement_id: str,
    candidates: tuple[int, ...],
    excluded: tuple[int, ...],
    reasons: tuple[int, ...],
) -> bytes:
    return pb.DecisionRecord(
        catalog_revision=revision,
        placement_id=placement_id,
        candidates=candidates,
        excluded=excluded,
        exclusion_reasons=reasons,
    ).SerializeToString(deterministic=True)


def _slot(slot: SlotChoice) -> bytes:
    stored = slot.pmf if slot.pmf.dtype == _FLOAT else np.asarray(slot.pmf, dtype=_FLOAT)
    pmf = sized(_PMF, stored.tobytes())
    # The generated class leaves out what is zero.
    propensity = _PROPENSITY + _DOUBLE.pack(slot.propensity) if slot.propensity else b""
    return pmf + _CHOSEN + varint(slot.chosen) + propensity


@lru_cache(maxsize=_PARTS)
def _served(
    served: tuple[bytes, int, int, bool, bool, float, float, int | None, int, int],
) -> bytes:
    epoch, position, reason, deferred, holdout, ramp, floor, baseline, draw_salt_id, consent = served
    return pb.DecisionRecord(
        policy_epoch=epoch,
        model_position=position,
        reason=reason,
        deferred=deferred,
        holdout=holdout,
        ramp=ramp,
        floor=floor,
        baseline=baseline,
        draw_salt_id=draw_salt_id,
        consent=consent,
    ).SerializeToString(deterministic=True)


@lru_cache(maxsize=_PARTS)
def _count(cap: int, count: int) -> bytes:
    read = pb.StoredCount(cap=cap, count=count)
    return pb.DecisionRecord(cap_counts=(read,)).SerializeToString(deterministic=True)


def _has_more(decision: Decision) -> bool:
    return bool(
        decision.inline
        or decision.model_pmf is not None
        or decision.budget_spent
        or decision.holdout_u is not None
        or decision.excluded_by_caller
        or decision.request_digest
        or decision.body_digest
        or decision.imported
        or decision.erased
    )


def _more(decision: Decision) -> bytes:
    """Serialise what most decisions don't have."""
    record = pb.DecisionRecord(
        model_pmf=decision.model_pmf.tolist() if decision.model_pmf is not None else None,
        holdout_u=decision.holdout_u,
        excluded_by_caller=decision.excluded_by_caller,
        request_digest=decision.request_digest,
        body_digest=decision.body_digest,
        imported=decision.imported,
        erased=decision.erased,
    )
    for budget, spent in decision.budget_spent:
        record.budget_spent.add(budget=budget, spent=spent)
    for inline in decision.inline:
        attributes = pb.StoredFeatures.FromString(_features(inline.attributes))
        record.inline_candidates.add(offer_id=inline.offer_id, attributes=attributes)
    return record.SerializeToString(deterministic=True)


def _features(features: Features) -> bytes:
    parts = []
    if features.categories:
        names, texts = zip(*features.categories, strict=True)
        parts.append(_category_names(names))
        parts += map(_category_value, texts)
    if features.numbers:
        names, numbers = zip(*features.numbers, strict=True)
        parts.append(_number_names(names))
        parts.append(sized(_NUMBERS, struct.pack(f"<{len(numbers)}d", *numbers)))
    parts += map(_tags, features.tags)
    return b"".join(parts)


@lru_cache(maxsize=_NAME_LISTS)
def _category_names(names: tuple[str, ...]) -> bytes:
    return pb.StoredFeatures(category_names=names).SerializeToString(deterministic=True)


@lru_cache(maxsize=_PARTS)
def _category_value(text: str) -> bytes:
    return pb.StoredFeatures(category_values=(text,)).SerializeToString(deterministic=True)


@lru_cache(maxsize=_NAME_LISTS)
def _number_names(names: tuple[str, ...]) -> bytes:
    return pb.StoredFeatures(number_names=names).SerializeToString(deterministic=True)


def _tags(tags: tuple[str, tuple[str, ...]]) -> bytes:
    name, values = tags
    return sized(_TAGS, b"".join((_tag_name(name), *map(_tag_value, values))))


@lru_cache(maxsize=_PARTS)
def _tag_name(name: str) -> bytes:
    return pb.StoredTags(name=name).SerializeToString(deterministic=True)


@lru_cache(maxsize=_PARTS)
def _tag_value(text: str) -> bytes:
    return pb.StoredTags(values=(text,)).SerializeToString(deterministic=True)


def load_features(stored: pb.StoredFeatures) -> Features:
    """Parse stored features."""
    return Features(
        categories=tuple(zip(stored.category_names, stored.category_values, strict=True)),
        numbers=tuple(zip(stored.number_names, stored.number_values, strict=True)),
        tags=tuple((tags.name, tuple(tags.values)) for tags in stored.tags),
    )


def _pmf(values: object) -> Pmf32:
    return np.array(values, dtype=np.float32)
