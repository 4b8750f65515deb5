"""Decide's messages to core values and back. Every limit on a Decide request is enforced from here.

`where` begins the field paths of errors: empty for Decide itself, `requests[3].` for an item of a batch.
"""

from __future__ import annotations

from typing import Final, TypeVar, cast

from google.protobuf.message import DecodeError, Message
from pydantic import TypeAdapter, ValidationError

from offer_optimizer.api.refusals import RequestTooLarge, UnreadableRequest
from offer_optimizer.core import limits
from offer_optimizer.core.catalog import Id
from offer_optimizer.core.decision import Consent, InlineCandidate
from offer_optimizer.core.errors import InvalidInput
from offer_optimizer.core.features import Features, build_features, check_text, show
from offer_optimizer.core.ids import format_decision_id
from offer_optimizer.decide.requests import DecideInput, Outcome
from offer_optimizer.v1 import offer_service_pb2 as pb

M = TypeVar("M", bound=Message)

_CONSENTS: Final = {int(consent): consent for consent in Consent}
_OFFER_ID: Final = TypeAdapter[str](Id)


def parse(message_class: type[M], data: bytes, limit: int) -> M:
    """Parse raw bytes. Raises RequestTooLarge over `limit` bytes and UnreadableRequest on garbage."""
    if len(data) > limit:
        raise RequestTooLarge(_name(message_class), f"{len(data)} bytes, at most {limit}")
    try:
        return message_class.FromString(data)
    except DecodeError:
        raise UnreadableRequest(_name(message_class), "the bytes are not such a message") from None


def _name(message_class: type[Message]) -> str:
    return message_class.DESCRIPTOR.full_name


def decide_input(request: pb.DecideRequest, where: str = "", context: Features | None = None) -> DecideInput:
    """Validate one question, its context unless that is known. Raises InvalidInput naming field and limit."""
    visitor = request.visitor
    visitor_id = visitor.visitor_id
    check_visitor_id(visitor_id, f"{where}visitor.visitor_id")
    consent = _CONSENTS.get(visitor.consent)
    if consent is None:
        raise InvalidInput(
            f"{where}visitor.consent", f"{visitor.consent} is not a number of Consent, 0 to {max(_CONSENTS)}"
        )
    return DecideInput(
        placement_id=required_id(request.placement, f"{where}placement"),
        visitor_id=visitor_id,
        consent=consent,
        context=context or features(request.context, f"{where}context", limits.CONTEXT_FEATURES),
        deferred=request.deferred,
        candidates=_candidates(request, where) if request.candidates else (),
        exclude_offer_ids=_excluded(request, where) if request.exclude_offer_ids else (),
        request_id=_request_id(request.request_id, f"{where}request_id"),
    )


def _candidates(request: pb.DecideRequest, where: str) -> tuple[InlineCandidate, ...]:
    """Validate offers given inline: as in a catalog, but for the names of their attributes' maps."""
    if len(request.candidates) > limits.CANDIDATES:
        raise InvalidInput(
            f"{where}candidates", f"{len(request.candidates)} offers, at most {limits.CANDIDATES}"
        )
    found: dict[str, InlineCandidate] = {}
    for index, candidate in enumerate(request.candidates):
        here = f"{where}candidates[{index}]"
        offer_id = _offer_id(candidate.offer_id, f"{here}.offer_id")
        if offer_id in found:
            raise InvalidInput(f"{here}.offer_id", f"{show(offer_id)} is given twice; each id once")
        attributes = features(candidate.attributes, f"{here}.attributes", limits.OFFER_FEATURES)
        found[offer_id] = InlineCandidate(offer_id, attributes)
    return tuple(found.values())


def _offer_id(text: str, where: str) -> str:
    """Return `text`. Raises InvalidInput unless a catalog could have it as an offer's id."""
    required_id(text, where)
    try:
        return _OFFER_ID.validate_python(text)
    except ValidationError:
        raise InvalidInput(
            where,
            f"{show(text)} may hold letters, digits, '.', '_' and '-', and begins with one of the first two",
        ) from None


def _excluded(request: pb.DecideRequest, where: str) -> tuple[str, ...]:
    """Validate ids to leave out. Those that nobody knows do no harm, so only their sizes are checked."""
    count = len(request.exclude_offer_ids)
    if count > limits.EXCLUDED_OFFERS:
        raise InvalidInput(f"{where}exclude_offer_ids", f"{count} ids, at most {limits.EXCLUDED_OFFERS}")
    return tuple(
        required_id(offer_id, f"{where}exclude_offer_ids[{index}]")
        for index, offer_id in enumerate(request.exclude_offer_ids)
    )


def _request_id(text: str, where: str) -> str:
    """Return `text`, which may be empty. Raises InvalidInput over the limit, without quoting it."""
    if len(text) * 4 > limits.NAME_BYTES and len(text.encode()) > limits.NAME_BYTES:
        raise InvalidInput(where, f"{len(text.encode())} bytes, at most {limits.NAME_BYTES}")
    return text


def check_item_size(request: pb.DecideRequest, index: int) -> None:
    """Raise RequestTooLarge where an item of a batch is larger than a question asked alone may be."""
    size = request.ByteSize()
    if size > limits.MESSAGE_BYTES:
        raise RequestTooLarge(f"requests[{index}]", f"{size} bytes, at most {limits.MESSAGE_BYTES}")


def features(message: pb.Features, where: str, limit: int) -> Features:
    """Validate typed features; a tag set without values says nothing and is left out."""
    categories, numbers = message.categories, message.numbers
    tags = _tags(message) if message.tags else {}
    # Counted before every name is looked at: what is far over the limit is not worth validating.
    count = len(categories) + len(numbers) + len(tags)
    if count > limit:
        raise InvalidInput(where, f"{count} features, at most {limit}")
    return build_features(categories, numbers, tags, where=where, limit=limit)


def _tags(message: pb.Features) -> dict[str, tuple[str, ...]]:
    found = {}
    tags = message.tags
    # By name: the items of such a map are made in Python.
    for name in tags:
        values = tuple(tags[name].values)
        if values:
            found[name] = values
    return found


def required_id(text: str, where: str) -> str:
    """Return `text`. Raises InvalidInput when it is empty or over the limit."""
    if not text:
        raise InvalidInput(where, "is required and empty")
    check_text(text, where)
    return text


def check_visitor_id(text: str, where: str) -> None:
    """Raise InvalidInput over the limit in bytes, without quoting the id: errors end up in callers' logs."""
    if len(text) * 4 > limits.NAME_BYTES and len(text.encode()) > limits.NAME_BYTES:
        raise InvalidInput(where, f"{len(text.encode())} bytes, at most {limits.NAME_BYTES}")


def decide_response(outcome: Outcome) -> pb.DecideResponse:
    """Build the reply."""
    return pb.DecideResponse(
        decision_id="" if outcome.decision_id is None else format_decision_id(outcome.decision_id),
        slots=[
            pb.Slot(offer_id=slot.offer_id, propensity=slot.propensity, payload=slot.payload)
            for slot in outcome.slots
        ],
        # The numbers are the same in the API and in the ledger; a test compares them.
        reason=cast("pb.DecisionReason", int(outcome.reason)),
        model_version="" if outcome.model_version is None else str(outcome.model_version),
    )
