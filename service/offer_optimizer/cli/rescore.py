"""What another reward would change, for people; and making it so: `offer-optimizer rebuild --reward`.

A promotion trains the new model first, beside the one that serves, and applies the catalog once it is there:
deciders switch from one trained model to another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from offer_optimizer.cli.operator_call import say
from offer_optimizer.cli.promotion import Asked, put_in_force
from offer_optimizer.cli.report_text import figure
from offer_optimizer.core.catalog import Placement, Reward
from offer_optimizer.core.catalog_document import parse_catalog
from offer_optimizer.core.catalog_edit import set_reward
from offer_optimizer.core.errors import InvalidCatalog, InvalidInput, UnknownPlacement
from offer_optimizer.core.features import show
from offer_optimizer.core.yaml_tree import plain, read_tree
from offer_optimizer.evaluate.reward_change import RewardChange, RewardChangeStudy
from offer_optimizer.learn.background import Background
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.policy import registry
from offer_optimizer.store.base_file import BaseStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: a reward as CEL or the name of a file, or empty for the one in force."""

    placement_id: str
    reward: str
    uses_final: bool


def study(data: Path, wanted: Wanted, *, quiet: bool) -> RewardChange:
    """Find out what would change, with a progress bar. Raises CannotStart, InvalidInput, InvalidCatalog."""
    directory = DataDirectory(data)
    ledger = Ledger.open_for_reading(directory.ledger_path)
    base = base_in_force(ledger, BaseStore(Files(), directory.bases))
    document = Background.read(ledger, FoldTables(ledger.connection).state("position")).document
    old, new = _placement(document, wanted), _placement(_rewarded(document, wanted), wanted)
    with Progress(disable=quiet, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def hear(phase: str, done: int, whole: int) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=whole or None)
            progress.update(tasks[phase], completed=done)

        return RewardChangeStudy(ledger, old, new, hear, uses_final=wanted.uses_final, base=base).run()


def print_change(change: RewardChange, *, as_json: bool) -> None:
    """Print what would change, to standard output."""
    if as_json:
        print(json.dumps(asdict(change)))
        return
    console = Console(highlight=False, soft_wrap=True)
    for sentence in sentences(change):
        console.print(sentence, markup=False)


def sentences(change: RewardChange) -> Iterator[str]:
    """Yield what would change."""
    if change.mean_old is None or change.mean_new is None:
        yield f"{change.placement_id}: no closed decision that a policy drew, so there is nothing to score."
        return
    yield (
        f"{change.placement_id}: {change.scored_count:,} closed decisions scored anew; "
        f"{change.changed_count:,} of them earn something else."
    )
    yield f"Mean reward: {change.mean_old:.4f} by the old formula, {change.mean_new:.4f} by the new one."
    yield f"Clipped to the new range: {change.clipped_count:,}. Without a number: {change.failed_count:,}."
    yield (
        "Both policies were trained on the older half and judged by the new reward on "
        f"{change.judged_count:,} decisions of the newer half (one step: caps, budgets, returns as logged):"
    )
    yield f"  they like another offer best in {change.differ_share or 0.0:.1%} of them;"
    yield f"  as it was served        {figure(change.served)};"
    yield f"  the old reward's policy {figure(change.old_policy)} (by IPS {figure(change.old_policy_ips)});"
    yield f"  the new reward's policy {figure(change.new_policy)} (by IPS {figure(change.new_policy_ips)});"
    yield f"  the difference          {figure(change.gain)}."
    if change.moved:
        yield f"Neither scored nor learned anew: {change.moved}."
    yield f"A promotion now gives a model of {change.learned_count:,} examples, {change.model_sha256[:16]}."


def promote(wanted: Wanted, reason: str, target: str, timeout_s: float) -> None:
    """Have the model trained, wait for it, and put the catalog in force that it belongs to."""
    revision = put_in_force(
        wanted.placement_id,
        lambda document: _rewarded(document, wanted),
        Asked(reason, target, timeout_s, uses_final=wanted.uses_final),
    )
    if revision is None:
        say(f"{wanted.placement_id} serves the new model; the catalog stays as it is.", "green")
        return
    say(f"Revision {revision} is in force: {wanted.placement_id} serves the new model.", "green")
    say("Write the new reward into the catalog file too, or the next apply puts the old one back.", "dim")


def _rewarded(document: str, wanted: Wanted) -> str:
    """Return the document with the wanted reward. Raises InvalidInput, InvalidCatalog, UnknownPlacement."""
    placement = _placement(document, wanted)
    if not wanted.reward:
        return document
    changed = set_reward(document, wanted.placement_id, _reward(wanted.reward, placement.reward))
    _placement(changed, wanted)
    return changed


def _placement(document: str, wanted: Wanted) -> Placement:
    placement = parse_catalog(document, registry.describe).placement_by_id.get(wanted.placement_id)
    if placement is None:
        raise UnknownPlacement("--placement", f"{show(wanted.placement_id)} is not in the catalog")
    return placement


def _reward(text: str, present: Reward) -> Reward:
    """Return a reward: CEL changes the formula alone, a file may hold formula, min, max and default."""
    if not text.endswith((".yaml", ".yml")):
        return present.model_copy(update={"formula": text})
    try:
        content = plain(read_tree(Path(text).read_text(encoding="utf-8")).root)
    except OSError as error:
        raise InvalidInput("--reward", f"{text}: can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, InvalidCatalog) as error:
        raise InvalidInput("--reward", f"{text}: is not YAML in UTF-8: {error}") from None
    if not isinstance(content, dict) or not content.keys() <= Reward.model_fields.keys():
        raise InvalidInput("--reward", f"{text}: must hold {', '.join(Reward.model_fields)} and nothing else")
    try:
        return Reward.model_validate({**present.model_dump(), **content})
    except ValidationError as error:
        defect = error.errors()[0]
        raise InvalidInput(
            "--reward", f"{text}: {'.'.join(map(str, defect['loc']))}: {defect['msg']}"
        ) from None
