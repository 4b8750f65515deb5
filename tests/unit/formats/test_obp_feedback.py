"""A log as OBP's feedback dictionary: shapes, codes and the logged pmf."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import Features
from offer_optimizer.core.log import BadLine, LogRows, Vocabulary
from offer_optimizer.formats.feature_contexts import FeatureContexts
from offer_optimizer.formats.obp_feedback import obp_feedback, save_obp_feedback


@dataclass
class MemoryLog:
    """A log of given batches."""

    parts: Sequence[LogRows]
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    name: str = "memory"
    has_visitors: bool = False
    bad_lines: Sequence[BadLine] = ()
    bad_line_count: int = 0
    notes: Sequence[str] = ()

    def batches(self) -> Iterator[LogRows]:
        return iter(self.parts)


def rows(contexts: list[Features], attributes: list[tuple[Features, ...]] | None) -> LogRows:
    """Return rows in which offers 0 and 1 were eligible, and 1 was chosen."""
    count = len(contexts)
    return LogRows(
        visitor=np.arange(count),
        time_us=np.zeros(count, dtype=np.int64),
        reward=np.full(count, 0.5),
        chosen=np.ones(count, dtype=np.int64),
        propensity=np.full(count, 0.75),
        offers=np.array([[1, 0, -1]] * count, dtype=np.int32),
        contexts=FeatureContexts(contexts),
        pmf=np.array([[0.75, 0.25, 0.0]] * count, dtype=np.float32),
        attributes=attributes,
    )


def log(*parts: LogRows) -> MemoryLog:
    found = MemoryLog(parts)
    for offer in ("mug", "pen", "cup"):
        found.vocabulary.number(offer)
    return found


def test_everything_has_the_shape_that_obp_asks_for() -> None:
    mug, pen = Features(numbers=(("price", 2.0),)), Features((("kind", "x"),))
    first = rows(
        [Features((("city", "Bern"),), (("age", 3.0),)), Features((("city", "Rom"),))], [(pen, mug)] * 2
    )
    second = rows([Features()], [(pen, mug)])
    found = obp_feedback(log(first, second))
    assert (found["n_rounds"], found["n_actions"]) == (3, 3)
    assert found["context_names"].tolist() == ["age", "city=Bern", "city=Rom"]
    np.testing.assert_array_equal(found["context"], [[3, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert found["action_context_names"].tolist() == ["kind=x", "price"]
    np.testing.assert_array_equal(found["action_context"], [[0, 2], [1, 0], [0, 0]])
    np.testing.assert_allclose(found["pi_b"][:, :, 0], [[0.25, 0.75, 0.0]] * 3)
    np.testing.assert_array_equal(found["pscore"], [0.75] * 3)
    assert found["position"].tolist() == [0, 0, 0]


def test_without_attributes_an_offer_is_its_number() -> None:
    found = obp_feedback(log(rows([Features()], None)))
    np.testing.assert_array_equal(found["action_context"], [[0.0], [1.0], [2.0]])
    assert found["context"].shape == (1, 0)


def test_a_file_of_it_is_read_by_numpy_alone() -> None:
    found = obp_feedback(log(rows([Features()], None)))
    file = io.BytesIO()
    save_obp_feedback(found | {"pi_b": None}, file)
    file.seek(0)
    loaded = np.load(file, allow_pickle=False)
    assert set(loaded.files) == set(found) - {"pi_b"}
    assert loaded["offer_ids"].tolist() == ["mug", "pen", "cup"]


def test_a_log_without_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="memory: has no rows"):
        obp_feedback(log())
