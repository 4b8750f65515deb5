"""Any log by one call: `read_log("events.json")`, `read_log("test.csv", action="segment", ...)`.

The format is guessed, where none is given, by what is there, in this order: a data directory or its
`ledger.sqlite` is `ledger`; a folder with Parquet files, or a file that begins as they do, is `parquet`; a
file whose first byte that is no space is `{` is `dsjson`; a table with the columns of the Open Bandit
Dataset, or a folder with one, is `obd`; any other table is `csv`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from offer_optimizer.core.errors import DamagedFile, InvalidInput, NotFound
from offer_optimizer.core.log import Log
from offer_optimizer.evaluate.ledger_rows import FOREVER_US, LedgerRowsLog, RewardKind
from offer_optimizer.formats.csv_file import CsvLog
from offer_optimizer.formats.csv_values import CsvColumns
from offer_optimizer.formats.dsjson import DsjsonLog
from offer_optimizer.formats.lines import Progress, is_gzipped, open_raw
from offer_optimizer.formats.open_bandit import is_open_bandit, logs_in, read_open_bandit
from offer_optimizer.formats.parquet import ParquetLog
from offer_optimizer.store.layout import DataDirectory
from offer_optimizer.store.ledger import Ledger

Options = Mapping[str, Any]
_PEEKED_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Format:
    """How a format is opened, and which options it takes; the required ones come first."""

    open: Callable[[Path, Options, Progress | None], Log]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def read_log(
    path: str | Path,
    format: str | None = None,  # noqa: A002  (what everybody calls it)
    *,
    progress: Progress | None = None,
    **options: Any,  # noqa: ANN401  (each format checks its own)
) -> Log:
    """Return a log. Nothing but its beginning is read; `progress` hears how far a reading has come.

    Options by format (None and empty ones count as not given):
    - ledger: placement; start, end: datetimes or ISO 8601, of decisions, the end excluded; reward, which is
      reward_final unless it is reward_learned
    - parquet: placement, where there are several; reward (reward_final or reward_learned)
    - dsjson: visitor (a context field), reward ("-cost" or "cost"), leave_out (features not to read)
    - csv: action, reward, propensity (number, 1/3 or column), context (columns or "*"); visitor, time,
      leave_out (columns that "*" doesn't take), as_text (columns that are no numbers), delimiter
    - obd: none

    Raises NotFound, DamagedFile, and InvalidInput naming the option.
    """
    where = Path(path)
    if not where.exists():
        raise NotFound(f"{where}: there is no such file or folder")
    name = format or guess_format(where)
    found = FORMATS.get(name)
    if found is None:
        raise InvalidInput("format", f"{name[:40]!r} is unknown; there are: {', '.join(FORMATS)}")
    given = {key: value for key, value in options.items() if value not in (None, "", (), [])}
    _check_options(name, found, given)
    return found.open(where, given, progress)


def guess_format(path: Path) -> str:
    """Return the format of a file or folder. Raises InvalidInput listing the formats where nothing fits."""
    found = _guess_folder(path) if path.is_dir() else _guess_file(path)
    if found is None:
        listed = ", ".join(FORMATS)
        raise InvalidInput(str(path), f"does not look like any format; name one with format: {listed}")
    return found


def _guess_folder(path: Path) -> str | None:
    if DataDirectory(path).ledger_path.exists():
        return "ledger"
    if next(path.rglob("*.parquet"), None) is not None:
        return "parquet"
    return "obd" if logs_in(path) else None


def _guess_file(path: Path) -> str | None:
    head = _head(path)
    if head.startswith(b"SQLite format 3\0"):
        return "ledger"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return "dsjson"
    try:
        return "obd" if is_open_bandit(path) else "csv"
    except InvalidInput:
        return None


def _head(path: Path) -> bytes:
    try:
        with open_raw(path) as raw:
            file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if is_gzipped(path) else raw
            return file.read(_PEEKED_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFile(str(path), str(error)) from error


def _check_options(name: str, found: _Format, given: Options) -> None:
    known = (*found.required, *found.optional)
    for option in given:
        if option not in known:
            raise InvalidInput(option, f"is no option of {name}; it has: {', '.join(known) or 'none'}")
    for option in found.required:
        if option not in given:
            raise InvalidInput(option, f"is needed to read {name}")


def _open_ledger(path: Path, options: Options, progress: Progress | None) -> Log:
    ledger_path = DataDirectory(path).ledger_path if path.is_dir() else path
    start_us, end_us = _time_us("start", options, 0), _time_us("end", options, FOREVER_US)
    if start_us >= end_us:
        raise InvalidInput("end", "is not behind the start")
    ledger = Ledger.open_for_reading(ledger_path)
    reward = _reward_kind(options)
    return LedgerRowsLog(ledger, options["placement"], start_us, end_us, reward=reward, progress=progress)


def _open_parquet(path: Path, options: Options, _progress: Progress | None) -> Log:
    return ParquetLog.open(path, options.get("placement"), _reward_kind(options))


def _reward_kind(options: Options) -> RewardKind:
    match reward := options.get("reward", "reward_final"):
        case "reward_final" | "reward_learned":
            return reward  # type: ignore[no-any-return]
    raise InvalidInput("reward", f"{str(reward)[:40]!r} must be reward_final or reward_learned")


def _open_dsjson(path: Path, options: Options, progress: Progress | None) -> Log:
    reward = options.get("reward", "-cost")
    if reward not in ("-cost", "cost"):
        raise InvalidInput("reward", f"{str(reward)[:40]!r} must be -cost or cost")
    return DsjsonLog(
        path,
        visitor=options.get("visitor", ""),
        reward=reward,
        leave_out=_names(options.get("leave_out", ())),
        progress=progress,
    )


def _open_csv(path: Path, options: Options, progress: Progress | None) -> Log:
    columns = CsvColumns(
        action=options["action"],
        reward=options["reward"],
        propensity=str(options["propensity"]),
        context=_names(options["context"]),
        visitor=options.get("visitor", ""),
        time=options.get("time", ""),
        leave_out=_names(options.get("leave_out", ())),
        as_text=_names(options.get("as_text", ())),
    )
    delimiter = options.get("delimiter", ",")
    # What a shell passes on for a tab.
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        raise InvalidInput("delimiter", f"{delimiter[:20]!r} must be one ASCII character between values")
    return CsvLog(path, columns, delimiter=delimiter, progress=progress)


def _open_obd(path: Path, _options: Options, progress: Progress | None) -> Log:
    return read_open_bandit(path, progress=progress)


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return names that are given as a sequence or with commas between."""
    names = value.split(",") if isinstance(value, str) else value
    return tuple(name.strip() for name in names if name.strip())


def _time_us(option: str, options: Options, otherwise: int) -> int:
    """Return a time in microseconds; one without a zone is UTC. Raises InvalidInput."""
    value = options.get(option)
    if value is None:
        return otherwise
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        example = "2026-05-01 or 2026-05-01T12:00:00+02:00"
        raise InvalidInput(option, f"{str(value)[:40]!r} is not a time such as {example}") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)


FORMATS: Final[Mapping[str, _Format]] = {
    "ledger": _Format(_open_ledger, ("placement",), ("start", "end", "reward")),
    "parquet": _Format(_open_parquet, (), ("placement", "reward")),
    "dsjson": _Format(_open_dsjson, (), ("visitor", "reward", "leave_out")),
    "csv": _Format(
        _open_csv,
        ("action", "reward", "propensity", "context"),
        ("visitor", "time", "leave_out", "as_text", "delimiter"),
    ),
    "obd": _Format(_open_obd),
}
"""The formats, by name."""
