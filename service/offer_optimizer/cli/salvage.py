"""`offer-optimizer salvage`: lets the learner pass over the damaged bytes of one segment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def salvage(
    segment: Annotated[str, typer.Argument(help="Name of the segment, as `doctor` prints it.")],
    data: Annotated[Path, typer.Option(help="Data directory.", envvar="OFFER_OPTIMIZER_DATA")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Give up what lies in the damage of a segment; every whole record stays and is learned.

    What is given up is lost: decisions and feedback whose bytes were changed. Restore the file from a backup
    if there is one. A running server goes on within seconds.
    """
    from offer_optimizer.core.errors import InvalidInput, NotFound
    from offer_optimizer.store.files import Files
    from offer_optimizer.store.layout import DataDirectory
    from offer_optimizer.store.salvage import find_damage, give_up
    from offer_optimizer.store.segment_format import SegmentName

    if SegmentName.parse(segment) is None:
        raise InvalidInput("segment", f"{segment!a} is not the name of a segment")
    files = Files()
    path = str(DataDirectory(data).segments / segment)
    if not files.exists(path):
        raise NotFound(f"{path}: does not exist")
    ranges, frame_count = find_damage(files, path)
    if not ranges:
        print(f"{path}: no damage, {frame_count} records")
        return
    for start, end in ranges:
        print(f"{path}: bytes {start} to {end} ({end - start:,}) are damaged")
    print(f"{frame_count} records are whole and stay.")
    if not yes:
        typer.confirm("Give up what lies in the damage?", abort=True, err=True)
    give_up(files, path, ranges)
    print("given up; the learner goes on behind it")
