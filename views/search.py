"""Search: whether a message has the words that are looked for. Pure.

A text has them if each occurs in it, anywhere and in any order: as a part of a longer word, too,
since scripts without spaces have no other. Both sides are folded first, so that case, accents,
widths and what nobody sees make no difference: NFKD, without accents and invisible characters, NFC
and case folding. Signs of scripts that spell with them (Thai, Devanagari, kana) stay.
"""

import re
from collections.abc import Sequence
from typing import Final
from unicodedata import normalize

_DROPPED: Final = re.compile(
    "[\u00ad\u0300-\u036f\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u1ab0-\u1aff"
    "\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    "\ufeff]"
)
"""Accents, vowel marks that are mostly left out, joiners, directions and variation selectors."""


def folded(text: str) -> str:
    if text.isascii():
        return text.casefold()
    bare = _DROPPED.sub("", normalize("NFKD", text))
    # Folding can leave an accent of its own: a Turkish capital I has a dot.
    return _DROPPED.sub("", normalize("NFC", bare).casefold())


def words_of(query: str) -> tuple[str, ...]:
    """What is looked for, each word once, the longest first: it is the rarest."""
    return tuple(sorted(set(folded(query).split()), key=lambda word: (-len(word), word)))


def has(text: str, words: Sequence[str]) -> bool:
    found = folded(text)
    return all(word in found for word in words)
