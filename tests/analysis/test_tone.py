"""Tone: the rules, and what they say of plain examples."""

import pytest

from analysis import analyse
from analysis.tone import Marker, default_tones, tone_weights


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("Dear Sir, I would like to know the price of this item.", "formal"),
        ("Könnten Sie mir bitte den Preis nennen?", "formal"),
        ("lol idk bro gonna check", "casual"),
        ("mdr t'es grave", "casual"),
        ("Good morning! How are you today? 😊", "friendly"),
        ("Hola, buenos días, gracias", "friendly"),
        ("hey sexy, thinking of you 😘😏", "flirty"),
        ("Du bist so schön, mein Schatz 😍", "flirty"),
        ("tesoro mi manchi 💋", "flirty"),
    ],
)
def test_the_strongest_tone_of(text: str, tone: str) -> None:
    assert next(iter(analyse([text])[0].tone)) == tone


@pytest.mark.parametrize(
    "text",
    ["", "42", "Tuesday", "今日は", "I need to go to the store.", "ich bin im haus", "back at ten"],
)
def test_a_text_without_marks_has_no_tone(text: str) -> None:
    assert analyse([text])[0].tone == {}


def test_weights_follow_the_documented_rule() -> None:
    markers: list[Marker] = [("flirty", "a"), ("flirty", "b"), ("flirty", "b"), ("casual", "c")]
    # Two distinct flirty markers: 1 - 2^-2; one casual and the loose surface: 1 - 2^-1.25.
    assert tone_weights(markers, tidy=False, loose=True) == {"flirty": 0.75, "casual": 0.5796}


def test_a_tidy_sentence_is_a_little_formal_unless_it_is_casual() -> None:
    assert tone_weights([], tidy=True, loose=False) == {"formal": 0.2929}
    assert tone_weights([("casual", "lol")], tidy=True, loose=False) == {"casual": 0.5}


def test_lower_case_alone_is_no_tone() -> None:
    assert tone_weights([], tidy=False, loose=True) == {}
    assert tone_weights([("friendly", "hi")], tidy=False, loose=True) == {"friendly": 0.5}


def test_the_lexicon_is_versioned() -> None:
    assert len(default_tones().version) == 12
