"""Which language a text is in: by its script where the script tells, else by the model.

Scripts that stand for one language of today decide by themselves. Han letters are Chinese
unless kana stand beside them; Arabic and Cyrillic letters are told apart by the letters that
only Persian, Urdu or Ukrainian use. Latin letters are left to the model.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.characters import IDEOGRAPH, LETTER, LIMIT
from analysis.text import Batch, per_message
from schemas.text_features import UNKNOWN_LANGUAGE

LATIN_LAST = 0x24F
"""Last code point of Latin Extended-B; letters up to here belong to no other script."""
SCRIPT_SHARE_MIN = 0.4
"""Share of a text's letters that must be of other scripts for these to decide."""
RARE_SHARE_MIN = 0.03
"""Share of Persian-only (and so on) letters that tells Persian from Arabic with a loan word."""

STAND_IN_LETTERS_MAX: Final = 24
"""A text of more letters surely has others than those of six `http` and `user`."""
FEW_LETTERS_DOUBT: Final = 0.6
"""Over a text's own letters: what the model must be surer by than of a long text.

Of one word of a tweet in six languages it halves what is named wrongly and more (22 to 6 %), of
two words nearly (12 to 7 %); of whole tweets it leaves 0.4 % more unnamed.
"""

_RANGES: Final = (
    ("el", 0x0370, 0x03FF),
    ("ru", 0x0400, 0x052F),
    ("hy", 0x0530, 0x058F),
    ("he", 0x0590, 0x05FF),
    ("ar", 0x0600, 0x06FF),
    ("ar", 0x0750, 0x077F),
    ("hi", 0x0900, 0x097F),
    ("bn", 0x0980, 0x09FF),
    ("pa", 0x0A00, 0x0A7F),
    ("gu", 0x0A80, 0x0AFF),
    ("or", 0x0B00, 0x0B7F),
    ("ta", 0x0B80, 0x0BFF),
    ("te", 0x0C00, 0x0C7F),
    ("kn", 0x0C80, 0x0CFF),
    ("ml", 0x0D00, 0x0D7F),
    ("si", 0x0D80, 0x0DFF),
    ("th", 0x0E00, 0x0E7F),
    ("lo", 0x0E80, 0x0EFF),
    ("my", 0x1000, 0x109F),
    ("ka", 0x10A0, 0x10FF),
    ("ko", 0x1100, 0x11FF),
    ("am", 0x1200, 0x137F),
    ("km", 0x1780, 0x17FF),
    ("el", 0x1F00, 0x1FFF),
    ("zh", 0x2E80, 0x2FDF),
    ("zh", 0x3005, 0x3007),
    ("ja", 0x3040, 0x30FF),
    ("ko", 0x3130, 0x318F),
    ("ja", 0x31F0, 0x31FF),
    ("zh", 0x3400, 0x4DBF),
    ("zh", 0x4E00, 0x9FFF),
    ("ko", 0xAC00, 0xD7AF),
    ("zh", 0xF900, 0xFAFF),
    ("ar", 0xFB50, 0xFDFF),
    ("ar", 0xFE70, 0xFEFC),
    ("zh", LIMIT, LIMIT),
)
RARE: Final = {"uk": ("ru", "іїєґІЇЄҐ"), "ur": ("ar", "ٹڈڑںےہ"), "fa": ("ar", "پچژگی")}
"""Language -> the language its script is first taken for, and letters that only it uses."""

LANGUAGES_BY_SCRIPT: Final = tuple(dict.fromkeys([*(name for name, _, _ in _RANGES), *RARE]))
_INDEX: Final = {name: index + 1 for index, name in enumerate(LANGUAGES_BY_SCRIPT)}


@cache
def script_table() -> NDArray[np.uint8]:
    """Code point -> 1 + index of its language in `LANGUAGES_BY_SCRIPT`; 0: Latin or none."""
    table = np.zeros(LIMIT + 1, np.uint8)
    for name, first, last in _RANGES:
        table[first : last + 1] = _INDEX[name]
    for name, (_, letters) in RARE.items():
        table[[ord(letter) for letter in letters]] = _INDEX[name]
    table.setflags(write=False)
    return table


def own_letters(batch: Batch) -> NDArray[np.int64]:
    """How many letters each message has besides those of the stand-ins `http` and `@user`.

    0 or less: none. Of long texts, where it makes no difference, the stand-ins' are counted too.
    """
    letters = (batch.kinds == LETTER) | (batch.kinds == IDEOGRAPH)
    counts = per_message(letters, batch.bounds).astype(np.int64)
    for index in np.flatnonzero((counts > 0) & (counts <= STAND_IN_LETTERS_MAX)).tolist():
        piece = batch.pieces[index]
        counts[index] -= 4 * (piece.count("http") + piece.count("@user"))
    return counts


def needed(sure: float, letters: NDArray[np.int64]) -> NDArray[np.float64]:
    """How probable a language must be to be named: `sure` in a long text, more in a short one."""
    return sure + FEW_LETTERS_DOUBT / np.maximum(letters, 1)


def by_script(batch: Batch) -> dict[int, str]:
    """Message index -> language, for the messages whose script decides it.

    A message of a script that is not known here is `und`; one in Latin letters is left out.
    """
    letters = (batch.kinds == LETTER) | (batch.kinds == IDEOGRAPH)
    foreign = letters & (batch.plain > LATIN_LAST)
    places = np.flatnonzero(foreign)
    if not places.size:
        return {}
    messages = len(batch.bounds) - 1
    owners = np.searchsorted(batch.bounds, places, side="right") - 1
    width = len(LANGUAGES_BY_SCRIPT) + 1
    cells = owners * width + script_table()[batch.plain[places]]
    counts = np.bincount(cells, minlength=messages * width).reshape(messages, width)
    shares = per_message(foreign, batch.bounds)
    total = per_message(letters, batch.bounds)
    found: dict[int, str] = {}
    for index in np.flatnonzero((shares > 0) & (shares >= SCRIPT_SHARE_MIN * total)).tolist():
        found[index] = _decide(counts[index].tolist())
    return found


def _decide(counts: list[int]) -> str:
    by_name = {name: counts[place] for name, place in _INDEX.items()}
    if by_name["ja"]:
        by_name["ja"] += by_name.pop("zh")
    for name, (host, _) in RARE.items():
        share = by_name.pop(name)
        by_name[host] += share
        if share > RARE_SHARE_MIN * by_name[host]:
            by_name[name] = by_name[host]
            by_name[host] = 0
    best = max(by_name, key=lambda name: by_name[name])
    return best if by_name[best] else UNKNOWN_LANGUAGE
