"""Contexts as columns: numbers where all are, texts elsewhere, and features on demand."""

from __future__ import annotations

import numpy as np
import pytest

from offer_optimizer.core.features import EMPTY, Features
from offer_optimizer.formats.feature_contexts import FeatureContexts
from offer_optimizer.formats.table_contexts import TableContexts
from offer_optimizer.formats.visitors import nobody, visitor_numbers

ROWS = [
    Features((("city", "Bern"),), (("age", 31.0), ("mixed", 2.5)), (("likes", ("a", "b")),)),
    EMPTY,
    Features((("mixed", "many"),)),
]


def test_features_are_seen_as_columns() -> None:
    contexts = FeatureContexts(ROWS)
    assert len(contexts) == 3
    assert contexts.features(0) is ROWS[0]
    assert contexts.names() == ["age", "city", "likes", "mixed"]
    np.testing.assert_array_equal(contexts.column("age"), [31.0, np.nan, np.nan])
    assert contexts.column("city") == ["Bern", "", ""]
    assert contexts.column("likes") == ["a,b", "", ""]
    assert contexts.column("mixed") == ["2.5", "", "many"]
    with pytest.raises(KeyError):
        contexts.column("nothing")


def test_columns_are_seen_as_features_without_what_is_missing() -> None:
    contexts = TableContexts(2, {"age": np.array([31.0, np.nan])}, {"city": ["", "Bern"]})
    assert contexts.features(0) == Features(numbers=(("age", 31.0),))
    assert contexts.features(1) == Features(categories=(("city", "Bern"),))
    assert contexts.names() == ["age", "city"]
    assert contexts.column("city") == ["", "Bern"]
    with pytest.raises(KeyError):
        contexts.column("nothing")


def test_a_visitor_has_one_number_everywhere_and_a_row_without_one_its_own() -> None:
    first, second = visitor_numbers(["a", "", "b", "a"], 0), visitor_numbers(["b", ""], 4)
    assert first[0] == first[3] != first[2] == second[0]
    assert (first[[0, 2]] >= 0).all()
    assert first[1] == -2
    assert second[1] == -6
    assert nobody(2, 4).tolist() == [-5, -6]
