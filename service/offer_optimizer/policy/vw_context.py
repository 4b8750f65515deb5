"""The context of a question to Vowpal Wabbit: an example that is filled anew, in place of a line to be read.

To make an example of some 30 KB, and to write and parse its line, took two fifths of a question. Its features
are those that VW would have read from `vw_text.context_line`, in the same order. Numbers are rounded to
float32 once here and digit by digit there, so they may differ in their last bits.

Always holds: an example is in one question at a time. Knows no VW: it is given what VW has to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from itertools import starmap
from math import asinh
from typing import Any, Final

from offer_optimizer.core.features import Features
from offer_optimizer.policy.vw_text import CONTEXT, TOKENS_KEPT, category_token, number_token, tag_token

EMPTY_LINE: Final = f"shared |{CONTEXT} x"
"""What an example begins as: it has the namespace, and a feature that the first filling takes out."""
_NAMESPACE: Final = ord(CONTEXT)


class ContextExamples:
    """Examples of contexts, used again and again. Safe for threads."""

    def __init__(self, workspace: object, make: Callable[[str], Any], index: Callable[[str], int]) -> None:
        """Take how VW makes an example of a line, and which weight it gives a token of the namespace."""
        self._workspace = workspace
        self._make = make
        self._spare: deque[Any] = deque()
        self._category = lru_cache(TOKENS_KEPT)(lambda *it: (index(category_token(*it)), 1.0))
        self._number = lru_cache(TOKENS_KEPT)(lambda name: index(number_token(name)))
        self._tag = lru_cache(TOKENS_KEPT)(lambda *it: (index(tag_token(*it)), 1.0))

    def take(self, context: Features) -> Any:  # noqa: ANN401  (VW's examples have no types)
        """Return an example of a context; give it back when the answer was read."""
        features = [*starmap(self._category, context.categories)]
        for name, number in context.numbers:
            # VW drops a feature that is zero.
            if number:
                features.append((self._number(name), asinh(number)))
        for name, values in context.tags:
            features += [self._tag(name, value) for value in values]
        try:
            example = self._spare.pop()
        except IndexError:
            example = self._make(EMPTY_LINE)
        example.erase_namespace(_NAMESPACE)
        example.push_feature_list(self._workspace, _NAMESPACE, 0, features)
        return example

    def give_back(self, example: object) -> None:
        """Have an example used again."""
        self._spare.append(example)
