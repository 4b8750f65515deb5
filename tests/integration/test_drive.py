"""`offer-optimizer drive` as a user runs it, against a service on loopback; and a real test's figures."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from offer_optimizer.cli import drive as command
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.drive import learned
from offer_optimizer.drive.csv_file import read_csv
from offer_optimizer.drive.errors import DriveRefused
from offer_optimizer.drive.summary import summarise
from offer_optimizer.drive.table import Columns
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.integration.fake_service import FakeService, Refusal, serving

CATALOG = """\
version: 1
# Comments of the owner stay where they are.
kinds:
  - id: rating
offers:
  - id: hello
    type: MESSAGE
placements:
  - id: home
    offers: [hello]
    baseline: [hello]
"""


@pytest.fixture
def service() -> FakeService:
    fake = FakeService()
    fake.document = CATALOG
    return fake


@pytest.fixture
def target(service: FakeService) -> Iterator[str]:
    with serving(service) as address:
        yield address


@pytest.fixture
def test_file(tmp_path: Path) -> Path:
    """Write 600 rows: arm B earns 0.5, arm A earns 0.25, exactly."""
    lines = ["age,city,arm,visit"]
    for number in range(600):
        arm = "A" if number % 2 else "B"
        reward = int(number // 2 % (4 if arm == "A" else 2) == 0)
        lines.append(f"{number},{'Oslo' if number % 3 else ''},{arm},{reward}")
    path = tmp_path / "test.csv.gz"
    path.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    return path


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no learner: the fake has none."""
    monkeypatch.setattr(learned, "SETTLE_S", -1.0)


def drive(target: str, file: Path, *more: str) -> Result:
    app = typer.Typer()
    app.command()(command.drive)
    arguments = ["--target", target, "--csv", str(file), "--action", "arm", "--reward", "visit"]
    return CliRunner().invoke(app, [*arguments, "--context", "age,city", "--rate", "5000", *more])


def test_a_service_that_always_takes_one_arm_earns_exactly_that_arms_mean(
    service: FakeService, target: str, test_file: Path
) -> None:
    service.choose = lambda request: "drive-b"
    result = drive(target, test_file, "--json", "--seed", "3")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert list(printed) == ["rows", "matched", "mean", "mean_last_half", "se_last_half", "arms", "uniform"]
    assert (printed["rows"], printed["matched"], printed["mean"]) == (600, 300, 0.5)
    assert (printed["arms"]["A"]["n"], printed["arms"]["A"]["mean"]) == (300, 0.25)
    assert printed["arms"]["B"]["mean"] == 0.5
    assert printed["uniform"] == 0.375
    assert "of 600 items the service accepted 600" in result.stderr
    kinds = [item.kind for item in service.feedback]
    assert (kinds.count("shown"), kinds.count("reward"), len(kinds)) == (300, 300, 600)
    assert sum(item.value for item in service.feedback if item.kind == "reward") == 150.0


def test_a_service_that_chooses_uniformly_earns_the_mean_of_the_arms(
    service: FakeService, target: str, test_file: Path
) -> None:
    """Within 4 standard errors of 300 matched rows: false alarms in 6 of 100,000 runs."""
    chance, lock = random.Random(1), threading.Lock()

    def choose(request: pb.DecideRequest) -> str:
        with lock:
            return chance.choice(["drive-a", "drive-b"])

    service.choose = choose
    printed = json.loads(drive(target, test_file, "--json").stdout)
    assert abs(printed["mean"] - printed["uniform"]) < 4 * (0.375 * 0.625 / printed["matched"]) ** 0.5


def test_a_fresh_placement_is_added_beside_what_the_catalog_has(
    service: FakeService, target: str, test_file: Path
) -> None:
    result = drive(target, test_file)
    assert result.exit_code == 0, result.stderr
    assert "# Comments of the owner stay where they are." in service.document
    catalog = parse_catalog(service.document)
    assert catalog.placements[0].id == "home"
    added = catalog.placements[1]
    assert added.id.startswith("drive-")
    assert added.offers == ("drive-b", "drive-a")
    assert (added.window_s, added.reward.formula) == (1.0, "sum.reward")
    assert [kind.id for kind in catalog.kinds] == ["rating", "reward"]
    assert {request.placement for request in service.questions} == {added.id}


def test_rows_arrive_deferred_each_a_visitor_with_typed_features(
    service: FakeService, target: str, test_file: Path
) -> None:
    drive(target, test_file, "--json")
    rows = {
        request.visitor.visitor_id: request for request in service.questions if request.visitor.visitor_id
    }
    assert len(rows) == 600
    assert all(request.deferred for request in service.questions)
    assert dict(rows["row-2"].context.categories) == {"city": "Oslo"}
    assert dict(rows["row-1"].context.categories) == {}
    assert dict(rows["row-2"].context.numbers) == {"age": 1.0}


def test_a_second_drive_uses_the_placement_of_the_first(
    service: FakeService, target: str, test_file: Path
) -> None:
    drive(target, test_file, "--json")
    placement = parse_catalog(service.document).placements[1].id
    revision = service.revision
    result = drive(target, test_file, "--json", "--placement", placement)
    assert result.exit_code == 0, result.stderr
    assert service.revision == revision


def test_conflicts_are_retried_five_times(service: FakeService, target: str, test_file: Path) -> None:
    service.conflicts_left = 4
    assert drive(target, test_file, "--json").exit_code == 0
    service.conflicts_left = 5
    result = drive(target, test_file, "--json")
    assert result.exit_code == 1
    assert "ABORTED (REVISION_CONFLICT)" in str(result.exception)


def test_a_decider_that_switches_late_is_waited_for(
    service: FakeService, target: str, test_file: Path
) -> None:
    asked = []

    def choose(request: pb.DecideRequest) -> str:
        asked.append(1)
        if len(asked) < 5:
            raise Refusal("NOT_FOUND", "UNKNOWN_PLACEMENT")
        return "drive-a"

    service.choose = choose
    result = drive(target, test_file, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["matched"] == 300


def test_people_get_a_table_and_a_verdict(service: FakeService, target: str, test_file: Path) -> None:
    service.choose = lambda request: "drive-b"
    result = drive(target, test_file)
    assert "uniform (mean of arms)" in result.stdout
    assert (
        "Above uniform by more than 2 standard errors: last half of matched rows 0.5, uniform 0.375"
        in result.stdout
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--action", "arms"), "no column 'arms'; the file has 'age', 'city', 'arm', 'visit'"),
        (("--reward", "city", "--context", "age"), "line 2, column 'city': '' is not a finite number"),
        (("--context", "age,visit"), "'visit' is not known before deciding"),
        (("--window", "soon"), "--window: 'soon' is not a duration"),
        (("--placement", "hero"), "no placement 'hero'; it has home"),
        (("--placement", "home"), "no feedback kind 'reward'"),
    ],
)
def test_a_wrong_command_is_told_plainly_with_status_2(
    target: str, test_file: Path, more: tuple[str, ...], message: str
) -> None:
    result = drive(target, test_file, *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"arm,visit,age,city\nA,1,2,\xff\n", "not UTF-8"),
        (gzip.compress(b"arm,visit,age,city\nA,1,2,3\n" * 100, mtime=0)[:40], "ended before"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(DriveRefused, match=f"{path}: .*{message}"):
        read_csv(path, Columns("arm", "visit", ("age", "city")))
    with pytest.raises(DriveRefused, match="No such file"):
        read_csv(tmp_path / "absent.csv", Columns("arm", "visit", ("age", "city")))


def test_nobody_there_is_told_plainly_with_status_1(test_file: Path) -> None:
    result = drive("127.0.0.1:1", test_file)
    assert result.exit_code == 1
    assert "127.0.0.1:1: UNAVAILABLE" in str(result.exception)


def test_the_arms_of_a_real_test_have_the_published_figures(shared_data: Path | None) -> None:
    if shared_data is None:
        return
    columns = Columns(
        "segment", "visit", ("recency", "history_segment", "history", "mens", "zip_code", "channel")
    )
    table = read_csv(shared_data / "hillstrom" / "hillstrom_dev.csv.gz", columns)
    reference = json.loads((shared_data / "hillstrom" / "reference.json").read_text())["dev"]
    arms = summarise(table, []).arms
    assert len(table.rows) == reference["rows"]
    assert table.numeric == {"recency", "history", "mens"}
    assert arms.keys() == reference["arms"].keys()
    for name, arm in arms.items():
        known = reference["arms"][name]
        assert arm.n == known["n"]
        assert arm.mean == pytest.approx(known["visit"]["mean"], rel=1e-12)
        assert arm.se == pytest.approx(known["visit"]["std"] / known["n"] ** 0.5, rel=1e-9)
