"""The requests and the catalog of the benchmarks: 20 offers, 12 context features, one placement or ten."""

from __future__ import annotations

import json
import random
from typing import Final

from offer_optimizer.v1 import offer_service_pb2 as pb

PLACEMENT: Final = "bench"
PLACEMENTS: Final = (PLACEMENT, *(f"bench-{number}" for number in range(1, 10)))
OFFERS: Final = 20
FEATURES: Final = 12
DECIDE: Final = "/offer_optimizer.v1.OfferService/Decide"
RECORD_FEEDBACK: Final = "/offer_optimizer.v1.OfferService/RecordFeedback"
BATCH_DECIDE: Final = "/offer_optimizer.v1.OfferService/BatchDecide"

_WORDS: Final = {
    "channel": ("organic", "paid", "mail", "direct"),
    "device": ("phone", "desktop", "tablet"),
    "funnel_stage": ("consideration", "awareness", "decision"),
    "loyalty": ("gold", "silver", "none"),
    "day_kind": ("weekday", "weekend"),
    "region": ("north-west", "north", "south", "east", "west"),
}
_NUMBERS: Final = ("cart_value", "visits_30d", "minutes_on_site", "pages_seen")
_BRANDS: Final = ("acme", "zenith", "orbit", "lumen", "quill")


def request_bytes() -> bytes:
    """Return the one request: 6 categories, 4 numbers and 2 values of a tag."""
    request = pb.DecideRequest(placement=PLACEMENT, visitor=pb.Visitor(visitor_id="visitor-0123456789"))
    for name, words in _WORDS.items():
        request.context.categories[name] = words[0]
    for index, name in enumerate(_NUMBERS):
        request.context.numbers[name] = 12.5 * (index + 1)
    request.context.tags["seen_brands"].values.extend(["acme", "zenith"])
    return request.SerializeToString()


def many_requests(count: int, seed: int, placements: int = len(PLACEMENTS)) -> list[bytes]:
    """Return requests of that size, placements in turn, each of another visitor in another context."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        visitor = pb.Visitor(visitor_id=f"visitor-{seed:03}-{number:06}")
        request = pb.DecideRequest(placement=PLACEMENTS[number % placements], visitor=visitor)
        for name, words in _WORDS.items():
            request.context.categories[name] = chance.choice(words)
        for name in _NUMBERS:
            request.context.numbers[name] = round(chance.uniform(0.0, 100.0), 2)
        request.context.tags["seen_brands"].values.extend(sorted(chance.sample(_BRANDS, 2)))
        found.append(request.SerializeToString())
    return found


def catalog_text(policy: str = "vw", placements: int = len(PLACEMENTS), window: str = "1s") -> str:
    """Return the catalog as YAML (JSON is YAML): windows of one second by default, so that learning is on."""
    types = ("COUPON", "MESSAGE", "CONTENT", "SERVICE")
    offers = [
        {
            "id": f"offer-{number:02}",
            "type": types[number % 4],
            "payload": f"Payload of offer {number:02}, about as long as a short message usually is.",
            "attributes": {"tone": ("calm", "urgent", "plain")[number % 3], "cost": number / 10.0},
        }
        for number in range(OFFERS)
    ]
    ids = [offer["id"] for offer in offers]
    served = [
        {"id": placement, "offers": ids, "baseline": ids[:1], "window": window, "policy": policy}
        for placement in PLACEMENTS[:placements]
    ]
    return json.dumps({"version": 1, "offers": offers, "placements": served}, indent=1)
