"""Emoji as people count them."""

import pytest

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
        ("1️⃣ #⃣ 7", ("1️⃣", "#⃣")),
        ("❤ ❤️ ♥", ("❤", "❤️", "♥")),
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


def test_no_more_than_the_limit_are_kept() -> None:
    assert segment("😀" * 100) == ("😀",) * EMOJIS_MAX
