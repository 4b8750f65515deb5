"""Changes files as bad disks do, and asks who notices."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from offer_optimizer.store.doctor import examine
from offer_optimizer.store.files import Files
from offer_optimizer.store.findings import Finding, Verdict
from offer_optimizer.store.layout import DataDirectory
from tests.crash.small_service import SmallService
from tests.unit.learn.service_in_memory import BOOT

VISITS: Final = 40
WAITING: Final = 6


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def cut(path: Path, size: int) -> None:
    """Leave the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])


def found(data: DataDirectory) -> dict[str, Finding]:
    """Return what the doctor finds damaged, by file."""
    findings = examine(Files(), data, BOOT)
    return {finding.subject: finding for finding in findings if finding.verdict is Verdict.DAMAGED}


def restarted(data: DataDirectory) -> SmallService:
    """Start a learner over a directory, and let it do all it can."""
    service = SmallService(data.path)
    service.clock_us += 1_000_000_000
    service.start()
    service.run_for(60.0)
    return service
