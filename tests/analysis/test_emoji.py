"""Emoji as people count them."""

import pytest

from analysis.characters import EMOJI_RANGES
from analysis.emoji import EMOJIS_MAX, segment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ascii :) <3", ()),
        ("😀", ("😀",)),
        ("👍🏽", ("👍🏽",)),
        ("👨‍👩‍👧‍👦 and 👩🏽‍❤️‍💋‍👨🏿", ("👨‍👩‍👧‍👦", "👩🏽‍❤️‍💋‍👨🏿")),
        ("🤷🏽‍♀️🏳️‍🌈", ("🤷🏽‍♀️", "🏳️‍🌈")),
        ("🇫🇷🇩🇪", ("🇫🇷", "🇩🇪")),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
        ("1️⃣ #⃣ 7", ("1️⃣", "#️⃣")),
        ("\u2764 \u2764\ufe0f \u2665", ("\u2764\ufe0f", "\u2764\ufe0f", "\u2665\ufe0f")),
        ("\u261d \u261d\U0001f3fd", ("\u261d\ufe0f", "\u261d\U0001f3fd")),
        ("\U0001f575\u200d\u2642", ("\U0001f575\ufe0f\u200d\u2642\ufe0f",)),
        ("\U0001f600\ufe0f", ("\U0001f600",)),
        ("© ™ ↔ 7", ()),
        ("©️", ("©️",)),
        ("☎︎", ()),
        ("🇫", ()),
        ("🏽", ()),
        ("\ud83d", ()),
        ("a❤️‍🔥b😂😂", ("❤️‍🔥", "😂", "😂")),
    ],
)
def test_a_sequence_is_one_emoji(text: str, expected: tuple[str, ...] | None) -> None:
    assert segment(text) == ((text,) if expected is None else expected)


def test_every_emoji_of_one_character_has_one_form_with_the_selector_and_without() -> None:
    characters = [chr(n) for first, last in EMOJI_RANGES for n in range(first, last + 1)]
    for character in characters:
        bare, dressed = segment(character), segment(character + "\ufe0f")
        assert bare == dressed or not bare, "a flag's half"


def test_no_more_than_the_limit_are_kept() -> None:
    assert segment("😀" * 100) == ("😀",) * EMOJIS_MAX
