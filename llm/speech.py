"""Texts as the checks read them: their language, and their letters without disguise."""

import re
import unicodedata
from typing import Final

from analysis import analyse

_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_LOOKALIKES: Final = str.maketrans(
    {
        "а": "a", "в": "b", "е": "e", "ё": "e", "з": "3", "і": "i", "ї": "i", "к": "k", "м": "m",
        "н": "h", "о": "o", "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "ј": "j", "ѕ": "s",
        "ԁ": "d", "һ": "h", "ԛ": "q", "ԝ": "w", "α": "a", "β": "b", "ε": "e", "ι": "i", "κ": "k",
        "ν": "v", "ο": "o", "ρ": "p", "τ": "t", "υ": "u", "χ": "x",
    }
)  # fmt: skip
"""Cyrillic and Greek letters that look Latin."""


def language_of(text: str) -> str:
    """ISO 639-1 code, or `und` where the analyser is not sure."""
    return analyse([text])[0].language


def plain(text: str) -> str:
    """Lower case, one form per character, nothing invisible."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold()


def latin(text: str) -> str:
    """`plain`, with letters of other scripts that look Latin as Latin."""
    return plain(text).translate(_LOOKALIKES)


def squeezed(text: str) -> str:
    """Letters and digits only, without accents: nothing written between them hides a word."""
    decomposed = unicodedata.normalize("NFD", latin(text))
    return "".join(one for one in decomposed if one.isalnum())


def words(text: str) -> list[str]:
    return re.findall(r"\w+", plain(text))
