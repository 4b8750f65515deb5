"""`offer-optimizer export`: any log as dsjson for Vowpal Wabbit, or as OBP's feedback dictionary."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from offer_optimizer.cli import log_options as given
from offer_optimizer.core.errors import InvalidInput, OfferOptimizerError
from offer_optimizer.core.log import Log
from offer_optimizer.evaluate.dsjson_export import Lessons, export_dsjson, training_arguments
from offer_optimizer.evaluate.ledger_rows import LedgerRowsLog
from offer_optimizer.evaluate.reading import guess_format
from offer_optimizer.formats.obp_feedback import obp_feedback, save_obp_feedback
from offer_optimizer.policy.vw_options import VwOptions

FORMS: Final = ("dsjson", "obp")


def export(
    log: given.LogPath,
    *,
    to: Annotated[Path, typer.Option("--to", help="The file to write; must not exist.")],
    form: Annotated[str, typer.Option("--as", help="dsjson, or obp (a .npz of numpy arrays).")],
    format_name: given.Format = "",
    lessons: Annotated[
        bool,
        typer.Option(
            "--lessons",
            help="dsjson: labels as the placement's vw policy learned them, so that vw makes its very model.",
        ),
    ] = False,
    placement: given.Placement = "",
    start: given.Start = "",
    end: given.End = "",
    action: given.Action = "",
    reward: given.Reward = "",
    propensity: given.Propensity = "",
    context: given.Context = "",
    visitor: given.Visitor = "",
    time: given.Time = "",
    leave_out: given.LeaveOut = "",
    as_text: given.AsText = "",
    delimiter: given.Delimiter = "",
) -> None:
    """Write a log for other tools. A ledger as Parquet: see `offer-optimizer ledger export`."""
    options = {
        "placement": placement,
        "start": start,
        "end": end,
        "action": action,
        "reward": reward,
        "propensity": propensity,
        "context": context,
        "visitor": visitor,
        "time": time,
        "leave_out": leave_out,
        "as_text": as_text,
        "delimiter": delimiter,
    }
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        if form not in FORMS:
            raise InvalidInput("--as", f"{form[:40]!r} must be one of {', '.join(FORMS)}")
        name = format_name or guess_format(log)
        if lessons:
            if name != "ledger" or form != "dsjson":
                raise InvalidInput("--lessons", "is for ledgers as dsjson")
            options["reward"] = "reward_learned"
        _export(log, to, form, name, options, console, lessons=lessons)
    except OfferOptimizerError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _export(
    path: Path,
    to: Path,
    form: str,
    format_name: str,
    options: dict[str, Any],
    console: Console,
    *,
    lessons: bool,
) -> None:
    with given.opened_log(path, format_name, "exporting", **options) as log:
        policy = _vw_options(log, is_required=lessons) if form == "dsjson" else None
        if lessons and policy is not None and policy.numbers == "standardised" and options["start"]:
            raise InvalidInput("--from", "leaves out lessons that say what is much: numbers are standardised")
        if form == "obp":
            feedback = obp_feedback(log)
            with _new_file(to) as file:
                save_obp_feedback(feedback, file)
            count = int(feedback["n_rounds"])
        else:
            with _new_file(to) as file:
                count = export_dsjson(log, file, Lessons(policy) if lessons and policy else None)
    given.print_reading(log, console)
    console.print(f"{count:,} rows written to {to}", markup=False)
    if policy is not None:
        arguments = shlex.join([*training_arguments(policy, of_lessons=lessons), "-d", str(to)])
        console.print(f"train Vowpal Wabbit on it as the placement does: vw {arguments}", markup=False)


def _new_file(to: Path) -> Any:  # noqa: ANN401  (a binary file)
    try:
        return to.open("xb")
    except FileExistsError:
        raise InvalidInput("--to", f"{to} exists: choose another name, or remove it") from None
    except OSError as error:
        raise InvalidInput("--to", f"{to}: {error.strerror or error}") from None


def _vw_options(log: Log, *, is_required: bool) -> VwOptions | None:
    """Return the options of the vw policy that the ledger's newest catalog gives the placement."""
    if isinstance(log, LedgerRowsLog):
        choice = log.catalogs[max(log.catalogs)].placement_by_id[log.placement_id].policy
        if choice.name == "vw":
            options = VwOptions.model_validate(choice.options)
            # The logged form has numbers as they came; what VW was told depends on all that came before.
            return options if is_required or options.numbers == "squashed" else None
    if is_required:
        raise InvalidInput("--lessons", "is for ledgers whose placement runs the vw policy")
    return None
