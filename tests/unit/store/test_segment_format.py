"""The bytes of a segment: whatever happens to them, a payload is never a wrong one."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.core.errors import DamagedFile, InvalidInput
from offer_optimizer.ledger.v1 import records_pb2
from offer_optimizer.store import segment_format as fmt

BOOT = "0123456789abcdef0123456789abcdef"
NAME = fmt.SegmentName("journal", BOOT[:8], "fedcba9876543210", 7)
SEED = 12345
PAYLOADS = st.lists(st.binary(min_size=1, max_size=60), max_size=8)


def framed(payloads: list[bytes], seed: int = SEED) -> bytes:
    return b"".join(fmt.encode_frame(payload, seed) for payload in payloads)


@given(PAYLOADS)
def test_frames_give_back_what_was_framed(payloads: list[bytes]) -> None:
    data = framed(payloads)
    assert fmt.split_frames(data, SEED) == (payloads, len(data))


@given(PAYLOADS, st.data())
def test_a_cut_leaves_a_prefix_and_no_frame_behind_it(payloads: list[bytes], data: st.DataObject) -> None:
    whole = framed(payloads)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    found, end = fmt.split_frames(cut, SEED)
    assert found == payloads[: len(found)]
    assert not fmt.has_frame_behind(cut[end:], SEED)
    assert len(found) == sum(len(framed(payloads[: n + 1])) <= len(cut) for n in range(len(payloads)))


@given(PAYLOADS.filter(bool), st.data())
def test_any_flipped_byte_leaves_a_prefix_and_frames_behind_it_are_noticed(
    payloads: list[bytes], data: st.DataObject
) -> None:
    broken = bytearray(framed(payloads))
    at = data.draw(st.integers(0, len(broken) - 1))
    broken[at] ^= data.draw(st.integers(1, 255))
    found, end = fmt.split_frames(bytes(broken), SEED)
    before = sum(len(framed(payloads[: n + 1])) <= at for n in range(len(payloads)))
    assert found == payloads[:before]
    assert fmt.has_frame_behind(bytes(broken[end:]), SEED) is (before < len(payloads) - 1)


@given(st.binary(max_size=300))
def test_noise_is_not_a_frame(noise: bytes) -> None:
    assert fmt.split_frames(noise, SEED) == ([], 0)


def test_a_run_of_zeros_is_a_torn_tail() -> None:
    assert fmt.split_frames(bytes(5000), SEED) == ([], 0)
    assert not fmt.has_frame_behind(bytes(5000), SEED)


def test_bytes_of_a_caller_that_look_like_a_frame_are_none_in_this_segment() -> None:
    forged = fmt.encode_frame(b"forged", SEED + 1)
    torn = fmt.encode_frame(b"x" * 20 + forged + b"y" * 20, SEED)[:-5]
    assert not fmt.has_frame_behind(torn, SEED)


def test_a_search_that_would_take_too_long_says_damage_unless_one_torn_frame_explains_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fmt, "SCAN_BYTES", 100)
    monkeypatch.setattr(fmt, "PAYLOAD_BYTES", 3000)
    length_everywhere = (200).to_bytes(4, "big") * 500
    assert not fmt.has_frame_behind(length_everywhere, SEED)
    assert fmt.has_frame_behind(length_everywhere * 2, SEED)


def test_a_payload_has_one_byte_to_8_mib() -> None:
    largest = bytes(fmt.PAYLOAD_BYTES)
    assert fmt.split_frames(fmt.encode_frame(largest, SEED), SEED)[0] == [largest]
    for payload in (b"", largest + b"x"):
        with pytest.raises(InvalidInput, match=f"must be 1 to {fmt.PAYLOAD_BYTES}"):
            fmt.encode_frame(payload, SEED)


def test_the_header_says_whose_segment_it_is() -> None:
    header, seed = fmt.encode_header(NAME, BOOT)
    assert fmt.decode_header(header + b"frames", "p") == fmt.SegmentHead(NAME, BOOT, len(header), seed)


@given(st.data())
def test_a_header_is_whole_or_not_all_there_or_damaged(data: st.DataObject) -> None:
    header, _ = fmt.encode_header(NAME, BOOT)
    assert fmt.decode_header(header[: data.draw(st.integers(0, len(header) - 1))], "p") is None
    broken = bytearray(header)
    broken[data.draw(st.integers(0, len(header) - 1))] ^= data.draw(st.integers(1, 255))
    # A length that grew within the limit looks like a header that is not all there.
    is_longer = header[4:6] < broken[4:6] <= fmt.HEADER_BYTES.to_bytes(2, "big")
    with nullcontext() if is_longer else pytest.raises(DamagedFile, match="p: offset 0"):
        assert fmt.decode_header(bytes(broken), "p") is None


def test_a_format_of_a_newer_release_is_refused_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fmt, "FORMAT_VERSION", 2)
    header, _ = fmt.encode_header(NAME, BOOT)
    monkeypatch.undo()
    with pytest.raises(DamagedFile, match="segment format 2; this release reads 1"):
        fmt.decode_header(header, "p")
    assert records_pb2.SegmentHeader.DESCRIPTOR.fields_by_name["format_version"].number == 1


def test_names_are_parsed_and_others_left_alone() -> None:
    assert str(NAME) == "journal-01234567-fedcba9876543210-000007.seg"
    assert fmt.SegmentName.parse(str(NAME)) == NAME
    for other in ("journal-01234567-fedcba9876543210-7.seg", "notes.txt", f".{NAME}.1-0.aside"):
        assert fmt.SegmentName.parse(other) is None
    with pytest.raises(InvalidInput, match="not a segment's name"):
        fmt.encode_header(fmt.SegmentName("diary", "01234567", "fedcba9876543210", 0), BOOT)
    with pytest.raises(InvalidInput, match="boot_id"):
        fmt.normalise_boot_id("../..")
