"""What differs between two catalogs, as lines for people: in the order of the new document, removals last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from offer_optimizer.core.catalog import Budget, Cap, Catalog, Kind, Offer, Placement, Window
from offer_optimizer.core.catalog_time import format_duration, format_time
from offer_optimizer.core.features import Features
from offer_optimizer.core.yaml_tree import quote

Part = Kind | Offer | Placement | Cap | Budget
_SHOWN_CHARACTERS = 60


def diff_catalogs(old: Catalog | None, new: Catalog) -> tuple[str, ...]:
    """Return one line per difference; none when both catalogs mean the same. No old one: all is added."""
    before = old or Catalog(offers=(), placements=())
    return (
        *_diff_parts("kind", before.kinds, new.kinds),
        *_diff_parts("offer", before.offers, new.offers),
        *_diff_parts("placement", before.placements, new.placements),
        *_diff_parts("cap", before.caps, new.caps),
        *_diff_parts("budget", before.budgets, new.budgets),
        *(_diff_value("holdout", before.holdout, new.holdout) if before.holdout != new.holdout else ()),
    )


def _diff_parts(word: str, old: Sequence[Part], new: Sequence[Part]) -> Iterator[str]:
    before = {part.id: part for part in old}
    after = {part.id: part for part in new}
    for part in new:
        if part.id not in before:
            yield f"{word} {part.id}: added"
        else:
            yield from (f"{word} {part.id}: {line}" for line in _diff_part(before[part.id], part))
    yield from (f"{word} {part.id}: removed" for part in old if part.id not in after)
    if [part.id for part in old if part.id in after] != [part.id for part in new if part.id in before]:
        yield f"{word}s: order changed"


def _diff_part(old: Part, new: Part) -> Iterator[str]:
    for name in type(new).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if name == "policy":
            if before.name != after.name:
                yield f"policy {before.name} -> {after.name}"
            yield from _diff_named("policy option", before.options, after.options)
        elif before == after:
            continue
        elif name == "attributes":
            yield from _diff_named("attribute", _flat(before), _flat(after))
        elif name == "reward":
            yield from _diff_named("reward", before.model_dump(), after.model_dump())
        elif name == "expected_reward":
            yield from _diff_named("expected_reward", before, after)
        elif isinstance(before, tuple):
            yield f"{name} {_list_change(before, after)}"
        else:
            yield from _diff_value(name, before, after)


def _diff_value(name: str, old: object, new: object) -> Iterator[str]:
    """Say how one field differs, each in the words of the document."""
    if name in ("window_s", "sticky_for_s", "grace_s"):
        # Durations, and below times, are written another way than they are kept.
        yield f"{name.removesuffix('_s')} {_show_duration(old)} -> {_show_duration(new)}"
    elif name in ("start_time_us", "end_time_us"):
        yield f"{name.removesuffix('_us')} {_show_time(old)} -> {_show_time(new)}"
    elif name == "holdout":
        yield f"holdout {_show_share(old)} -> {_show_share(new)}"
    elif isinstance(old, Window) and isinstance(new, Window):
        yield f"within {_show_window(old)} -> {_show_window(new)}"
    elif name == "eligible":
        # Rules are shown whole: what differs may stand at their end.
        yield f"eligible {_show_rule(old)} -> {_show_rule(new)}"
    else:
        yield f"{name} {_show(old)} -> {_show(new)}"


def _flat(features: Features) -> dict[str, object]:
    return {**dict(features.categories), **dict(features.numbers), **dict(features.tags)}


def _diff_named(word: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        label = f"{word} {_show(name)}"
        if name not in old:
            yield f"{label} added: {_show(new[name])}"
        elif name not in new:
            yield f"{label} removed"
        # 1 and true are equal to Python, and are not the same option.
        elif old[name] != new[name] or _show(old[name]) != _show(new[name]):
            yield f"{label} {_show(old[name])} -> {_show(new[name])}"


def _list_change(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    added = [f"+{entry}" for entry in new if entry not in old]
    removed = [f"-{entry}" for entry in old if entry not in new]
    return " ".join((*added, *removed)) or f"order {', '.join(old)} -> {', '.join(new)}"


def _show_duration(seconds: object) -> str:
    return format_duration(seconds) if isinstance(seconds, float) and seconds else "none"


def _show_time(time_us: object) -> str:
    return format_time(time_us) if isinstance(time_us, int) else "none"


def _show_share(share: object) -> str:
    # Twelve digits: 0.07 * 100 is a little more than 7.
    return f"{share * 100:.12g}%" if isinstance(share, float) else "none"


def _show_window(window: Window) -> str:
    if window.rolling_s is not None:
        return format_duration(window.rolling_s)
    return "for ever" if window.period is None else f"{window.period} in {window.zone}"


def _show_rule(rule: object) -> str:
    line = " ".join(str(rule).split())
    return f"`{''.join(c if c.isprintable() else ascii(c)[1:-1] for c in line)}`" if rule else "none"


def _show(value: object) -> str:
    """Return a value on one line and short: plain words as they are, other text in quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return str(value) if value.isprintable() and 0 < len(value) <= _SHOWN_CHARACTERS else quote(value)
    if isinstance(value, int | float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple):
        return "[" + ", ".join(_show(entry) for entry in value) + "]"
    return quote(str(value))
