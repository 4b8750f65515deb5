"""Damage under a running service: no process ends, health names the file, and salvage is enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.client import Client
from offer_optimizer.store.codec import encode_feedback, encode_inbox_entry
from offer_optimizer.store.files import Files
from offer_optimizer.store.segment_writer import SegmentWriter
from tests.crash.test_disk import CATALOG
from tests.running_service import RunningService
from tests.unit.learn.service_in_memory import BOOT
from tests.unit.learn.worlds import feedback_of

SOON_S = 30.0


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    running = RunningService(tmp_path / "data", catalog, workers=1)
    try:
        running.start()
        yield running
    finally:
        running.end()


def put_damaged_segment(service: RunningService, aside: Path) -> Path:
    """Put the segment of a dead writer, with a changed bit in its second record, where the learner drains."""
    aside.mkdir()
    writer = SegmentWriter(Files(), aside, "inbox", BOOT, "e" * 16)
    now_us = time.time_ns() // 1000
    items = [feedback_of(f"f{number}", now_us, decision=number) for number in range(4)]
    ends = [writer.append(encode_inbox_entry(b"", encode_feedback(item))) for item in items]
    writer.close()
    (path,) = aside.glob("*.seg")
    content = bytearray(path.read_bytes())
    content[ends[1] - 2] ^= 1
    path.write_bytes(content)
    return path.rename(service.directory / "segments" / path.name)


def test_a_damaged_segment_is_an_alarm_while_deciders_go_on_and_ends_with_salvage(
    service: RunningService, tmp_path: Path
) -> None:
    before = service.children()
    with Client(service.target, timeout_s=5.0) as client:
        path = put_damaged_segment(service, tmp_path / "aside")

        def alarms() -> dict[str, str]:
            found = client.loop_health("", timeout_s=30.0)["alarms"]
            return {alarm["name"]: alarm["message"] for alarm in found}

        def until(wanted: bool) -> dict[str, str]:
            deadline_s = time.monotonic() + SOON_S
            while ("file_damaged" in (found := alarms())) is not wanted:
                assert time.monotonic() < deadline_s, service.log_tail()
                time.sleep(0.1)
            return found

        assert str(path) in until(wanted=True)["file_damaged"]
        for _ in range(20):
            assert client.decide("home", visitor_id="v").decision_id is not None
        done = service.run_command("salvage", "--data", str(service.directory), path.name, "--yes")
        assert done.returncode == 0, done.stderr
        until(wanted=False)
        deadline_s = time.monotonic() + SOON_S
        while path.exists():
            assert time.monotonic() < deadline_s, service.log_tail()
            time.sleep(0.05)
    assert service.children() == before, service.log_tail()
    service.check_rebuild()
