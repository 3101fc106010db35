"""What each code point is to the analyser: its kind, its folded form, its bare form.

Three tables over the first 0x20000 code points (all living scripts and all emoji) are built from
the standard library's Unicode data on first use, in about 0.1 s, and kept. Code points above,
rare ideographs and private use, share the entry of U+20000, an ideograph; tags (U+E00xx) are
ignorable like the other invisible characters.
"""

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LIMIT = 0x20000

SPACE, LETTER, DIGIT, MARK, EMOJI, IGNORABLE, IDEOGRAPH = range(7)
"""Kinds. MARK is punctuation and symbols; IGNORABLE is dropped before anything is counted;
IDEOGRAPH is a letter of a script written without spaces between words."""

EMOJI_RANGES = (
    (0x1F000, 0x1F0FF),  # mahjong, dominoes, cards
    (0x1F170, 0x1F171),
    (0x1F17E, 0x1F17F),
    (0x1F18E, 0x1F18E),
    (0x1F191, 0x1F19A),
    (0x1F1E6, 0x1F1FF),  # regional indicators: flags
    (0x1F201, 0x1F265),
    (0x1F300, 0x1F3FA),
    (0x1F400, 0x1F6FF),
    (0x1F7E0, 0x1F7FF),
    (0x1F90C, 0x1F9FF),
    (0x1FA70, 0x1FAFF),
    (0x231A, 0x231B),
    (0x23E9, 0x23F3),
    (0x25FD, 0x25FE),
    (0x2600, 0x2604),
    (0x260E, 0x260E),
    (0x2614, 0x2615),
    (0x2618, 0x2618),
    (0x261D, 0x261D),
    (0x2620, 0x2620),
    (0x2622, 0x2623),
    (0x2626, 0x2626),
    (0x262A, 0x262A),
    (0x262E, 0x262F),
    (0x2638, 0x263A),
    (0x2648, 0x2653),
    (0x265F, 0x2660),
    (0x2663, 0x2663),
    (0x2665, 0x2666),
    (0x2668, 0x2668),
    (0x267B, 0x267B),
    (0x267E, 0x267F),
    (0x2692, 0x2697),
    (0x2699, 0x2699),
    (0x269B, 0x269C),
    (0x26A0, 0x26A1),
    (0x26AA, 0x26AB),
    (0x26B0, 0x26B1),
    (0x26BD, 0x26BE),
    (0x26C4, 0x26C5),
    (0x26C8, 0x26C8),
    (0x26CE, 0x26CF),
    (0x26D1, 0x26D1),
    (0x26D3, 0x26D4),
    (0x26E9, 0x26EA),
    (0x26F0, 0x26F5),
    (0x26F7, 0x26FA),
    (0x26FD, 0x26FD),
    (0x2702, 0x2702),
    (0x2705, 0x2705),
    (0x2708, 0x270D),
    (0x2728, 0x2728),
    (0x2744, 0x2744),
    (0x274C, 0x274C),
    (0x274E, 0x274E),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2763, 0x2764),
    (0x2795, 0x2797),
    (0x27B0, 0x27B0),
    (0x27BF, 0x27BF),
    (0x2B1B, 0x2B1C),
    (0x2B50, 0x2B50),
    (0x2B55, 0x2B55),
)
"""Emoji by themselves (Unicode's emoji-data.txt). Signs that people mostly write as text, such as
© ™ ✔ ↔ and the keycap bases, are emoji only when U+FE0F or U+20E3 follows: see `emoji`."""

_IGNORABLE_RANGES = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x0300, 0x036F),  # combining accents: a decomposed letter counts as its bare letter
    (0x0610, 0x061A),
    (0x0640, 0x0640),  # Arabic tatweel
    (0x064B, 0x065F),  # Arabic vowel marks
    (0x0670, 0x0670),
    (0x06D6, 0x06ED),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x200B, 0x200F),  # zero-width space, joiners, direction marks
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x20D0, 0x20FF),  # enclosing marks, the keycap among them
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFE20, 0xFE2F),
    (0xFEFF, 0xFEFF),
    (0x1F3FB, 0x1F3FF),  # skin tones
)

_IDEOGRAPH_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
)

_UNFOLDED_RANGES = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3))
"""Han and Hangul: 39,000 letters without case or accents, passed over for the sake of the start."""

_ARABIC_VARIANTS = str.maketrans("أإآٱىة", "اااايه")
"""Spellings that Arabic writers interchange, as search engines for Arabic fold them."""

END_MARKS = frozenset(".!?…。！？｡؟۔।॥։៕‽")
"""Marks that end a sentence, in any script."""

CLOSING_MARKS = frozenset("\"'”’»)]}›」』）")
"""Marks that may follow the end of a sentence."""


class Tables(NamedTuple):
    """Indexed by `min(code point, LIMIT)`."""

    kind: NDArray[np.uint8]
    fold: NDArray[np.uint32]
    """Lower case, compatibility form, Arabic spelling variants joined."""
    bare: NDArray[np.uint32]
    """`fold` without accents; a space for whatever is not part of a word."""
    cased: NDArray[np.bool_]
    upper: NDArray[np.bool_]


_KIND_BY_CATEGORY = {"L": LETTER, "M": LETTER, "N": DIGIT, "P": MARK, "S": MARK}


def _one(text: str, otherwise: str) -> str:
    return text if len(text) == 1 else otherwise


def _folded(char: str) -> str:
    compatible = _one(unicodedata.normalize("NFKC", char), char)
    return _one(compatible.lower(), compatible).translate(_ARABIC_VARIANTS)


def _bare(folded: str) -> str:
    return unicodedata.normalize("NFD", folded)[0] if folded > "\x7f" else folded


@cache
def tables() -> Tables:
    """Build the tables once per process."""
    kind = np.zeros(LIMIT + 1, np.uint8)
    fold = np.arange(LIMIT + 1, dtype=np.uint32)
    bare = np.full(LIMIT + 1, ord(" "), np.uint32)
    cased = np.zeros(LIMIT + 1, np.bool_)
    upper = np.zeros(LIMIT + 1, np.bool_)
    for first, last in _UNFOLDED_RANGES:
        kind[first : last + 1] = LETTER
        bare[first : last + 1] = fold[first : last + 1]
    for code in np.flatnonzero(kind == SPACE)[:-1].tolist():
        char = chr(code)
        group = _KIND_BY_CATEGORY.get(unicodedata.category(char)[0])
        if group is None:
            fold[code] = ord(" ")
            continue
        folded = _folded(char)
        kind[code] = group
        fold[code] = ord(folded)
        if group in (LETTER, DIGIT):
            bare[code] = ord(_bare(folded))
            if group == LETTER:
                upper[code] = char.isupper() or char.istitle()
                cased[code] = upper[code] or char.islower()
    for ranges, group in (
        (_IDEOGRAPH_RANGES, IDEOGRAPH),
        (EMOJI_RANGES, EMOJI),
        (_IGNORABLE_RANGES, IGNORABLE),
    ):
        for first, last in ranges:
            known = kind[first : last + 1]
            if group == IDEOGRAPH:
                known[known == LETTER] = IDEOGRAPH
            else:
                known[:] = group
            if group == EMOJI:
                # Also those that this Python's Unicode does not know yet.
                fold[first : last + 1] = np.arange(first, last + 1, dtype=np.uint32)
    kind[LIMIT] = IDEOGRAPH
    for table in (kind, fold, bare, cased, upper):
        table.setflags(write=False)
    return Tables(kind, fold, bare, cased, upper)
