"""The context of a question to Vowpal Wabbit: an example that is filled anew, in place of a line to be read.

To make an example of some 30 KB, and to write and parse its line, took two fifths of a question. Its features
are those that VW would have read from `vw_text.context_line`, in the same order. Numbers are rounded to
float32 once here and digit by digit there, so they may differ in their last bits.

Always holds: an example is in one question at a time. Knows no VW: it is given what VW has to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from math import asinh
from typing import Any, Final

from offer_optimizer.core.features import Features
from offer_optimizer.policy.vw_text import CONTEXT, TOKENS_KEPT, category_token, number_token, tag_token

EMPTY_LINE: Final = f"shared |{CONTEXT} x"
"""What an example begins as: it has the namespace, and a feature that the first filling takes out."""
_NAMESPACE: Final = ord(CONTEXT)


class _Known(dict[Any, Any]):
    """What was found of names, or of names with a value; emptied when it is full."""

    def keep(self, key: object, found: object) -> Any:  # noqa: ANN401
        """Keep something, and return it."""
        if len(self) >= TOKENS_KEPT:
            self.clear()
        self[key] = found
        return found


class _Indices:
    """Weights of tokens, for all models of a process that are laid out alike, since models come and go."""

    def __init__(self) -> None:
        self.categories, self.numbers, self.tags = _Known(), _Known(), _Known()


@cache
def _indices(layout: object) -> _Indices:  # noqa: ARG001
    """Return those of one layout, of which there are few."""
    return _Indices()


class ContextExamples:
    """Examples of contexts, used again and again. Safe for threads."""

    def __init__(
        self, workspace: object, layout: object, make: Callable[[str], Any], index: Callable[[str], int]
    ) -> None:
        """Take how VW makes an example of a line, and which weight it gives a token: by the layout alone."""
        self._workspace = workspace
        self._make = make
        self._index = index
        self._indices = _indices(layout)
        self._spare: deque[Any] = deque()

    def take(self, context: Features) -> Any:  # noqa: ANN401  (VW's examples have no types)
        """Return an example of a context; give it back when the answer was read."""
        try:
            example = self._spare.pop()
        except IndexError:
            example = self._make(EMPTY_LINE)
        example.erase_namespace(_NAMESPACE)
        example.push_feature_list(self._workspace, _NAMESPACE, 0, self._features(context))
        return example

    def give_back(self, example: object) -> None:
        """Have an example used again."""
        self._spare.append(example)

    def _features(self, context: Features) -> list[tuple[int, float]]:
        """Return the weight and the value of each feature, in the order of the text."""
        known, index = self._indices, self._index
        features: list[Any] = [*map(known.categories.get, context.categories)]
        if None in features:
            features = [
                known.categories.get(pair) or known.categories.keep(pair, (index(category_token(*pair)), 1.0))
                for pair in context.categories
            ]
        numbers = known.numbers
        for name, number in context.numbers:
            at = numbers.get(name)
            if at is None:
                at = numbers.keep(name, index(number_token(name)))
            # VW leaves out those that are zero.
            features.append((at, asinh(number)))
        for name, values in context.tags:
            for value in values:
                pair = name, value
                found = known.tags.get(pair)
                features.append(found or known.tags.keep(pair, (index(tag_token(*pair)), 1.0)))
        return features
