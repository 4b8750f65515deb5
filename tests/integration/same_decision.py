"""Builds one request, decides it and prints what is stored: run in several processes, with other hash seeds.

Its argument is a seed for the order in which features are inserted; nothing else may differ.
"""

from __future__ import annotations

import json
import random
import sys
from typing import TypeVar

from offer_optimizer.api.convert import features
from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Offer, OfferType
from offer_optimizer.core.features import Features, build_features
from offer_optimizer.policy import registry
from offer_optimizer.policy.contract import Example
from offer_optimizer.store.decision_codec import encode_decision
from offer_optimizer.store.snapshots import Snapshot
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.unit.decide.rooms import VW, Room, actions_of, ask, revision_of

Value = TypeVar("Value")


def main() -> None:
    """Print stored bytes, pmf of the trained policy and its saved state."""
    order = random.Random(sys.argv[1])

    def shuffled(content: dict[str, Value]) -> dict[str, Value]:
        items = list(content.items())
        order.shuffle(items)
        return dict(items)

    def attributes(number: int) -> Features:
        return build_features(
            shuffled({f"c{index}": f"v{number * index % 3}" for index in range(5)}),
            shuffled({f"n{index}": number / (index + 1) for index in range(5)}),
            shuffled({"tags": order.sample(["x", "y", "z"], 3)}),
            where="offer",
            limit=limits.OFFER_FEATURES,
        )

    offers = tuple(Offer(id=f"o{n}", type=OfferType.CONTENT, attributes=attributes(n)) for n in range(6))
    room = Room(revision_of(offers=offers, policy=VW, ramp=0.9, baseline=("o2",)), seed="the same")
    placement = room.catalog.placements["home"]

    def context(number: int) -> Features:
        message = pb.Features()
        for name, text in shuffled({f"k{index}": f"é{number % (index + 2)}" for index in range(9)}).items():
            message.categories[name] = text
        for name, value in shuffled({f"m{index}": number / (index + 3) for index in range(9)}).items():
            message.numbers[name] = value
        for name, values in shuffled({"a": ["p", "q", "r"], "b": ["s", "t"]}).items():
            message.tags[name].values.extend(order.sample(values, len(values)))
        return features(
            pb.Features.FromString(message.SerializeToString()), "context", limits.CONTEXT_FEATURES
        )

    actions = actions_of(placement)
    policy = registry.create("vw", VW.options, ())
    for number in range(200):
        policy.learn(
            Example(
                context(number), actions_of(placement), number % 6, 1 / 6, float(number % 6 == number % 4)
            )
        )
    key = ("home", placement.epoch.id)
    room.shelves.snapshots["s"] = Snapshot("home", placement.epoch.id, "vw", 9, 0, 0, 200, policy.save())
    room.shelves.current[key] = "s"
    room.shelf.refresh(room.catalog)
    room.runtime.decide(ask(context=context(7)))
    pmf = policy.pmf(context(7), actions)
    print(json.dumps([encode_decision(room.last).hex(), pmf.tolist(), policy.save().hex()]))


main()
