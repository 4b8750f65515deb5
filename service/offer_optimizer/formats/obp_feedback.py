"""A log as the feedback dictionary of the Open Bandit Pipeline (OBP): numpy arrays, and a file of them.

    n_rounds, n_actions     numbers
    action, reward, pscore  shape (n_rounds,): offer number, reward, logged probability of the chosen offer
    position                shape (n_rounds,), all 0: every row fills one position
    context                 shape (n_rounds, d): in the order of names, a number (0 where one is missing) or a
                            column of 0 and 1 for each value of a category; `context_names` has them
    action_context          shape (n_actions, e): the same of offer attributes; the offer number as the one
                            column where the log has none
    pi_b                    shape (n_rounds, n_actions, 1): the logged pmf; None where the log doesn't keep it
    offer_ids, context_names, action_context_names   what numbers and columns stand for

What always holds: rows in which some offers were not eligible have pi_b 0 there, and OBP has no other way to
know it: its estimators take every offer for eligible. Needs memory for the whole log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.core.log import Floats, Log, LogRows
from offer_optimizer.formats.feature_contexts import FeatureContexts

COLUMNS_MOST = 10_000
"""Columns of a context: more is a category with a value for everybody."""

Table = tuple[Floats, list[str]]


def obp_feedback(log: Log) -> dict[str, Any]:
    """Return the feedback dictionary of a log. Raises InvalidInput where there are no rows."""
    batches = list(log.batches())
    if not batches:
        raise InvalidInput(log.name, "has no rows that can be used")
    count = len(log.vocabulary)
    context, context_names = _context_table(batches)
    action_context, action_names = _action_table(batches, count)
    return {
        "n_rounds": sum(len(rows) for rows in batches),
        "n_actions": count,
        "action": np.concatenate([rows.chosen for rows in batches]),
        "reward": np.concatenate([rows.reward for rows in batches]),
        "pscore": np.concatenate([rows.propensity for rows in batches]),
        "position": np.zeros(sum(len(rows) for rows in batches), dtype=np.int64),
        "context": context,
        "action_context": action_context,
        "pi_b": _pmf(batches, count),
        "offer_ids": np.array(log.vocabulary.ids),
        "context_names": np.array(context_names),
        "action_context_names": np.array(action_names),
    }


def save_obp_feedback(feedback: dict[str, Any], file: IO[bytes]) -> None:
    """Write a feedback dictionary as .npz, without what is None."""
    np.savez_compressed(file, **{name: value for name, value in feedback.items() if value is not None})


def _context_table(batches: Sequence[LogRows]) -> Table:
    names = sorted({name for rows in batches for name in rows.contexts.names()})
    columns: list[Floats] = []
    titles: list[str] = []
    for name in names:
        values = np.concatenate([_values(rows, name) for rows in batches])
        if values.dtype != np.object_:
            columns.append(np.nan_to_num(values.astype(np.float64)))
            titles.append(name)
            continue
        texts = ["" if value != value else str(value) for value in values.tolist()]  # noqa: PLR0124  (NaN)
        for value in sorted(set(texts) - {""}):
            columns.append(np.array([text == value for text in texts], dtype=np.float64))
            titles.append(f"{name}={value}")
            if len(columns) > COLUMNS_MOST:
                raise InvalidInput(
                    f"context {name!r}", f"makes more than {COLUMNS_MOST:,} columns: leave it out"
                )
    row_count = sum(len(rows) for rows in batches)
    return (np.stack(columns, axis=1) if columns else np.zeros((row_count, 0))), titles


def _values(rows: LogRows, name: str) -> Any:  # noqa: ANN401  (an array of floats, or of texts)
    try:
        column = rows.contexts.column(name)
    except KeyError:
        return np.full(len(rows), np.nan)
    return column if isinstance(column, np.ndarray) else np.array(column, dtype=np.object_)


def _action_table(batches: Sequence[LogRows], count: int) -> Table:
    """Return the attributes of offers, each as it was first seen."""
    found: dict[int, Features] = {}
    for rows in batches:
        if rows.attributes is None:
            return np.arange(count, dtype=np.float64)[:, None], ["offer"]
        for offers, attributes in zip(rows.offers.tolist(), rows.attributes, strict=True):
            if len(found) == count:
                break
            for offer, features in zip(offers, attributes, strict=False):
                found.setdefault(offer, features)
    contexts = FeatureContexts([found.get(offer, EMPTY) for offer in range(count)])
    zeros = np.zeros(count)
    rows_of_offers = LogRows(
        zeros.astype(np.int64),
        zeros.astype(np.int64),
        zeros,
        zeros.astype(np.int64),
        zeros,
        np.zeros((count, 1), np.int32),
        contexts,
    )
    table, names = _context_table([rows_of_offers])
    return (table, names) if names else (np.arange(count, dtype=np.float64)[:, None], ["offer"])


def _pmf(batches: Sequence[LogRows], count: int) -> Floats | None:
    row_count = sum(len(rows) for rows in batches)
    found = np.zeros((row_count, count, 1))
    start = 0
    for rows in batches:
        if rows.pmf is None:
            return None
        at, place = np.nonzero(rows.offers >= 0)
        found[start + at, rows.offers[at, place], 0] = rows.pmf[at, place]
        start += len(rows)
    return found
