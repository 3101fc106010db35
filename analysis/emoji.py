"""Emoji as people see them: one ZWJ sequence, skin tone, flag or keycap is one emoji.

The pattern follows the `emoji_zwj_sequence` grammar of Unicode Technical Standard 51. It is
linear in the text and is only run on texts that hold a code point able to begin an emoji.
"""

import re
from itertools import islice

from analysis.characters import EMOJI_RANGES

EMOJIS_MAX = 32
"""Emoji kept of one text; the views keep 32 candidates per fan."""

_REGIONAL = (0x1F1E6, 0x1F1FF)
_TEXT_STYLE = "©®‼⁉™ℹ↔-↙↩↪⌨⏏Ⓜ▪▫▶◀◻◼☑♀♂⚧✂✏✒✔✖✝✡✳✴❇➡⤴⤵⬅-⬇〰〽㊗㊙"
"""Emoji only when U+FE0F follows, or inside a ZWJ sequence."""

_NARROW = (
    "⏭-⏯⏱⏲☀-☄☎☘☝☠☢☣☦☪☮☯☸-☺♟♠♣♥♦♨♻♾⚒⚔-⚗⚙⚛⚜⚠⚰⚱⛈⛏⛑⛓⛩⛰⛱⛴⛷-⛹✂✈✉✌✍❄❣❤🅰🅱"
    "🅾🅿🈂🈷🌡🌤-🌬🌶🍽🎖🎗🎙-🎛🎞🎟🏋-🏎🏔-🏟🏳🏵🏷🐿👁📽🕉🕊🕯🕰🕳-🕹🖇🖊-🖍🖐🖥🖨🖱🖲🖼🗂-🗄🗑-🗓🗜-🗞🗡🗣🗨🗯🗳"
    "🗺🛋🛍-🛏🛠-🛥🛩🛰🛳"
)
"""Emoji by themselves that Unicode shows as text unless U+FE0F follows (emoji-data: Emoji without
Emoji_Presentation). People write both and mean the same."""


def _class(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges if first != _REGIONAL[0])


_PICTURES = _class(EMOJI_RANGES)
_DRESS = "\ufe0f?[\U0001f3fb-\U0001f3ff]?"
_FIRST = f"(?:[{_PICTURES}](?!\ufe0e)|[{_TEXT_STYLE}](?=\ufe0f)){_DRESS}"
_NEXT = f"\u200d[{_PICTURES}{_TEXT_STYLE}]{_DRESS}"
_PATTERN = re.compile(
    f"[{chr(_REGIONAL[0])}-{chr(_REGIONAL[1])}]{{2}}"  # flags of countries
    f"|{_FIRST}(?:[\U000e0020-\U000e007f]+|(?:{_NEXT})*)"  # tags: flags of regions
    "|[0-9#*]\ufe0f?\u20e3"  # keycaps
)

_UNDRESSED = re.compile(f"[{_NARROW}{_TEXT_STYLE}0-9#*](?![\U0001f3fb-\U0001f3ff])")


def segment(text: str) -> tuple[str, ...]:
    """The first `EMOJIS_MAX` emoji of a text, in order, repeats kept, each in its one full form."""
    found = islice(_PATTERN.finditer(text), EMOJIS_MAX)
    return tuple(qualified(match.group()) for match in found)


def qualified(emoji: str) -> str:
    """The emoji with U+FE0F wherever Unicode's list of emoji has it, and nowhere else: with it and
    without it is one emoji, and keyboards differ."""
    return _UNDRESSED.sub("\\g<0>\ufe0f", emoji.replace("\ufe0f", ""))
