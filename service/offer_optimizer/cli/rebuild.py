"""`offer-optimizer rebuild`: derive every model again from the ledger, and compare with the live ones.

Or ask what another reward would have made of history, and make it so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from offer_optimizer.cli.operator_call import LOCAL, TIMEOUT_S, Reason, Target, Timeout
from offer_optimizer.core.errors import OfferOptimizerError
from offer_optimizer.learn.base_snapshot import base_in_force
from offer_optimizer.learn.rebuild import ModelComparison, Rebuilt
from offer_optimizer.store.base_file import BaseFile, BaseStore
from offer_optimizer.store.files import Files
from offer_optimizer.store.fold_tables import FoldTables
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger
from offer_optimizer.store.shadow_file import ShadowStore
from offer_optimizer.store.snapshots import Snapshot, SnapshotStore


def rebuild(
    data: Annotated[Path, typer.Option(help="Data directory; a running server is not disturbed.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Compare with the live models; change nothing.")
    ] = False,
    reward: Annotated[str, typer.Option(help="Score history by another reward: CEL, or a YAML file.")] = "",
    final: Annotated[bool, typer.Option("--final", help="Count late and retracted feedback too.")] = False,
    placement: Annotated[str, typer.Option(help="The placement, with --reward or --final.")] = "",
    do_promote: Annotated[
        bool, typer.Option("--promote", help="Make it so: train the model, then apply the catalog.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before a promotion.")] = False,
    reason: Reason = "",
    target: Target = LOCAL,
    timeout_s: Timeout = TIMEOUT_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Derive models again from the ledger: to compare them, or to see what another reward would change.

    Where retention moved days to the archive, the beginning is the base snapshot that stands for them; models
    begin as the last erasure left them.
    """
    if check == bool(reward or final) or (do_promote and check):
        print("error: one of --check, and --reward or --final, is needed", file=sys.stderr)
        raise typer.Exit(2)
    if check:
        _compare(data, as_json=as_json)
        return
    from offer_optimizer.cli.rescore import Wanted, print_change, promote, study

    wanted = Wanted(placement, reward, final)
    print_change(study(data, wanted, quiet=as_json), as_json=as_json)
    if do_promote:
        if not yes:
            typer.confirm(f"Make it so at {placement}?", abort=True, err=True)
        promote(wanted, reason, target, timeout_s)


def _compare(data: Path, *, as_json: bool) -> None:
    """Compare fold and models with those derived from the ledger; exit with 1 where they differ."""
    try:
        comparisons, differing, position, origin = _check(DataDirectory(data), quiet=as_json)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    is_equal = not differing and all(comparison.is_equal for comparison in comparisons)
    if as_json:
        models = [
            {
                "placement": comparison.placement_id,
                "policy_epoch": comparison.policy_epoch,
                "learned_count": comparison.learned_count,
                "live_sha256": comparison.live_sha256,
                "rebuilt_sha256": comparison.rebuilt_sha256,
                "equal": comparison.is_equal,
            }
            for comparison in comparisons
        ]
        print(
            json.dumps(
                {
                    "ledger_position": position,
                    "from": origin,
                    "equal": is_equal,
                    "models": models,
                    "differing": differing,
                }
            )
        )
    else:
        print(f"from {origin}")
        _print(comparisons, differing, position, is_equal=is_equal)
    raise typer.Exit(0 if is_equal else 1)


def _check(directory: DataDirectory, *, quiet: bool) -> tuple[list[ModelComparison], list[str], int, str]:
    store = SnapshotStore(Files(), directory.snapshots)
    # Snapshots first: whatever they have learned is in the ledger by then.
    snapshots = _current(store)
    ledger = Ledger.open_for_reading(directory.ledger_path)
    base = base_in_force(ledger, BaseStore(Files(), directory.bases))
    live = FoldTables(ledger.connection)
    position = live.state("position")
    with Progress(disable=quiet, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("folding the ledger", total=position)
        rebuilt = Rebuilt(ledger, position, lambda done, _all: progress.update(task, completed=done), base)
        comparisons = [
            rebuilt.compare(snapshot)
            for snapshot in snapshots
            if rebuilt.is_of_this_release(snapshot.policy_epoch) and not rebuilt.is_before_base(snapshot)
        ]
        comparisons += _shadows(directory, rebuilt)
    differing = rebuilt.differing_rows(live)
    rebuilt.close()
    return comparisons, differing, position, origin_of(base)


def _shadows(directory: DataDirectory, rebuilt: Rebuilt) -> Iterator[ModelComparison]:
    """Yield the comparison of every shadow that the ledger can still derive, sums and all."""
    store = ShadowStore(Files(), directory.shadows)
    for key in store.names():
        state = store.read(*key)
        if state is None or state.ledger_position > rebuilt.fold.position:
            continue
        from offer_optimizer.evaluate.shadow_judge import ShadowJudge

        found = rebuilt.compare_shadow(state, ShadowJudge)
        if found is not None:
            yield found


def origin_of(base: BaseFile | None) -> str:
    """Return what a rebuild starts from, for people."""
    if base is None:
        return "the beginning of the ledger"
    header = base.header
    models = "; models begin as the last erasure left them" if base.is_rewritten else ""
    if not header.ledger_position:
        return f"the beginning of the ledger{models}"
    when = datetime.fromtimestamp(header.ledger_time_us // 1_000_000, UTC).isoformat(timespec="seconds")
    return f"the base snapshot of position {header.ledger_position} ({when}), then the ledger{models}"


def _current(store: SnapshotStore) -> list[Snapshot]:
    found = []
    for placement_id in store.placements():
        for epoch in store.epochs(placement_id):
            name = store.current_name(placement_id, epoch)
            if name is not None:
                found.append(store.load(placement_id, name))
    return found


def _print(
    comparisons: list[ModelComparison], differing: list[str], position: int, *, is_equal: bool
) -> None:
    console = Console()
    table = Table("placement", "examples", "live SHA-256", "rebuilt SHA-256", "")
    for comparison in comparisons:
        verdict = (
            "equal" if comparison.is_equal else f"DIFFERS (rebuilt from {comparison.rebuilt_count} examples)"
        )
        table.add_row(
            comparison.placement_id,
            str(comparison.learned_count),
            comparison.live_sha256[:16],
            comparison.rebuilt_sha256[:16],
            verdict,
        )
    console.print(table)
    for line in differing:
        console.print(line, markup=False)
    console.print(f"ledger position {position}: " + ("all equal, byte for byte" if is_equal else "NOT equal"))
