"""Points in time and time zones as catalogs write them. A point in time always has a zone.

Zones come from the tz database; nothing here asks what time it is.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.yaml_tree import quote

FORMS: Final = "`2026-11-27T00:00:00+01:00` or `2026-11-27 00:00 Europe/Berlin`"
_TIME: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)(?:[Tt ](?P<clock>\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?))?"
    r"(?P<offset> ?(?:[Zz]|[+-]\d\d:\d\d))?(?: (?P<zone>[A-Za-z][A-Za-z0-9/_+-]*))?"
)
_YEARS: Final = range(1970, 2201)
# What the tz database's folder may hold beside zones; they differ from machine to machine.
_NO_ZONES: Final = ("localtime", "posixrules", "Factory")


def parse_time_us(text: str) -> int:
    """Return a point in time in microseconds since the epoch. Raises InvalidInput that shows the mend."""
    found = _TIME.fullmatch(text)
    if not found or (found["offset"] and found["zone"]):
        raise InvalidInput("time", f"must be a point in time like {FORMS} (is {quote(text)})")
    date, clock = found["date"], found["clock"]
    if clock is None:
        raise InvalidInput("time", f"says no time of day; write it like {FORMS} (is {quote(text)})")
    try:
        local = datetime.fromisoformat(f"{date}T{clock}")
    except ValueError as error:
        raise InvalidInput("time", f"is no date: {error} (is {quote(text)})") from None
    if local.year not in _YEARS:
        raise InvalidInput("time", f"must be from {_YEARS[0]} to {_YEARS[-1]} (is {quote(text)})")
    if found["zone"]:
        return _in_zone(local, found["zone"], text)
    if not found["offset"]:
        mend = f"`{date}T{clock}Z`, `{date}T{clock}+01:00` or `{date} {clock} Europe/Berlin`"
        raise InvalidInput("time", f"says no zone: write it like {mend} (is {quote(text)})")
    try:
        return _since_epoch_us(datetime.fromisoformat(f"{date}T{clock}{found['offset'].strip().upper()}"))
    except ValueError as error:
        raise InvalidInput("time", f"has no sound offset: {error} (is {quote(text)})") from None


def check_zone(name: str) -> None:
    """Raise InvalidInput unless the tz database has this zone."""
    try:
        if name not in _NO_ZONES:
            ZoneInfo(name)
            return
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    near = difflib.get_close_matches(name, zoneinfo.available_timezones() - {*_NO_ZONES}, n=1)
    hint = f"did you mean {near[0]}?" if near else "write it like Europe/Berlin or UTC"
    raise InvalidInput("zone", f"there is no time zone {quote(name)}; {hint}")


def _in_zone(local: datetime, name: str, text: str) -> int:
    check_zone(name)
    zone = ZoneInfo(name)
    first, second = (_since_epoch_us(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first == second:
        return first
    offsets = [local.replace(tzinfo=zone, fold=fold).isoformat() for fold in (0, 1)]
    if first > second:
        advice = "the clocks go forward over it"
    else:
        advice = f"the clocks go back over it: write `{offsets[0]}` or `{offsets[1]}`"
    count = "does not exist" if first > second else "happens twice"
    raise InvalidInput("time", f"{count} in {name}, {advice} (is {quote(text)})")


def _since_epoch_us(moment: datetime) -> int:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def format_time(time_us: int) -> str:
    """Return a point in time in UTC, as RFC 3339 has it."""
    seconds, fraction = divmod(time_us, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:06d}".rstrip("0") if fraction else "") + "Z"


def format_duration(seconds: float) -> str:
    """Return a duration as catalogs write it, in the largest unit that is whole."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
