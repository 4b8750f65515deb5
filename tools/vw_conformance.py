"""Vowpal Wabbit's own regression cases through our reader and our policy, as a table for docs/evaluation.md.

A case is supported where its input is dsjson with one slot and its options are among those of our vw policy;
the others are listed with the reason. What is compared is VW's progressive average loss: of each event,
before it is learned, the cost of the chosen offer times the policy's probability of it over the logged one,
by weight.

    python tools/vw_conformance.py DATA      print the table for a folder of reference data
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from offer_optimizer.core.log import LogRows
from offer_optimizer.formats.dsjson import DsjsonLog
from offer_optimizer.policy.contract import Action, Example
from offer_optimizer.policy.vw import VwPolicy
from offer_optimizer.policy.vw_native import NATIVE, feature_count
from offer_optimizer.policy.vw_options import VwOptions

DEFAULTS: Final[dict[str, Any]] = {
    "exploration": "epsilon",
    "epsilon": 0.05,
    "learning_rate": 0.5,
    "power_t": 0.5,
    "interactions": False,
    "numbers": "squashed",
}
"""What VW takes where a command says nothing."""
WITHOUT_EFFECT: Final = {
    "--quadratic GT": "no namespace begins with G or T",
    "--audit": "prints more",
    "-P 1": "prints more",
}
"""Options of cases that change no loss, and why."""
_FILE_OPTIONS: Final = re.compile(r"(-d|-p|-f|--extra_metrics|--dump_json_weights_experimental) \S+")


@dataclass(frozen=True, slots=True)
class Result:
    """A case: what it is, and either both losses with the example counts or the reason it is not run."""

    name: str
    arguments: str
    reason: str = ""
    loss: float = 0.0
    expected_loss: float = 0.0
    count: int = 0
    expected_count: int = 0
    features: int = 0
    expected_features: int | None = None

    @property
    def is_equal(self) -> bool:
        """Return whether the loss agrees to VW's six printed decimals, and the counts to the last."""
        features = self.expected_features in (None, self.features)
        return abs(self.loss - self.expected_loss) < 2e-6 and self.count == self.expected_count and features


def run_cases(data: Path) -> Iterator[Result]:
    """Run every case of VW's manifest that is supported."""
    for case in json.loads((data / "vw" / "manifest.json").read_text()):
        name, arguments = f"{case['vw_test_id']} {case['desc']}", case["args"]
        options = _options_of(arguments)
        if isinstance(options, str):
            yield Result(name, arguments, reason=options)
            continue
        loss, count, features = progressive_loss(data / "vw" / _input_of(arguments), options)
        yield Result(
            name,
            arguments,
            loss=loss,
            expected_loss=float(case["expected_average_loss"]),
            count=count,
            expected_count=case["expected_examples"],
            features=features,
        )


def run_training_references(data: Path) -> Iterator[Result]:
    """Run the training references of the dsjson logs."""
    found = json.loads((data / "dsjson_logs" / "vw_training_reference.json").read_text())
    for file, runs in found.items():
        for name, run in runs.items():
            options = _options_of(run["args"])
            if isinstance(options, str):
                yield Result(f"{file} {name}", run["args"], reason=options)
                continue
            loss, count, features = progressive_loss(data / "dsjson_logs" / file, options)
            yield Result(
                f"{file} {name}",
                run["args"],
                "",
                loss,
                float(run["average_loss"]),
                count,
                run["examples"],
                features,
                run["total_features"],
            )


def progressive_loss(file: Path, options: VwOptions) -> tuple[float, int, int]:
    """Return average loss, examples and features of one pass over a dsjson file."""
    policy = VwPolicy(options, manner=NATIVE)
    log = DsjsonLog(file)
    loss = weights = 0.0
    count = features = 0
    for rows in log.batches():
        for row, (example, weight) in enumerate(examples_of(log, rows)):
            pmf = policy.pmf(example.context, example.actions)
            loss -= weight * rows.reward[row] * pmf[example.chosen] / rows.propensity[row]
            weights += weight
            count += 1
            features += feature_count(example.context, example.actions)
            policy.learn(example)
    policy.close()
    return loss / weights, count, features


def examples_of(log: DsjsonLog, rows: LogRows) -> Iterator[tuple[Example, float]]:
    """Yield every row as an example, with its weight."""
    if rows.attributes is None:
        raise TypeError("a dsjson log has attributes")
    for row, attributes in enumerate(rows.attributes):
        offers = rows.offers[row, : len(attributes)].tolist()
        actions = tuple(
            Action(log.vocabulary.ids[offer], features)
            for offer, features in zip(offers, attributes, strict=True)
        )
        weight = 1.0 if rows.weight is None else float(rows.weight[row])
        reward = float(rows.reward[row])
        chosen = offers.index(int(rows.chosen[row]))
        yield (
            Example(rows.contexts.features(row), actions, chosen, float(rows.propensity[row]), reward),
            weight,
        )


def _input_of(arguments: str) -> str:
    """Return the file that a command reads: VW prefers the one that no option names."""
    without = _FILE_OPTIONS.sub("", arguments)
    found = re.findall(r"inputs/\S+", without) or re.findall(r"-d (\S+)", arguments)
    return str(found[0])


def _options_of(arguments: str) -> VwOptions | str:
    """Return the options of a command as those of our policy, or why they are none."""
    if "--slates" in arguments or "--ccb" in arguments:
        return "several slots are read and reported, not evaluated yet"
    if "--dsjson" not in arguments:
        return "input is VW's JSON, not dsjson" if "--json" in arguments else "input is VW's text, not dsjson"
    rest = _FILE_OPTIONS.sub("", arguments.replace("--dsjson", ""))
    for harmless in WITHOUT_EFFECT:
        rest = rest.replace(harmless, "")
    options = dict(DEFAULTS)
    words = [word for word in rest.split() if not word.startswith("inputs/")]
    while words:
        word = words.pop(0)
        if word == "--epsilon":
            options["epsilon"] = float(words.pop(0))
        elif word == "--cb_type" and words[0] == "mtr":
            words.pop(0)
        elif word != "--cb_explore_adf":
            value = f" {words[0]}" if word == "--cb_type" else ""
            return f"`{word}{value}` is no option of our policy"
    return VwOptions(**options)


def table(results: list[Result]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| case | options | reference | ours |", "|---|---|---|---|"]
    for result in results:
        options = " ".join(_FILE_OPTIONS.sub("", result.arguments).split()).replace("|", "\\|")
        if result.reason:
            cells = ["", f"not run: {result.reason}"]
        else:
            cells = [f"{result.expected_loss:.6f}", f"{result.loss:.6f}"]
        lines.append(f"| {result.name} | `{options}` | {cells[0]} | {cells[1]} |")
    return lines


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print("\n".join(table([*run_cases(folder), *run_training_references(folder)])))
