"""What may not be learned, and how little one legal extreme can do."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from offer_optimizer.core.decision import Pmf64
from offer_optimizer.core.features import Features
from offer_optimizer.v1 import offer_service_pb2 as pb
from tests.conftest import Size
from tests.fuzz import corpus
from tests.fuzz.messages import Messages
from tests.fuzz.mutations import varint
from tests.fuzz.whole_service import WholeService

POLICIES: Final = ("vw", "linear", "thompson")
CATALOG: Final = "\n".join(
    [
        "offers:",
        *(f"  - {{id: {offer}, type: MESSAGE}}" for offer in ("a", "b", "c")),
        "  - {id: none, type: NOTHING}",
        "placements:",
        *(
            f"  - {{id: {policy}, policy: {policy}, offers: [a, b, c, none], baseline: [none], window: 2s,"
            ' reward: {formula: "sum.conversion", min: 0, max: 1}}'
            for policy in POLICIES
        ),
    ]
)
EXAMPLES: Final = 800
"""Of each placement, before anything extreme comes; the best offer earns 0.5 and others 0.1."""
BOUND: Final = 0.05
"""How far one example may move any probability in any ordinary context, from there on."""
UNLIKELY: Final = 0.05
GRID: Final = tuple((device, cart) for device in ("phone", "desktop") for cart in (5.0, 50.0, 95.0))


class World:
    """A service that has learned who likes what."""

    def __init__(self, folder: Path, examples: int) -> None:
        self.service = WholeService(folder, CATALOG, seed=1)
        self._chance = random.Random(1)
        for number in range(examples):
            for policy in POLICIES:
                self._visit(policy)
            if number % 20 == 0:
                self.service.run_for(0.5)
        self.service.run_for(10.0)

    def _visit(self, policy: str) -> None:
        device = self._chance.choice(("phone", "desktop"))
        self._earn(policy, device, self.ask(policy, device, self._chance.uniform(0.0, 100.0)))

    def _earn(self, policy: str, device: str, reply: pb.DecideResponse) -> None:
        """Send what the visitor does."""
        best = "b" if device == "desktop" and policy != "thompson" else "a"
        if self._chance.random() < (0.5 if reply.slots[0].offer_id == best else 0.1):
            self.tell(reply.decision_id, 1.0)

    def ask(self, policy: str, device: str, cart: float) -> pb.DecideResponse:
        """Decide."""
        context = pb.Features(categories={"device": device}, numbers={"cart": cart})
        request = pb.DecideRequest(placement=policy, context=context)
        answer = self.service.call("OfferService/Decide", request.SerializeToString())
        assert answer.is_ok, answer
        return pb.DecideResponse.FromString(answer.data)

    def tell(self, decision_id: str, value: float) -> None:
        """Send a conversion of a value."""
        item = pb.Feedback(feedback_id="f", decision_id=decision_id, kind="conversion", value=value)
        request = pb.RecordFeedbackRequest(items=[item])
        answer = self.service.call("OfferService/RecordFeedback", request.SerializeToString())
        assert (
            pb.RecordFeedbackResponse.FromString(answer.data).results[0].status == pb.FEEDBACK_STATUS_ACCEPTED
        )

    def explored(self, policy: str, device: str, cart: float) -> pb.DecideResponse:
        """Decide, and let visitors do what they do, until an offer is drawn that was unlikely."""
        for _ in range(400):
            reply = self.ask(policy, device, cart)
            if reply.slots[0].propensity < UNLIKELY:
                return reply
            self._earn(policy, device, reply)
        raise AssertionError(f"{policy}: nothing unlikely in 400 decisions")

    def pmfs(self) -> dict[str, Pmf64]:
        """Return what every model says in ordinary contexts."""
        learner = self.service.learner
        actions = learner.fold.revisions.actions(learner.fold.revisions.newest)
        return {
            pair.epoch.placement_id: np.array(
                [
                    pair.serving.policy.pmf(
                        Features(categories=(("device", device),), numbers=(("cart", cart),)), tuple(actions)
                    )
                    for device, cart in GRID
                ]
            )
            for pair in learner._models.pairs.values()
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all tests, which each leave it learned."""
    made = World(tmp_path_factory.mktemp("poison"), EXAMPLES)
    yield made
    assert made.service.log.events == []
    made.service.close()


def test_one_legal_extreme_moves_no_probability_by_more_than_the_bound(
    world: World, figure: Callable[[str], None]
) -> None:
    """The largest values that are taken, as feedback on an unlikely offer, as context, and as both."""
    worst = dict.fromkeys(POLICIES, 0.0)
    before = world.pmfs()
    for name, pmf in before.items():
        assert pmf[1].max() > 0.5, f"{name} has not learned: the bound would say nothing"
    for cart, value in ((50.0, 1e9), (50.0, -1e9), (1e9, None), (-1e9, 1.0), (1e9, 1e9), (50.0, 5e-324)):
        for policy in POLICIES:
            usual = cart == 50.0
            reply = world.explored(policy, "phone", cart) if usual else world.ask(policy, "phone", cart)
            if value is not None:
                world.tell(reply.decision_id, value)
        world.service.run_for(10.0)
        after = world.pmfs()
        for policy in POLICIES:
            moved = float(np.abs(after[policy] - before[policy]).max())
            worst[policy] = max(worst[policy], moved)
            assert moved <= BOUND, f"{policy}: cart {cart}, value {value} moved a probability by {moved:.3f}"
        before = after
    told = ", ".join(f"{policy} {moved:.3f}" for policy, moved in worst.items())
    figure(
        f"one legal extreme after {EXAMPLES} examples moves a probability by at most {told} (bound {BOUND})"
    )


def test_an_extreme_value_is_worth_no_more_than_the_largest_reward(tmp_path: Path) -> None:
    """Same bytes of every model, whether a conversion says 1, the most that counts, or 1e9."""
    digests = []
    for name, value in (("most", 1.0), ("extreme", 1e9)):
        made = World(tmp_path / name, 20)
        for policy in POLICIES:
            made.tell(made.ask(policy, "phone", 50.0).decision_id, value)
        made.service.run_for(10.0)
        digests.append(made.service.model_digests())
        made.service.close()
    assert digests[0] == digests[1]


def test_what_is_rejected_leaves_every_model_as_it_was(
    world: World, size: Size, figure: Callable[[str], None]
) -> None:
    """Poison in every field in turn; not one is taken, and no record of the ledger comes of it."""
    service = world.service
    messages = Messages("poison")
    messages.decided.extend(world.ask("vw", "phone", 50.0).decision_id for _ in range(20))
    service.run_for(10.0)
    before, kinds = service.model_digests(), kinds_of(service)
    count = size.pick(test=500, ci=5000, proof=100_000)
    for number in range(count):
        method, data = rejected(messages, number)
        answer = service.call(method, data)
        assert not taken(method, answer.is_ok, answer.data), f"{method} {data.hex()}: {answer}"
        if number % 400 == 0:
            service.run_for(1.0)
    service.run_for(10.0)
    assert service.model_digests() == before
    assert kinds_of(service) == kinds
    figure(f"{count} rejected requests left the SHA-256 of {len(before)} models and the ledger as they were")


def taken(method: str, is_ok: bool, data: bytes) -> bool:
    """Return whether anything of a call was taken."""
    if not is_ok or method != "OfferService/RecordFeedback":
        return is_ok
    results = pb.RecordFeedbackResponse.FromString(data).results
    return any(result.status == pb.FEEDBACK_STATUS_ACCEPTED for result in results)


def kinds_of(service: WholeService) -> list[tuple[int, int]]:
    """Count the ledger's records by kind, ticks apart."""
    return service.ledger.connection.execute(
        "SELECT kind, COUNT(*) FROM record WHERE kind != 3 GROUP BY kind"
    ).fetchall()


TOO_LONG: Final = tuple(text for text in corpus.SIZES if len(text.encode()) > 128)
NO_UTF8: Final = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"a\x80")
NO_IDS: Final = ("a b", "|", "\n", "", "é", "a:b", "-a")
NO_KINDS: Final = ("", "bought", "click\n", "CLICK")
NO_DECISIONS: Final = ("", "x" * 36, "0" * 36, "{00000000-0000-7000-8000-000000000000", "1")
NO_SECONDS: Final = (2**63 - 1, -(2**63), 253_402_300_800)


def rejected(messages: Messages, number: int) -> tuple[str, bytes]:
    """Return a request that is right but for one poisoned field."""
    chance = messages.chance
    if number % 2:
        item = pb.Feedback(feedback_id="x", kind="conversion", decision_id=chance.choice(messages.decided))
        spoil_item(item, chance, number // 2 % 5)
        return "OfferService/RecordFeedback", pb.RecordFeedbackRequest(items=[item]).SerializeToString()
    decide = pb.DecideRequest(placement=chance.choice(POLICIES), context=pb.Features(numbers={"cart": 1.0}))
    kind = number // 2 % 7
    if kind == 6:
        text = chance.choice(NO_UTF8)
        return "OfferService/Decide", decide.SerializeToString() + b"\x3a" + varint(len(text)) + text
    spoil_question(decide, chance, kind)
    return "OfferService/Decide", decide.SerializeToString()


def spoil_item(item: pb.Feedback, chance: random.Random, kind: int) -> None:
    """Poison one of the fields of an item."""
    long = chance.choice(TOO_LONG)
    match kind:
        case 0:
            item.value = chance.choice(corpus.POISON)
        case 1:
            item.kind = chance.choice((long, *NO_KINDS))
        case 2:
            item.decision_id = chance.choice((long, *NO_DECISIONS))
        case 3:
            item.feedback_id = chance.choice((long, ""))
        case _:
            item.occur_time.seconds = chance.choice(NO_SECONDS)


def spoil_question(decide: pb.DecideRequest, chance: random.Random, kind: int) -> None:
    """Poison one of the fields of a question."""
    long, poison = chance.choice(TOO_LONG), chance.choice(corpus.POISON)
    match kind:
        case 0:
            decide.context.numbers[chance.choice(corpus.INJECTIONS)] = poison
        case 1:
            decide.context.categories[long] = "v"
        case 2:
            decide.context.tags["t"].values.extend(["ok", long])
        case 3:
            decide.candidates.add(offer_id="own").attributes.numbers["n"] = poison
        case 4:
            decide.candidates.add(offer_id=chance.choice(NO_IDS))
        case _:
            decide.placement = chance.choice((long, "nowhere", ""))
