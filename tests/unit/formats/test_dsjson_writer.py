"""Lines that were written come back as they were, in the byte order that readers expect."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offer_optimizer.formats.dsjson_event import DsjsonEvent, read_event
from offer_optimizer.formats.dsjson_writer import Label, write_event

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.dictionaries(
    texts.filter(lambda name: bool(name) and not name.startswith("_")),
    texts | st.floats(-1e9, 1e9) | st.booleans(),
    max_size=3,
)


def test_keys_and_bytes_are_in_the_order_that_readers_expect() -> None:
    line = write_event(
        Label(1, 0.75, -0.5, -2.0),
        {"c": {"cchannel=": "email", "nvisits": 2.5}},
        [{"o": {"i=": "mug"}}, {"o": {"i=": "pen"}}],
        [0.25, 0.75],
        event_id="e1",
        time_us=1_612_456_289_246_000,
        weight=4.0,
    )
    assert line == (
        b'{"_label_cost":-0.5,"_label_probability":0.75,"_label_Action":2,"_labelIndex":1,'
        b'"Timestamp":"2021-02-04T16:31:29.2460000Z","Version":"1","EventId":"e1","a":[2,1],'
        b'"c":{"c":{"cchannel=":"email","nvisits":2.5},"_multi":[{"o":{"i=":"mug"}},{"o":{"i=":"pen"}}]},'
        b'"p":[0.75,0.25],"pdrop":0.75,"VWState":{"m":"N/A"},"_original_label_cost":-2.0}\n'
    )


@given(
    st.lists(values, min_size=1, max_size=5),
    values,
    st.data(),
    st.floats(1e-6, 1.0),
    st.floats(-1e9, 1e9),
    st.integers(1, 4_000_000_000_000_000),
    st.floats(1.0, 1e6),
)
def test_what_was_written_is_read(
    offers: list[dict[str, str | float | bool]],
    shared: dict[str, str | float | bool],
    data: st.DataObject,
    probability: float,
    cost: float,
    time_us: int,
    weight: float,
) -> None:
    chosen = data.draw(st.integers(0, len(offers) - 1))
    pmf = [1.0 / len(offers)] * len(offers)
    line = write_event(
        Label(chosen, probability, cost, cost),
        {"s": shared},
        [{"a": offer} for offer in offers],
        pmf,
        event_id="e",
        time_us=time_us,
        weight=weight,
    )
    event = read_event(line, "", ())
    assert isinstance(event, DsjsonEvent)
    assert (event.chosen, event.probability, event.cost, event.event_id) == (chosen, probability, cost, "e")
    assert event.pmf == tuple(pmf)
    assert event.time_us == time_us
    assert abs(event.weight - weight) <= 1e-6 * weight
    assert event.context.count() == len(shared)
    assert [features.count() for features in event.attributes] == [len(offer) for offer in offers]
