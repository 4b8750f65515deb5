"""Vowpal Wabbit's own cases and figures, through our reader and our policy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from offer_optimizer.formats.dsjson import DsjsonLog
from offer_optimizer.policy.contract import Action
from offer_optimizer.policy.vw import VwPolicy
from offer_optimizer.policy.vw_native import NATIVE
from offer_optimizer.policy.vw_options import VwOptions
from tests.conftest import REPOSITORY
from tools.vw_conformance import DEFAULTS, examples_of, run_cases, run_training_references, table


def test_every_supported_case_has_vws_loss(shared_data: Path | None, figure: Callable[[str], None]) -> None:
    if shared_data is None:
        return
    results = [*run_cases(shared_data), *run_training_references(shared_data)]
    run = [result for result in results if not result.reason]
    assert [result for result in run if not result.is_equal] == []
    assert len(run) >= 11
    figure(f"{len(run)} of {len(results)} cases of Vowpal Wabbit are run, all with its average loss")


def test_the_table_of_the_documentation_is_what_the_tool_prints(shared_data: Path | None) -> None:
    if shared_data is None:
        return
    text = (REPOSITORY / "docs" / "evaluation.md").read_text()
    found = re.search(r"<!-- vw cases -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    assert found is not None
    expected = "\n".join(table([*run_cases(shared_data), *run_training_references(shared_data)]))
    assert found[1].strip() == expected, "run tools/vw_conformance.py and put its table there"


def test_the_model_is_the_one_that_vw_makes_of_the_file(shared_data: Path | None, tmp_path: Path) -> None:
    if shared_data is None:
        return
    file = shared_data / "vw" / "inputs" / "dsjson_cb.json"
    options = VwOptions(
        exploration="softmax", learning_rate=0.5, power_t=0.5, interactions=False, numbers="squashed"
    )
    ours = VwPolicy(options, manner=NATIVE)
    log = DsjsonLog(file)
    examples = [example for rows in log.batches() for example, _ in examples_of(log, rows)]
    for example in examples:
        ours.learn(example)
    command = [sys.executable, "-m", "vowpalwabbit", "--dsjson", *options.arguments(), "-d", str(file)]
    subprocess.run([*command, "-f", "model"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    header = ours.save().partition(b"\n")[0]
    theirs = VwPolicy(options, header + b"\n" + (tmp_path / "model").read_bytes(), manner=NATIVE)
    for example in examples:
        expected = theirs.pmf(example.context, example.actions)
        np.testing.assert_allclose(ours.pmf(example.context, example.actions), expected, rtol=1e-4)


def test_predictions_are_those_that_vw_wrote(shared_data: Path | None) -> None:
    if shared_data is None:
        return
    policy = VwPolicy(VwOptions(**DEFAULTS), manner=NATIVE)
    log = DsjsonLog(shared_data / "vw" / "inputs" / "cb_features_w_zero_vals.dsjson")
    (rows,) = log.batches()
    lines = (shared_data / "vw" / "expected" / "304_cb_zero_feature_vals_dsjson.predict").read_text().split()
    for row, line in enumerate(lines):
        expected = [float(pair.split(":")[1]) for pair in line.split(",")]
        actions = [Action(str(at), features) for at, features in enumerate((rows.attributes or [])[row])]
        np.testing.assert_allclose(policy.pmf(rows.contexts.features(row), actions), expected, rtol=1e-6)
