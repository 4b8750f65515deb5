"""`drive` against a real service: the loop closes on rows that nobody simulated."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, Size
from tests.running_service import RunningService

EXAMPLE = REPOSITORY / "examples" / "catalog.yaml"
HILLSTROM_CONTEXT = "recency,history_segment,history,mens,womens,zip_code,newbie,channel"


def drive(service: RunningService, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run the command and return what it printed: the object, and the lines for people."""
    done = service.run_command("drive", "--target", service.target, "--json", "--window", "1s", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_every_matched_row_is_learned_and_arms_are_the_files(tmp_path: Path) -> None:
    """A small test with a strong effect by segment; the learner's count is the count of matched rows."""
    chance = random.Random(7)
    lines = ["segment,age,arm,bought"]
    for _ in range(1500):
        segment, arm = chance.choice(["new", "known"]), chance.choice(["Guide", "10 % off"])
        bought = int(chance.random() < (0.5 if (segment == "new") == (arm == "Guide") else 0.05))
        lines.append(f"{segment},{chance.randrange(18, 80)},{arm},{bought}")
    path = tmp_path / "test.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    service = RunningService(tmp_path / "data", EXAMPLE, workers=1)
    try:
        service.start()
        found, told = drive(
            service,
            *("--csv", str(path), "--action", "arm", "--reward", "bought", "--context", "segment,age"),
            *("--rate", "150"),  # ten seconds: learning lags two behind
        )
        assert f"The learner learned {found['matched']} examples" in told
        report = service.check_rebuild()
        assert [model["learned_count"] for model in report["models"] if model["learned_count"]] == [
            found["matched"]
        ]
    finally:
        service.end()
    assert found["rows"] == 1500
    assert found["arms"]["Guide"]["n"] + found["arms"]["10 % off"]["n"] == 1500
    # Best 0.5, uniform about 0.275: 4 standard errors above uniform is far below what learning brings.
    assert found["mean_last_half"] > found["uniform"] + 4 * found["se_last_half"]


@pytest.mark.timeout(1200)
def test_hillstrom_ends_above_uniform_by_two_standard_errors(
    tmp_path: Path, shared_data: Path | None, size: Size, figure: Callable[[str], None]
) -> None:
    """Seeds 1, 2 and 3 at full size; other sizes leave it to the test above."""
    if shared_data is None or size.name != "proof":
        return
    service = RunningService(tmp_path / "data", EXAMPLE, workers=1)
    try:
        service.start()
        for seed in (1, 2, 3):
            found, _ = drive(
                service,
                *("--csv", str(shared_data / "hillstrom" / "hillstrom_dev.csv.gz"), "--seed", str(seed)),
                *("--action", "segment", "--reward", "visit", "--context", HILLSTROM_CONTEXT),
            )
            above = (found["mean_last_half"] - found["uniform"]) / found["se_last_half"]
            figure(
                f"hillstrom seed {seed}: {found['matched']} of {found['rows']} rows matched, visit rate"
                f" of their last half {found['mean_last_half']:.4f} (se {found['se_last_half']:.4f}), uniform"
                f" {found['uniform']:.4f}: {above:.1f} standard errors above"
            )
            assert above > 2.0
        service.check_rebuild()
    finally:
        service.end()
