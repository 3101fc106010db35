"""Texts of others as they come into a prompt: what nobody sees is gone, and no text is endless.

Left out: control characters, those that turn the direction of writing, tags (U+E0000 on, in which
whole sentences can be hidden), other invisible ones, surrogates and private use. Kept are the
joiners that scripts and emoji need, between visible characters. Piles of combining marks are cut.
"""

import unicodedata
from typing import Final

MARKS_MAX: Final = 4
"""Combining marks on one character; Vietnamese and Hebrew need three."""
CUT: Final = "…"
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))
_JOINERS: Final = frozenset("\u200c\u200d")
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
"""Letters and marks by their class that are drawn as nothing."""


def cleaned(text: str, characters_max: int) -> str:
    """At most `characters_max` characters, the last one `…` if there were more."""
    if len(text) <= characters_max and text.isascii() and text.isprintable():
        return text.strip()  # most are, and this is 30 times as fast
    kept: list[str] = []
    marks = 0
    for character in text[: 4 * characters_max]:
        kind = unicodedata.category(character)
        if kind == "Mn" or kind == "Me":
            marks += 1
            if marks > MARKS_MAX:
                continue
        else:
            marks = 0
        if character in "\n\t" or kind == "Zl" or kind == "Zp":
            character = "\n" if character != "\t" else " "
        elif kind in _UNSEEN or character in _INVISIBLE:
            joins = character in _JOINERS and kept and kept[-1] not in _JOINERS
            if not joins:
                continue
        kept.append(character)
    found = "".join(kept).strip()
    if len(found) > characters_max or len(text) > 4 * characters_max:
        return found[: characters_max - 1] + CUT
    return found
