"""What fans say of themselves: found where it is said plainly, and nowhere else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import analyse
from analysis.facts import FACTS_MAX, default_facts, folded
from analysis.text import SCANNED_MAX
from schemas.characters import has_hidden
from schemas.text_features import FACT_VALUE_LENGTH_MAX
from tests.analysis.hostile import HOSTILE


def found(text: str) -> list[tuple[str, str]]:
    return [(one.kind, one.value) for one in analyse([text])[0].facts]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("my birthday is on the 5th of May", "birthday", "05-05"),
        ("My birthday's May 5!", "birthday", "05-05"),
        ("I was born on 25/12/1990 btw", "birthday", "12-25"),
        ("Mi cumpleaños es el 5 de mayo, no lo olvides", "birthday", "05-05"),
        ("Ich habe am 3. März Geburtstag", "birthday", "03-03"),
        ("Mon anniversaire est le 14 juillet", "birthday", "07-14"),
        ("Meu aniversário é dia 7 de setembro", "birthday", "09-07"),
        ("Il mio compleanno è il 2 giugno", "birthday", "06-02"),
        ("I live in Lisbon now", "place", "Lisbon"),
        ("i live in new york lol", "place", "new york"),
        ("Vivo en Buenos Aires desde 2010", "place", "Buenos Aires"),
        ("Ich wohne in der Schweiz", "place", "der Schweiz"),
        ("J'habite à Lyon et toi", "place", "Lyon"),
        ("Eu moro em São Paulo", "place", "São Paulo"),
        ("Abito a Torino da un anno", "place", "Torino"),
        ("my dog's name is Rex", "pet", "dog Rex"),
        ("My cat is called luna.", "pet", "cat luna"),
        ("Mi perro se llama Toby", "pet", "perro Toby"),
        ("Meine Katze heißt Minka", "pet", "katze Minka"),
        ("Mon chien s'appelle Médor", "pet", "chien Médor"),
        ("Meu cachorro se chama Thor", "pet", "cachorro Thor"),
        ("Il mio cane si chiama Fido", "pet", "cane Fido"),
        ("Hi, my name is Sam and I love your page", "name", "Sam"),
        ("Ich heiße Jürgen", "name", "Jürgen"),
        ("Me llamo Ana María", "name", "Ana María"),
        ("I work as a nurse at night", "job", "nurse"),
        ("Je travaille comme infirmière à Paris", "job", "infirmière"),
        ("please don't call me babe", "limit", "don't call me babe"),
        ("Hey, stop sending me feet pics please", "limit", "stop sending me feet pics"),
        ("por favor no me llames gordo", "limit", "no me llames gordo"),
        ("Bitte nenn mich nicht Schatz", "limit", "nenn mich nicht Schatz"),
    ],
)
def test_it_is_found_where_it_is_said_plainly(text: str, kind: str, value: str) -> None:
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Is my name is Bob?",
        "do you think i live in London?",
        "I wish my name is Bob",
        "if I live in Paris one day",
        "no vivo en Madrid",
        'she said "my name is Ann" and left',
        "my birthday is soon",
        "my birthday is 5/6",  # of which nobody knows the month
        "my birthday is on the 31st of February",
        "my name is not important",
        "i live in fear",
        "i live in a small apartment",
        "I'm from the same school as Ross's brother",
        "my dog. Wtf is wrong with people",
        "my dog's name is so cute",
        "my girlfriend don't send me nudes",
        "don't call me that",
        "I don't like being called",
        "my name is \u202eevil",
        "my name is @user",
        "you can call me anytime",
        "MY DOG'S NAME IS",
    ],
)
def test_it_is_not_found_where_it_is_not_said(text: str) -> None:
    assert found(text) == []


def test_a_text_tells_so_many_at_most_and_each_once() -> None:
    names = " ".join(
        f"my dog's name is {name}." for name in ("Rex", "Rex", *map(_named, range(12)))
    )
    told = found(names)
    assert told[:2] == [("pet", "dog Rex"), ("pet", "dog Aaa")]
    assert len(told) == len(set(told)) == FACTS_MAX


def _named(number: int) -> str:
    return "A" + chr(97 + number) * 2


def test_a_long_text_is_read_as_far_as_any_other() -> None:
    assert found("How are you today? " * 100 + "My name is Sam") == [("name", "Sam")]
    assert found("How are you? " * (SCANNED_MAX // 13 + 1) + "My name is Sam") == []


def test_phrases_without_end_cost_no_more_than_their_length() -> None:
    """Twice as much is about twice the work, whatever phrase is repeated."""
    facts = default_facts()
    cues = list(dict.fromkeys(term.meaning for term in facts.terms))
    texts = ["my name is " * 900, "don't call me " * 700, "i turn 5 on " * 800, "I live in " * 900]
    texts += ["my dog" + " " * 9_000, "A" * 10_000, "my name is " + "A-" * 5_000]
    begin = time.process_time()
    for text in texts:
        facts.find(text, cues)
    assert time.process_time() - begin < 5.0 * len(texts)  # a blow-up takes hours


@given(st.text(max_size=300) | st.sampled_from(HOSTILE), st.sampled_from(("my name is ", "")))
def test_a_value_is_short_and_everything_of_it_can_be_seen(text: str, before: str) -> None:
    facts = default_facts()
    cues = list(dict.fromkeys(term.meaning for term in facts.terms))
    for one in facts.find(before + text, cues):
        assert 2 <= len(one.value) <= FACT_VALUE_LENGTH_MAX
        assert has_hidden(one.value) is None
        assert one.value.split() == one.value.split(" ")


@given(st.text())
def test_folding_keeps_every_character_in_its_place(text: str) -> None:
    assert len(folded(text)) == len(text)
