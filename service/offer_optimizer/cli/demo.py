"""`offer-optimizer demo`: the real service, a shop whose truth is known, and whether learning paid.

Composition root of the demo: clock, sleep, directories and signals are read here and nowhere below.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

if TYPE_CHECKING:
    from offer_optimizer.demo.results import Results, Run

DECISIONS_PER_S: Final = 400.0
"""What two cores sustain for shop and service together with room left; slower machines slip."""
CLIENT_TIMEOUT_S: Final = 0.25
FLUSH_TIMEOUT_S: Final = 5.0
NOT_LEARNED_STATUS: Final = 1
SERVICE_FAILED_STATUS: Final = 2


def demo(
    seconds: Annotated[
        float, typer.Option(min=5.0, max=3600.0, help="How long visitors keep coming.")
    ] = 75.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of visitors and their answers.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder for the learning curve and the summary.")] = Path(
        "demo-out"
    ),
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the service's data directory.")
    ] = False,
) -> None:
    """Drive the real service with a simulated shop and show whether learning paid.

    Ends with status 1 when the learned policy did not beat both uniform and baseline with confidence,
    and with status 2 when the service failed.
    """
    from offer_optimizer.core.errors import OfferOptimizerError
    from offer_optimizer.demo.report import render_report

    console = Console(highlight=False)
    output.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="offer-optimizer-demo-"))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        results = _summarise(_run(console, directory, seconds=seconds, seed=seed))
    except OfferOptimizerError as error:
        console.print(f"The demo can't go on: {error}", style="bold red", markup=False)
        raise typer.Exit(SERVICE_FAILED_STATUS) from None
    finally:
        if keep_data:
            console.print(f"Data kept in {directory}", markup=False, soft_wrap=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    console.print(render_report(results))
    _save(console, results, output)
    if not results.learned_best:
        raise typer.Exit(NOT_LEARNED_STATUS)


def _run(console: Console, directory: Path, *, seconds: float, seed: int) -> Run:
    from offer_optimizer.client import Client
    from offer_optimizer.demo.catalog import CATALOG, PLACEMENTS
    from offer_optimizer.demo.display import Display
    from offer_optimizer.demo.drive_shop import ShopDriver
    from offer_optimizer.demo.service_process import ServiceProcess
    from offer_optimizer.demo.shop import BASELINE_OFFER
    from offer_optimizer.demo.traffic import plan_traffic

    console.print("Starting the service ...")
    with ServiceProcess(directory, CATALOG) as service:
        traffic = plan_traffic(math.ceil(seconds * DECISIONS_PER_S), seed)
        target = service.wait_ready()
        console.print(f"The service is ready at {target}; visitors come for {seconds:g} s.")
        baselines = {placement: [BASELINE_OFFER] for placement in PLACEMENTS}
        with (
            Client(target, timeout_s=CLIENT_TIMEOUT_S, baselines=baselines) as client,
            Display(console, seconds) as display,
        ):
            driver = ShopDriver(
                client,
                traffic,
                seconds=seconds,
                decisions_per_s=DECISIONS_PER_S,
                clock=time.monotonic,
                sleep=time.sleep,
            )

            def watch(elapsed_s: float) -> None:
                service.check()
                display.show(elapsed_s, driver.recorder.progress)

            driver.run(watch)
            client.flush(FLUSH_TIMEOUT_S)
            service.check()
    return driver.recorder.finish()


def _summarise(run: Run) -> Results:
    from offer_optimizer.core.errors import OfferOptimizerError
    from offer_optimizer.demo.results import summarise

    if len(run.visit) == 0:
        raise OfferOptimizerError("no decision was made; give it more seconds")
    return summarise(run)


def _save(console: Console, results: Results, output: Path) -> None:
    summary, picture = output / "summary.json", output / "learning_curve.png"
    summary.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    console.print(f"Figures: {summary}", markup=False, soft_wrap=True)
    try:
        from offer_optimizer.demo.plot import save_plot
    except ImportError:
        console.print("No picture without matplotlib: install offer-optimizer[plots].", markup=False)
        return
    save_plot(results, picture)
    console.print(f"Learning curve: {picture}", markup=False, soft_wrap=True)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Leave through the `with` blocks, so that the service is stopped and its directory removed."""
    raise SystemExit(128 + number)
