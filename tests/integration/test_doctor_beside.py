"""Doctor beside a service that goes on: what moved on is not called damaged, and no base is missed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from offer_optimizer.learn.base_snapshot import model_row
from offer_optimizer.store.base_file import BaseFile
from offer_optimizer.store.doctor import examine
from offer_optimizer.store.files import Files
from offer_optimizer.store.findings import Finding, Verdict
from offer_optimizer.store.snapshots import SnapshotStore
from tests.integration.erasing_days import ErasingDays

BOOT = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def days(tmp_path: Path) -> Iterator[ErasingDays]:
    found = ErasingDays(tmp_path / "days")
    found.directory.secret_path.write_bytes(b"")
    yield found
    found.close()


def of(findings: list[Finding], folder: Path) -> list[Finding]:
    """Return what was said of the files of a folder."""
    return [finding for finding in findings if finding.subject.startswith(str(folder))]


def damaged(findings: list[Finding], folder: Path) -> list[str]:
    """Return what was called damaged in a folder."""
    return [one.text for one in of(findings, folder) if one.verdict is Verdict.DAMAGED]


def publish(days: ErasingDays) -> None:
    """Publish the live models."""
    store = SnapshotStore(Files(), days.directory.snapshots)
    for model in days.models.values():
        store.publish(days._snapshot(model), days.now_us)


def test_a_model_that_was_published_behind_the_look_at_the_ledger_is_sound(days: ErasingDays) -> None:
    """Looking at every record takes minutes, and a learner publishes twice a second."""
    days.live(1)
    publish(days)
    findings, has_gone_on = [], False
    for finding in examine(Files(), days.directory, BOOT):
        findings.append(finding)
        if finding.subject == str(days.directory.ledger_path) and not has_gone_on:
            has_gone_on = True
            days.live_hours(1, "v3")
            publish(days)
    assert has_gone_on
    assert of(findings, days.directory.snapshots)
    assert damaged(findings, days.directory.snapshots) == []


def test_a_ledger_of_an_older_release_is_not_called_damaged(days: ErasingDays) -> None:
    """Restoring a backup would lose what came since; the next start migrates it."""
    days.world.connection.execute("UPDATE meta SET value = 2 WHERE name = 'format_version'")
    found = of(list(examine(Files(), days.directory, BOOT)), days.directory.ledger_path)
    assert [one.verdict for one in found] == [Verdict.NOTE]
    assert "which migrates it" in found[0].text


def test_a_model_of_another_ledger_is_still_found(days: ErasingDays) -> None:
    days.live(1)
    publish(days)
    days.world.connection.execute("DELETE FROM record WHERE position > 20")
    assert damaged(list(examine(Files(), days.directory, BOOT)), days.directory.snapshots)


def test_a_base_that_goes_while_it_is_read_is_none_of_its_business(
    days: ErasingDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer one stands in its place: the rows of a retention are out, or an erasure was cleaned."""
    days.live(3)
    days.prepare()
    days.retire()
    days.ask()
    eraser, check = days.eraser(), BaseFile.sha256
    rows = lambda: [model_row(model) for model in days.models.values()]  # noqa: E731

    def meanwhile(base: BaseFile) -> bytes:
        monkeypatch.setattr(BaseFile, "sha256", check)
        for _ in range(6):
            if eraser.step(rows):
                days.world.reopen()
                eraser.begin(days.world.fold)
        return check(base)

    monkeypatch.setattr(BaseFile, "sha256", meanwhile)
    findings = list(examine(Files(), days.directory, BOOT))
    assert len(list(days.directory.bases.iterdir())) == 1
    assert damaged(findings, days.directory.bases) == []


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_the_base_of_an_erasure_is_looked_at_too(days: ErasingDays, how: str) -> None:
    days.live(3)
    days.prepare()
    days.retire()
    days.ask()
    days.erase()
    (path,) = days.directory.bases.iterdir()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    findings = list(examine(Files(), days.directory, BOOT))
    assert len(damaged(findings, days.directory.bases)) == 1
