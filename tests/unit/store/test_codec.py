"""Stored records: what goes in comes out, and equal values give equal bytes."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.control import Audit, Erasure
from offer_optimizer.core.decision import (
    Consent,
    Decision,
    InlineCandidate,
    ModelVersion,
    Reason,
    SlotChoice,
)
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.core.feedback import Feedback
from offer_optimizer.ledger.v1 import records_pb2 as pb
from offer_optimizer.store.catalog_file import encode_catalog
from offer_optimizer.store.codec import (
    Epoch,
    EraseChange,
    Merge,
    MergeChange,
    RecordKind,
    Salt,
    StoredCatalog,
    Tick,
    decode_body,
    decode_control,
    decode_feedback,
    decode_inbox_entry,
    decode_journal_entry,
    encode_body,
    encode_control,
    encode_feedback,
    encode_inbox_entry,
    encode_journal_entry,
)
from offer_optimizer.store.control_codec import encode_steering
from offer_optimizer.store.decision_codec import decode_decision, encode_decision

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = texts.filter(bool)
numbers = st.floats(-1e9, 1e9)
times = st.integers(0, 2**62)
moments = st.one_of(times, st.integers(-(2**62), 2**21))
propensities = st.one_of(st.just(0.0), st.floats(0, 1))
pmfs = st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=8).map(
    lambda v: np.array(v, dtype=np.float32)
)


@st.composite
def feature_maps(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, float], dict[str, list[str]]]:
    """Draw the three maps of a context, no name in two of them."""
    found = draw(st.lists(names, unique=True, max_size=9))
    return (
        {name: draw(texts) for name in found[0::3]},
        {name: draw(numbers) for name in found[1::3]},
        {name: draw(st.lists(texts, min_size=1, max_size=3)) for name in found[2::3]},
    )


def build(maps: tuple[dict[str, str], dict[str, float], dict[str, list[str]]]) -> Features:
    return build_features(*maps, where="context", limit=100)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Draw a decision with every field that can be set."""
    pmf = draw(pmfs)
    count = draw(st.integers(0, 5))
    return Decision(
        decision_id=draw(st.binary(min_size=16, max_size=16)),
        decide_time_us=draw(moments),
        catalog_revision=draw(st.integers(1, 2**31)),
        placement_id=draw(names),
        candidates=tuple(draw(st.lists(st.integers(0, 5000), max_size=8))),
        excluded=tuple(range(count)),
        exclusion_reasons=(1,) * count,
        slots=draw(
            st.sampled_from([(), (SlotChoice(pmf, draw(st.integers(0, len(pmf) - 1)), draw(propensities)),)])
        ),
        context=build(draw(feature_maps())),
        model_version=draw(
            st.one_of(st.none(), st.builds(ModelVersion, st.binary(min_size=16, max_size=16), times))
        ),
        reason=draw(st.sampled_from(Reason)),
        deferred=draw(st.booleans()),
        holdout=draw(st.booleans()),
        ramp=draw(st.floats(0, 1)),
        floor=draw(st.floats(0, 1)),
        baseline=draw(st.one_of(st.none(), st.integers(0, 7))),
        draw_salt_id=draw(st.integers(0, 2**31)),
        consent=draw(st.sampled_from(Consent)),
        model_pmf=draw(st.one_of(st.none(), pmfs)),
        imported=draw(st.booleans()),
        erased=draw(st.booleans()),
        holdout_u=draw(st.one_of(st.none(), st.floats(0, 1, exclude_max=True))),
        cap_counts=tuple(draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), max_size=3))),
        budget_spent=tuple(draw(st.lists(st.tuples(st.integers(0, 300), numbers), max_size=2))),
        inline=tuple(
            InlineCandidate(offer_id, build(draw(feature_maps())))
            for offer_id in draw(st.lists(names, max_size=2))
        ),
        excluded_by_caller=tuple(draw(st.lists(names, max_size=2))),
        request_digest=draw(st.sampled_from([b"", b"r" * 16])),
        body_digest=draw(st.sampled_from([b"", b"b" * 16])),
    )


def plain(decision: Decision) -> str:
    """Return a text that says everything of a decision, arrays included, to the last bit."""
    with np.printoptions(floatmode="unique"):
        return repr(decision)


@given(decisions())
def test_a_decision_comes_back_as_it_was(decision: Decision) -> None:
    data = encode_decision(decision)
    found = decode_decision(data)
    assert plain(found) == plain(decision)
    assert encode_decision(found) == data
    if decision.slots:
        assert found.slots[0].pmf.dtype == np.float32
    assert decode_body(RecordKind.DECISION, data) is not None


@given(decisions())
def test_a_decision_is_written_as_the_generated_class_writes_it(decision: Decision) -> None:
    data = encode_decision(decision)
    assert data == pb.DecisionRecord.FromString(data).SerializeToString(deterministic=True)


def test_every_field_of_the_record_is_written() -> None:
    features = build_features({"a": "b"}, {"n": 1.0}, {"t": ["x"]}, where="context", limit=9)
    pmf = np.array([0.25, 0.75], dtype=np.float32)
    decision = Decision(
        decision_id=b"d" * 16,
        decide_time_us=1,
        catalog_revision=1,
        candidates=(1, 2, 3),
        excluded=(1,),
        exclusion_reasons=(6,),
        deferred=True,
        holdout=True,
        ramp=0.5,
        floor=0.5,
        baseline=1,
        draw_salt_id=1,
        holdout_u=0.5,
        request_digest=b"r" * 16,
        body_digest=b"b" * 16,
        placement_id="home",
        slots=(SlotChoice(pmf, 1, 0.75),),
        context=features,
        model_version=ModelVersion(b"e" * 16, 3),
        reason=Reason.MODEL,
        consent=Consent.FULL,
        model_pmf=pmf,
        cap_counts=((1, 2),),
        budget_spent=((1, 2.0),),
        inline=(InlineCandidate("offer", features),),
        excluded_by_caller=("other",),
        imported=True,
        erased=True,
    )
    record = pb.DecisionRecord.FromString(encode_decision(decision))
    assert {field.name for field, _ in record.ListFields()} == set(
        pb.DecisionRecord.DESCRIPTOR.fields_by_name
    )
    assert len(record.context.ListFields()) == len(pb.StoredFeatures.DESCRIPTOR.fields)
    assert len(record.slots[0].ListFields()) == len(pb.StoredSlot.DESCRIPTOR.fields)


@given(feature_maps(), st.randoms(use_true_random=False), decisions())
def test_equal_features_given_in_any_order_give_equal_bytes(
    maps: tuple[dict[str, str], dict[str, float], dict[str, list[str]]],
    chance: random.Random,
    decision: Decision,
) -> None:
    shuffled = []
    for part in maps:
        items = list(part.items())
        chance.shuffle(items)
        shuffled.append(dict(items))
    for values in shuffled[2].values():
        chance.shuffle(values)  # type: ignore[arg-type]
    from dataclasses import replace

    one = replace(decision, context=build(maps))
    other = replace(decision, context=build((shuffled[0], shuffled[1], shuffled[2])))  # type: ignore[arg-type]
    assert encode_decision(one) == encode_decision(other)


@given(
    st.builds(
        Feedback,
        feedback_id=names,
        decision_id=st.one_of(st.just(b""), st.binary(min_size=16, max_size=16)),
        placement_id=texts,
        slot=st.integers(0, 100),
        kind=names,
        value=numbers,
        receive_time_us=times,
        occur_time_us=st.one_of(st.none(), st.integers(-(2**62), 2**62)),
        retracts_feedback_id=texts,
    )
)
def test_feedback_comes_back_as_it_was(feedback: Feedback) -> None:
    """A missing time of occurrence is not time 0."""
    assert decode_feedback(encode_feedback(feedback)) == feedback


@given(
    st.one_of(
        st.builds(Tick, times), st.builds(Epoch, names, st.integers(1, 9), st.binary(max_size=16), texts)
    )
)
def test_the_learners_own_records_come_back(body: Tick | Epoch) -> None:
    kind = RecordKind.TICK if isinstance(body, Tick) else RecordKind.EPOCH
    assert decode_body(kind, encode_body(body)) == body


@given(st.builds(Salt, st.integers(1, 9), texts, st.binary(max_size=32)))
def test_salts_come_back(salt: Salt) -> None:
    assert decode_body(RecordKind.SALT, encode_body(salt)) == salt


@given(st.builds(Merge, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)))
def test_merges_come_back_from_the_ledger_by_keys(merge: Merge) -> None:
    assert decode_body(RecordKind.MERGE, encode_body(merge)) == merge


@given(st.builds(MergeChange, st.binary(max_size=32), st.binary(max_size=32)))
def test_merges_come_back_from_a_control_segment_by_digests(change: MergeChange) -> None:
    assert decode_control(encode_control(change)) == change


audits = st.builds(Audit, texts, texts, times)


@given(st.builds(EraseChange, st.binary(max_size=32), audits))
def test_erasures_come_back_from_a_control_segment_by_digest(change: EraseChange) -> None:
    assert decode_control(encode_control(change)) == change


@given(st.builds(Erasure, st.integers(0, 2**62), st.binary(max_size=32), st.integers(0, 2**40), audits))
def test_erasures_come_back_from_the_ledger_without_anybody(erasure: Erasure) -> None:
    assert decode_body(RecordKind.ERASURE, encode_steering(erasure)) == erasure


@given(st.builds(StoredCatalog, st.integers(1, 2**31), times, texts, texts))
def test_catalogs_come_back_from_the_ledger_and_from_a_control_segment(catalog: StoredCatalog) -> None:
    assert decode_body(RecordKind.CATALOG, encode_catalog(catalog)) == catalog
    assert decode_control(encode_control(catalog)) == catalog


@given(st.binary(max_size=32), st.binary(max_size=50))
def test_segment_entries_keep_the_digest_apart_from_the_record(digest: bytes, record: bytes) -> None:
    assert decode_journal_entry(encode_journal_entry(digest, record)) == (digest, record)
    assert decode_inbox_entry(encode_inbox_entry(digest, record)) == (digest, record)


def test_stored_numbers_never_change() -> None:
    """Ledgers of older releases hold them."""
    assert {kind.name: int(kind) for kind in RecordKind} == {
        "DECISION": 1,
        "FEEDBACK": 2,
        "TICK": 3,
        "CATALOG": 4,
        "EPOCH": 5,
        "SALT": 6,
        "MERGE": 7,
        "LEARNING": 8,
        "ROLLBACK": 9,
        "QUARANTINE": 10,
        "PROMOTION": 11,
        "THINNING": 12,
        "RETENTION": 13,
        "CLOCK_ACCEPTED": 14,
        "ERASURE": 15,
    }
