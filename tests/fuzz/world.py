"""The catalog that hostile messages meet: all policies, rules, caps, budgets, repeats, short windows."""

from __future__ import annotations

from typing import Final

CATALOG: Final = """
version: 1
holdout: 0.05
kinds: [{id: stars, unit: stars}]
offers:
  - {id: coupon, type: COUPON, group: coupons, attributes: {cost: 5.0, tone: loud}}
  - {id: big-coupon, type: COUPON, group: coupons, attributes: {cost: 12.0}, eligible: 'number.cart > 40.0'}
  - {id: guide, type: CONTENT, eligible: 'category.device == "phone"'}
  - {id: express, type: SERVICE, attributes: {topics: [fast, dear]}}
  - {id: news, type: MESSAGE, eligible: '!("calm" in visitor) || visitor["calm"] < 500.0'}
  - {id: nothing, type: NOTHING}
  - {id: asleep, type: MESSAGE, status: PAUSED}
caps:
  - {id: coupons, groups: [coupons], limit: 20, within: 7d}
  - {id: calm, interruptions: true, limit: 80, within: day}
  - {id: seen, offers: [guide], limit: 30, count_on: shown}
  - {id: cool-down, groups: [coupons], limit: 1, count_on: dismiss, within: 1h}
budgets:
  - {id: big, offers: [big-coupon], limit: 100000, unit: uses, hard: true}
  - {id: money, groups: [coupons], limit: 1000000, unit: money, count_on: conversion}
placements:
  - id: home
    offers: [coupon, big-coupon, guide, express, news, nothing, asleep]
    baseline: [news, nothing]
    policy: {name: vw, options: {bits: 12}}
    floor: 0.1
    window: 2s
    reward: {formula: "count.click > 0.0 ? sum.conversion + 1.0 : mean.stars", min: -1, max: 5}
  - id: cart
    offers: [coupon, express, news, nothing]
    baseline: [nothing]
    policy: linear
    ramp: 0.8
    window: 2s
    trust_occur_time: true
    grace: 1s
    close_on: [dismiss]
    reward: {formula: "sum.conversion - offer.cost", min: -10, max: 50}
  - id: beta
    offers: [news, guide, nothing]
    baseline: [nothing]
    policy: thompson
    window: 1s
    reward: {formula: "count.click > 0.0 ? 1.0 : 0.0", min: 0, max: 1}
  - {id: lot, offers: [news, express, nothing], policy: uniform, window: 1s, consent_default: SERVE_ONLY}
  - id: wide
    offers: [coupon, express, guide, nothing]
    baseline: [nothing]
    policy: {name: linear}
    sticky_for: 1m
    window: 3s
""".replace("offer.cost", "(has(offer.cost) ? offer.cost : 0.0)")
