"""The vw policy: one Vowpal Wabbit workspace behind the policy contract. The only importer of vowpalwabbit.

Always holds:
- VW sees nothing but arguments of `vw_options`, text of `vw_text`, and contexts that `vw_context` fills with
  the same features.
- Examples are owned by Python: made by the constructor, freed with the last reference, never handed to VW's
  pool. So asking leaves no trace (VW counts finished examples in the file it saves), an evicted example
  can't be recycled under a running call, and `close` needs no lock.
- A call into VW holds the interpreter lock and leaves cached offer examples as it found them; the answer is
  written to the context example, which each call has to itself. So threads can't mix up answers.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import vowpalwabbit
from vowpalwabbit.pyvw import pylibvw  # the compiled half; its examples are freed with their last reference

from offer_optimizer.core import limits
from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.errors import InvalidInput, PolicyFault
from offer_optimizer.core.features import Features
from offer_optimizer.policy.contract import Action, Example, check_example
from offer_optimizer.policy.distribution import distribution, share_ties
from offer_optimizer.policy.state import title_of
from offer_optimizer.policy.vw_context import ContextExamples
from offer_optimizer.policy.vw_options import VwOptions
from offer_optimizer.policy.vw_scores import VwScores
from offer_optimizer.policy.vw_text import CONTEXT, action_line, context_line, labelled

# The compiled classes carry no types.
_Workspace: TypeAlias = Any
_Parsed: TypeAlias = Any

LEARNING_VERSION: Final = "4"
"""Changes whenever the same options and examples would give another model, or it another answer to the bit.

Part of the policy epoch, so that what is summed up over answers of one epoch can be summed up again.
"""
PROPENSITY_CLIP: Final = {"squarecb": 1.0, "epsilon": 0.1, "softmax": 0.1}
"""Least propensity used in learning, by exploration. Biased: one shown less often counts as if this often.

squarecb asks for plain regression, without importance weights (Foster and Rakhlin 2020, arXiv:2002.04926,
algorithm 1), and learns worse with them: of the regret of uniform it kept 0.40 with 1, 0.53 with 0.1.
Unclipped, one legal example (propensity 1e-6, reward 1) turns the best offer over for hundreds of examples;
clipped it counts no more than an ordinary one, which near a tie can still turn it over.
"""
WEIGHT_CAP: Final = 16.0
"""Most that one example may count for because others like it were thinned out. Biased beyond it."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How features are written for VW (a line each), and the least propensity used in learning."""

    context_line: Callable[[Features], str]
    action_line: Callable[[Action], str]
    clip: Mapping[str, float]


OURS: Final = Manner(context_line, action_line, PROPENSITY_CLIP)
"""The one manner that placements have; others exist to compare with what others made of their own logs."""
CACHED_OFFERS: Final = 2 * limits.OFFERS
"""Parsed offers kept: the largest catalog fits twice, so a new revision doesn't evict the old."""
CACHED_TUPLES: Final = 256
"""Tuples of offers whose parsed examples are kept together: deciders ask with the same few again."""

_CONSTANT_INDEX: Final = 11650396
"""Hash of VW's own constant feature, which is part of every example."""
_BYTES_PER_WEIGHT: Final = 16
_BARE: Final = ("--quiet", "--no_stdin", "--example_queue_limit", "1")
"""For every workspace. VW would make a pool of 256 examples of 30 KB, which nobody takes one from: half of
what making, loading and dropping a workspace cost."""
_RAM_DIRECTORY: Final = Path("/dev/shm")  # noqa: S108  (TemporaryDirectory makes the name)


class VwPolicy:
    """A contextual bandit on hashed linear features with inverse-gap, epsilon or softmax exploration."""

    def __init__(self, options: VwOptions, state: bytes | None = None, manner: Manner = OURS) -> None:
        """Start a new model, or continue one from `state`.

        Raises PolicyFault when `state` was not saved with these options.
        """
        self._manner = manner
        self._bits = options.bits
        self._header = _header(options)
        self._scores = VwScores() if options.numbers == "standardised" else None
        # The others share ties themselves, and their probabilities don't show which offers are tied.
        self._shares_ties = options.exploration == "squarecb"
        self._clip = manner.clip[options.exploration]
        self._workspace: _Workspace = _start(options) if state is None else self._restore(options, state)
        self._label_type: int = self._workspace.get_label_type().value
        self._contexts = self._make_contexts() if manner is OURS else None
        self._recent: dict[bytes, _Parsed] = {}
        self._older: dict[bytes, _Parsed] = {}
        self._wholes: dict[int, tuple[Sequence[Action], list[_Parsed]]] = {}

    def pmf(self, context: Features, actions: Sequence[Action]) -> Pmf64:
        """See contract. Safe to call from several threads."""
        workspace = self._open()
        # VW reads beyond its memory when asked about no offers at all.
        if not actions:
            raise InvalidInput("actions", "are empty, at least 1 is needed")
        if self._scores is not None:
            context = self._scores.standardised(context)
        contexts = self._contexts
        if contexts is None:
            header = self._parse(workspace, self._manner.context_line(context))
        else:
            header = contexts.take(context)
        pylibvw.vw.predict_multi(workspace, [header, *self._parsed(workspace, actions)])
        scores = header.get_action_scores()
        if contexts is not None:
            contexts.give_back(header)
        pmf = distribution(scores, len(actions))
        return np.array(share_ties(pmf) if self._shares_ties else pmf)

    def learn(self, example: Example) -> None:
        """See contract. Learns the reward as a cost in [-1, 0], so that what was never seen is never best."""
        workspace = self._open()
        # VW learns a NaN or a propensity over 1 silently.
        check_example(example)
        propensity = learned_propensity(example.propensity, self._clip, example.weight)
        chosen = self._manner.action_line(example.actions[example.chosen])
        context = example.context
        if self._scores is not None:
            self._scores.learn(context)
            context = self._scores.standardised(context)
        sequence = [self._parse(workspace, self._manner.context_line(context))]
        others = [action for at, action in enumerate(example.actions) if at != example.chosen]
        sequence += self._parsed(workspace, others)
        # The chosen offer stands last: VW's squarecb puts 1 in place of every propensity but the last line's.
        sequence.append(self._parse(workspace, labelled(chosen, 0.0 - example.reward, propensity)))
        pylibvw.vw.learn_multi(workspace, sequence)

    def expected(self, example: Example) -> float:
        """Return the reward that is predicted of the chosen offer. Not clipped to the range of rewards."""
        workspace = self._open()
        check_example(example)
        context = example.context
        if self._scores is not None:
            context = self._scores.standardised(context)
        # An example of its own, so that no other thread's answer stands in it.
        asked = self._parse(workspace, self._manner.action_line(example.actions[example.chosen]))
        header = self._parse(workspace, self._manner.context_line(context))
        pylibvw.vw.predict_multi(workspace, [header, asked])
        return -float(asked.get_partial_prediction())

    def save(self) -> bytes:
        """See contract."""
        workspace = self._open()
        # A step that is not finite reaches the constant's weight with all others of its example and never
        # leaves it, while VW replaces a prediction that is not a number by 0 and goes on.
        if not math.isfinite(workspace.get_weight(_CONSTANT_INDEX % 2**self._bits, 0)):
            raise PolicyFault("save: the model's weights are not finite")
        with _scratch(self._bits) as directory:
            path = Path(directory, "model")
            workspace.save(path)
            scores = b"" if self._scores is None else self._scores.save()
            return self._header + b"\n" + scores + path.read_bytes()

    def close(self) -> None:
        """See contract. Calls that are running finish."""
        self._workspace = self._contexts = None
        self._recent, self._older, self._wholes = {}, {}, {}

    def _restore(self, options: VwOptions, state: bytes) -> _Workspace:
        """Load a saved model and what numbers were seen before it. Raises PolicyFault."""
        header, _, model = state.partition(b"\n")
        if header != self._header:
            raise PolicyFault(f"load: the model is titled {title_of(state)!r}, expected {self._header!r}")
        if self._scores is not None:
            model = self._scores.restore(model)
        return _restore(options, model)

    def _open(self) -> _Workspace:
        """Return the workspace, whose reference keeps it alive through the call."""
        workspace = self._workspace
        if workspace is None:
            raise PolicyFault("the policy is closed")
        return workspace

    def _make_contexts(self) -> ContextExamples:
        workspace = self._workspace
        stride, namespace = workspace.get_stride(), pylibvw.vw.hash_space(workspace, CONTEXT)

        def make(line: str) -> _Parsed:
            return pylibvw.example(workspace, label_type, line)

        def index(token: str) -> int:
            return int(pylibvw.vw.hash_feature(workspace, token, namespace) * stride)

        label_type = self._label_type
        return ContextExamples(workspace, (self._bits, stride), make, index)

    def _parse(self, workspace: _Workspace, line: str) -> _Parsed:
        return pylibvw.example(workspace, self._label_type, line)

    def _parsed(self, workspace: _Workspace, actions: Sequence[Action]) -> list[_Parsed]:
        """Return parsed examples of the offers, from the cache where possible."""
        whole = self._wholes.get(id(actions))
        # It keeps the tuple that it belongs to, so no other one can have the same id.
        if whole is not None and whole[0] is actions:
            return whole[1]
        recent = self._recent
        try:
            examples = [recent[action.key] for action in actions]
        except KeyError:
            examples = [self._remember(workspace, action) for action in actions]
        # VW appends the context to each example of a call: the same one may not stand in it twice.
        if len(set(map(id, examples))) < len(examples):
            return [self._parse(workspace, self._manner.action_line(action)) for action in actions]
        if isinstance(actions, tuple):
            if len(self._wholes) >= CACHED_TUPLES:
                self._wholes = {}
            self._wholes[id(actions)] = (actions, examples)
        return examples

    def _remember(self, workspace: _Workspace, action: Action) -> _Parsed:
        """Return a parsed offer, now recent; when full, the older of two generations is dropped."""
        example = self._recent.get(action.key)
        if example is None:
            example = self._older.get(action.key)
            example = example or self._parse(workspace, self._manner.action_line(action))
            if len(self._recent) >= CACHED_OFFERS // 2:
                self._older, self._recent, self._wholes = self._recent, {}, {}
            self._recent[action.key] = example
        return example


def learned_propensity(propensity: float, clip: float, weight: float = 1.0) -> float:
    """Return the propensity that VW is told: clipped, and divided by what the example counts for."""
    return max(propensity, clip) / min(weight, WEIGHT_CAP)


def _header(options: VwOptions) -> bytes:
    """Return the line that a saved model begins with: what it may be continued with."""
    manner = [] if options.numbers == "squashed" else ["numbers", options.numbers]
    return " ".join(["vw", vowpalwabbit.__version__, *options.arguments(), *manner]).encode()


def _start(options: VwOptions) -> _Workspace:
    return vowpalwabbit.Workspace(arg_list=[*options.arguments(), *_BARE])


def _restore(options: VwOptions, model: bytes) -> _Workspace:
    """Load a saved model. VW keeps the options in it, and takes or misreports any that are repeated."""
    with _scratch(options.bits) as directory:
        path = Path(directory, "model")
        path.write_bytes(model)
        # The counters stay zero because no example is ever finished; kept, so that this doesn't depend on it.
        arguments = ["-i", str(path), "--preserve_performance_counters", *_BARE]
        try:
            workspace = vowpalwabbit.Workspace(arg_list=arguments)
        except RuntimeError as error:
            raise PolicyFault(f"load: Vowpal Wabbit {vowpalwabbit.__version__}: {error}") from error
    return workspace


def _scratch(bits: int) -> tempfile.TemporaryDirectory[str]:
    """Return a directory for one model file, in memory where there is room: VW saves to files only.

    A full one would give a file cut short, which VW doesn't notice.
    """
    largest = _BYTES_PER_WEIGHT * 2**bits
    in_ram = os.access(_RAM_DIRECTORY, os.W_OK) and shutil.disk_usage(_RAM_DIRECTORY).free > 2 * largest
    return tempfile.TemporaryDirectory(prefix="offer-optimizer-", dir=_RAM_DIRECTORY if in_ram else None)
