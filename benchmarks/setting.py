"""The one request and catalog that the benchmarks use: 20 offers, 12 context features."""

from __future__ import annotations

import json
from typing import Final

from offer_optimizer.v1 import offer_service_pb2 as pb

PLACEMENT: Final = "bench"
OFFERS: Final = 20
FEATURES: Final = 12
DECIDE: Final = "/offer_optimizer.v1.OfferService/Decide"


def request_bytes() -> bytes:
    """Return the request: 6 categories, 4 numbers and 2 values of a tag."""
    request = pb.DecideRequest(placement=PLACEMENT, visitor=pb.Visitor(visitor_id="visitor-0123456789"))
    words = ("organic", "phone", "consideration", "gold", "weekday", "north-west")
    names = ("channel", "device", "funnel_stage", "loyalty", "day_kind", "region")
    for name, word in zip(names, words, strict=True):
        request.context.categories[name] = word
    for index, name in enumerate(("cart_value", "visits_30d", "minutes_on_site", "pages_seen")):
        request.context.numbers[name] = 12.5 * (index + 1)
    request.context.tags["seen_brands"].values.extend(["acme", "zenith"])
    return request.SerializeToString()


def catalog_text() -> str:
    """Return the catalog as YAML (JSON is YAML): windows of one second, so that learning is on."""
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
    placement = {"id": PLACEMENT, "offers": ids, "baseline": ids[:1], "window": "1s"}
    return json.dumps({"version": 1, "offers": offers, "placements": [placement]}, indent=1)
