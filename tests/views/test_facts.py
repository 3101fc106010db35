"""facts: what the fan told of themselves, and what people made of it."""

import msgspec
from hypothesis import given
from pytest import mark

from schemas.details import Details, StatedFact
from schemas.journal import JournalEntry
from schemas.text_features import Fact, TextFeatures
from schemas.times import render_time
from tests.views.corrected import delete
from tests.views.interactions import NOON, WHO, histories, known, message, note, telling
from views import facts
from views.corrections import as_corrected
from views.explain import context_as_of, explain
from views.what_if import context_after


def states(
    value: str | None, kind: str = "pet", time: int = NOON, event_id: str = "n", wrong: bool = False
) -> JournalEntry:
    return note(time, event_id=event_id, details=Details(fact=StatedFact(kind, value, wrong)))


def shown(*history: JournalEntry) -> list[tuple[str, str]]:
    stands = as_corrected(list(enumerate(history)))
    return [(one.kind, one.value) for one in facts.render_all(facts.telling(stands))]


def test_each_fact_names_the_newest_event_that_tells_it() -> None:
    fan = known(
        telling("rex", time=NOON, event_id="1"),
        telling("Rex", time=NOON + 2, event_id="2"),
        telling("REX", time=NOON + 1, event_id="3"),
        telling("05-05", "birthday", event_id="4"),
    )
    found = list(msgspec.to_builtins(facts.render(fan, WHO, NOON)))
    when = render_time(NOON)
    assert found == [
        {
            "kind": "birthday",
            "value": "05-05",
            "eventId": "4",
            "source": "message",
            "timestamp": when,
        },
        {
            "kind": "pet",
            "value": "Rex",
            "eventId": "2",
            "source": "message",
            "timestamp": render_time(NOON + 2),
        },
    ]


def test_of_some_kinds_the_newest_holds_and_of_others_all() -> None:
    moved = [telling("Lisbon", "place", NOON, "1"), telling("Porto", "place", NOON + 1, "2")]
    assert shown(*moved) == shown(*moved[::-1]) == [("place", "Porto")]
    pets = [telling(f"cat {n}", "pet", NOON + n, str(n)) for n in range(facts.VALUES_MAX + 2)]
    assert shown(*pets) == [("pet", f"cat {n}") for n in range(11, 1, -1)]


def test_only_what_the_fan_wrote_to_the_creator_tells() -> None:
    system = msgspec.structs.replace(telling("Rex"), details=Details("system"))
    assert shown(telling("Rex", sender="creator"), system, note(content="my dog is Rex")) == []


def test_what_no_release_would_write_tells_nothing() -> None:
    text = TextFeatures(facts=(Fact("shoe", "43"), Fact("pet", ""), Fact("pet", "x" * 65)))
    assert shown(message(text=text)) == []


def test_a_note_states_a_fact_and_a_newer_message_another() -> None:
    history = [telling("Rome", "place"), states("Lisbon", "place", NOON + 1)]
    assert shown(*history) == [("place", "Lisbon")]
    assert shown(*history, telling("Porto", "place", NOON + 2, "m2")) == [("place", "Porto")]


@mark.parametrize("later", [-5, 5])
def test_what_is_wrong_is_told_no_more_until_a_note_states_it(later: int) -> None:
    history = [telling("Rex", time=NOON + later), states("rex", wrong=True), telling("Fido", "pet")]
    assert shown(*history) == [("pet", "Fido")]
    again = states("Rex", time=NOON + 9, event_id="n2")
    assert ("pet", "Rex") in shown(*history, again)


def test_of_nothing_only_what_comes_later_counts() -> None:
    history = [
        telling("Rex", time=NOON - 1, event_id="1"),
        states("Ada", time=NOON - 3, event_id="w", wrong=True),
        telling("Lisbon", "place", NOON - 1, "2"),
        states(None),
        telling("Fido", time=NOON + 1, event_id="3"),
        telling("Ada", time=NOON + 2, event_id="4"),
    ]
    assert shown(*history) == [("place", "Lisbon"), ("pet", "Fido")]


def test_an_edit_or_a_delete_takes_the_fact_along() -> None:
    told = telling("Rex")
    without = msgspec.structs.replace(
        message(NOON + 1, event_id="e"), details=Details(replaces="m")
    )
    other = msgspec.structs.replace(without, text=telling("Fido").text)
    assert shown(told) == [("pet", "Rex")]
    assert shown(told, without) == shown(without, told) == []
    assert shown(told, other) == [("pet", "Fido")]
    assert shown(told, other, delete("e")) == [("pet", "Rex")]
    assert shown(told, delete("m")) == shown(states("Rex"), delete("n", "note")) == []


def test_facts_are_as_of_a_time_and_what_if_and_explained_by_what_told_them() -> None:
    history = [(0, telling("Rex")), (1, message(NOON + 1, event_id="x"))]
    history.append((2, states("Fido", time=NOON + 2)))
    was = context_as_of(*WHO, history, NOON)
    assert was is not None
    assert [one.value for one in was.facts or ()] == ["Rex"]
    after = context_after(WHO, history, [delete("m", time=NOON + 3)], NOON + 3)
    assert after is not None
    assert [one.value for one in after.facts or ()] == ["Fido"]
    told = explain(history, "facts.pet", None, NOON + 3)
    assert [one.event_id for one in told.contributions if one.contribution] == ["m", "n"]
    assert told.to_value == told.difference == 2
    assert explain(history, "facts.place", NOON - 1, NOON + 3).to_value == 0


def test_without_facts_the_document_is_that_of_the_contract() -> None:
    context = context_as_of(*WHO, [(0, message()), (1, states("Rex", wrong=True))], NOON)
    assert b"facts" not in msgspec.json.encode(context)


@given(histories(max_size=12))
def test_what_is_shown_is_bounded_and_each_value_stands_once(history: list[JournalEntry]) -> None:
    found = shown(*history)
    assert len({(kind, " ".join(value.casefold().split())) for kind, value in found}) == len(found)
    kinds = [kind for kind, _ in found]
    assert all(kinds.count(kind) <= (10 if kind in facts.MANY else 1) for kind in kinds)
    assert len(facts.telling(list(enumerate(history * 20)))) <= facts.TELLING_MAX
