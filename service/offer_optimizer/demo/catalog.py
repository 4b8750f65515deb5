"""The demo's catalog: the shop's offers at three placements that differ in nothing but their policy.

The document is a text constant so that an installed package carries it; a test holds it against `shop`.
"""

from __future__ import annotations

from typing import Final

LEARNED: Final = "home-learned"
UNIFORM: Final = "home-uniform"
BASELINE: Final = "home-baseline"
PLACEMENTS: Final = (LEARNED, UNIFORM, BASELINE)

CATALOG: Final = """\
version: 1

offers:
  - id: nothing
    type: NOTHING
    attributes: {cost: 0.0}
  - id: welcome-message
    type: MESSAGE
    payload: "Good to see you! Here is how our shop works."
    attributes: {cost: 0.0}
  - id: size-guide
    type: CONTENT
    payload: "Find your size in half a minute."
    attributes: {cost: 0.0}
  - id: free-shipping
    type: COUPON
    payload: "Free shipping today."
    attributes: {cost: 2.0}
  - id: coupon-20
    type: COUPON
    payload: "20 % off this order: HELLO20"
    attributes: {cost: 5.0}
  - id: express-delivery
    type: SERVICE
    payload: "Order now and have it tomorrow."
    attributes: {cost: 1.0}
  - id: member-points
    type: MESSAGE
    payload: "Double points on this order."
    attributes: {cost: 0.5}

placements:
  - id: home-learned
    description: Learns who likes what.
    offers: [nothing, welcome-message, size-guide, free-shipping, coupon-20, express-delivery, member-points]
    baseline: [welcome-message, nothing]
    policy: vw
    window: 3s
    reward:
      # A sale earns 10 less the offer's cost; a click is worth 1, being sent away costs a half.
      formula: "(10.0 - offer.cost) * count.conversion + 1.0 * count.click - 0.5 * count.dismiss"
      min: -0.5
      max: 11.0
      default: 0.0

  - id: home-uniform
    description: Every offer equally often, whoever comes.
    offers: [nothing, welcome-message, size-guide, free-shipping, coupon-20, express-delivery, member-points]
    baseline: [welcome-message, nothing]
    policy: uniform
    window: 3s
    reward:
      formula: "(10.0 - offer.cost) * count.conversion + 1.0 * count.click - 0.5 * count.dismiss"
      min: -0.5
      max: 11.0
      default: 0.0

  - id: home-baseline
    description: What the shop showed before it had a model.
    offers: [nothing, welcome-message, size-guide, free-shipping, coupon-20, express-delivery, member-points]
    baseline: [welcome-message, nothing]
    policy: baseline
    ramp: 0.0
    floor: 0.0
    window: 3s
    reward:
      formula: "(10.0 - offer.cost) * count.conversion + 1.0 * count.click - 0.5 * count.dismiss"
      min: -0.5
      max: 11.0
      default: 0.0
"""
