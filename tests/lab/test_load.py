"""The synthetic load is what it says: repeatable, flawed as told, and its sums are right."""

from collections import Counter

import msgspec
import pytest

from lab.load import REPEATED, Event, Mix, Totals, events, totals
from schemas.errors import InvalidInput
from schemas.events import Interaction, parse_interaction

NOW_MS = 1_800_000_000_000
COUNT = 10_000


@pytest.fixture(scope="module")
def load() -> list[Event]:
    return list(events(11, COUNT, 500))


def test_a_seed_gives_the_same_bytes(load: list[Event]) -> None:
    assert list(events(11, COUNT, 500)) == load
    assert list(events(12, COUNT, 500)) != load


def test_the_flaws_have_their_shares(load: list[Event]) -> None:
    natures = Counter(event.nature for event in load)
    repeated = sum(natures[name] for name in REPEATED)
    assert repeated == pytest.approx(0.01 * COUNT, rel=0.35)
    assert natures["conflict"] == pytest.approx(0.25 * repeated, rel=0.5)
    assert natures["late"] == pytest.approx(0.01 * COUNT, rel=0.35)
    assert natures["bad"] == pytest.approx(0.005 * COUNT, rel=0.5)
    assert {event.nature for event in events(1, 1_000, 10, Mix(0, 0, 0))} == {"fresh"}


def test_ingest_refuses_exactly_the_bad_ones(load: list[Event]) -> None:
    for event in load:
        assert (_parsed(event) is None) == (event.nature == "bad"), event


def test_what_is_repeated_has_the_id_and_the_fan_of_an_earlier_event(load: list[Event]) -> None:
    known: dict[str, Event] = {}
    for event in load:
        parsed = _parsed(event)
        if parsed is None:
            continue
        assert parsed.event_id is not None
        first = known.setdefault(parsed.event_id, event)
        assert (first is not event) == (event.nature in REPEATED)
        assert first.relationship == event.relationship
        assert (first.value != event.value) == (event.nature == "conflict")


def test_totals_are_those_of_each_event_once(load: list[Event]) -> None:
    """Reckoned again from the bytes: the first of each id counts."""
    seen: set[str] = set()
    sums: dict[tuple[str, str], Totals] = {}
    for event in load:
        parsed = _parsed(event)
        if parsed is None or parsed.event_id is None or parsed.event_id in seen:
            continue
        seen.add(parsed.event_id)
        total = sums.setdefault((parsed.creator_id, parsed.fan_id), Totals())
        total.interactions += 1
        total.messages += parsed.kind == "message"
        total.purchases += parsed.kind == "purchase"
        total.revenue += parsed.amount or 0
    assert totals(load) == sums


def test_late_events_lie_before_their_neighbours(load: list[Event]) -> None:
    newest = 0
    for event in load:
        parsed = _parsed(event)
        if parsed is None or event.nature in REPEATED:
            continue
        assert (parsed.time < newest) == (event.nature == "late")
        newest = max(newest, parsed.time)


def test_values_are_json_objects_with_an_id_unless_bad(load: list[Event]) -> None:
    for event in load:
        if event.nature != "bad":
            assert "eventId" in msgspec.json.decode(event.value or b"")


def _parsed(event: Event) -> Interaction | None:
    try:
        return parse_interaction(event.value or b"", NOW_MS)
    except InvalidInput:
        return None
