"""A batch of texts as arrays: one folded code point stream, and what its surface shows.

Everything later (n-grams, topics, tone) reads these arrays, so each character is looked at by
Python code only when it is an emoji or part of a link.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.characters import (
    CLOSING_MARKS,
    DIGIT,
    EMOJI,
    END_MARKS,
    IDEOGRAPH,
    IGNORABLE,
    LETTER,
    LIMIT,
    MARK,
    SPACE,
    tables,
)

SCANNED_MAX = 8192
"""Code points of one text that are read; the rest only counts for `length`. The largest power of
two for which the model's sums stay below 2**21: (8192 + 1) * 255 = 2,089,215 < 2,097,152."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<!\w)@\w+")
_DOMAIN = re.compile(
    r"(?<![\w@.])(?:[a-z0-9-]{1,63}\.){1,4}(?:com|net|org|io|me|tv|co|app|link|gg|ly|fm|be|eu"
    r"|de|fr|es|it|pt|br|uk|nl|ru|us|info|xyz)\b(?![.\w@])(?:/\S*)?",
    re.IGNORECASE,
)
_GIF = re.compile(r"\bgifs?\b|giphy\.com|tenor\.com", re.IGNORECASE)

_END = np.array(sorted(map(ord, END_MARKS)), np.uint32)
_CLOSING = np.array(sorted(map(ord, CLOSING_MARKS)), np.uint32)
_APOSTROPHES = (ord("'"), ord("’"), ord("`"))

Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Batch(NamedTuple):
    """`bounds[i]:bounds[i + 1]` is message i; its last code point is the separator, a space.

    Links read `http` and mentions `@user`, as in the training corpora; ignorable code points are
    gone.
    """

    codes: NDArray[np.uint32]
    """Folded code points."""
    kinds: NDArray[np.uint8]
    bounds: Positions
    plain: NDArray[np.uint32]
    """Code points as written, clipped to `characters.LIMIT`."""
    pictured: Flags
    """Per message: may hold an emoji."""
    links: Flags
    gifs: Flags


class Surface(NamedTuple):
    """Per message, as `schemas.text_features` defines the fields of the same names."""

    words: Positions
    capitalised: Flags
    punctuated: Flags
    cased: Flags


def encode(texts: Sequence[str]) -> Batch:
    """Lay the texts one after another. Any `str` is accepted, lone surrogates too."""
    links = np.zeros(len(texts), np.bool_)
    gifs = np.zeros(len(texts), np.bool_)
    pictured = np.zeros(len(texts), np.bool_)
    pieces = []
    for index, text in enumerate(texts):
        piece = text if len(text) <= SCANNED_MAX else text[:SCANNED_MAX]
        if "." in piece or "//" in piece:
            plain = _LINK.sub("http", piece)
            plain = _DOMAIN.sub("http", plain)
            if plain != piece:
                links[index] = True
                gifs[index] = _GIF.search(piece) is not None
                piece = plain
        if "@" in piece:
            piece = _MENTION.sub("@user", piece)
        if not piece.isascii():
            pictured[index] = True
        pieces.append(piece)
    joined = "\n".join(pieces) + "\n"
    if not gifs.all() and ("gif" in joined or "GIF" in joined or "Gif" in joined):
        for index, piece in enumerate(pieces):
            gifs[index] = gifs[index] or _GIF.search(piece) is not None
    characters = tables()
    plain_codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    keycaps = 0x20E3
    clipped = np.minimum(plain_codes, LIMIT)
    kinds = characters.kind[clipped]
    lengths = np.fromiter(map(len, pieces), np.int64, len(pieces)) + 1
    bounds = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    dropped = kinds == IGNORABLE
    dropped |= (plain_codes >= 0xE0000) & (plain_codes <= 0xE0FFF)
    if dropped.any():
        pictured &= _any_per_message(
            (kinds == EMOJI) | (plain_codes == 0xFE0F) | (plain_codes == keycaps), bounds
        )
        kept = ~dropped
        bounds = np.concatenate(([0], np.cumsum(kept)))[bounds]
        clipped = clipped[kept]
        kinds = kinds[kept]
    else:
        pictured &= _any_per_message(kinds == EMOJI, bounds)
    return Batch(characters.fold[clipped], kinds, bounds, clipped, pictured, links, gifs)


def _any_per_message(flags: Flags, bounds: Positions) -> Flags:
    return np.diff(np.concatenate(([0], np.cumsum(flags)))[bounds]) > 0


def word_letters(batch: Batch) -> Flags:
    """Code points inside a word: letters, digits, and an apostrophe between two letters."""
    kinds = batch.kinds
    inside = (kinds == LETTER) | (kinds == DIGIT) | (kinds == IDEOGRAPH)
    quotes = np.flatnonzero(kinds == MARK)
    if quotes.size:
        quotes = quotes[np.isin(batch.codes[quotes], _APOSTROPHES)]
        quotes = quotes[(quotes > 0) & (quotes < len(kinds) - 1)]
        between = (kinds[quotes - 1] == LETTER) & (kinds[quotes + 1] == LETTER)
        inside[quotes[between]] = True
    return inside


def surface(batch: Batch, inside: Flags) -> Surface:
    """Counts and marks of each message; `inside` comes from `word_letters`."""
    kinds, plain, bounds = batch.kinds, batch.plain, batch.bounds
    begins, ends = bounds[:-1], bounds[1:]
    before = np.concatenate((np.zeros(1, np.bool_), inside[:-1]))
    starts = (inside & ~before) | (kinds == IDEOGRAPH)
    words = np.diff(np.concatenate(([0], np.cumsum(starts)))[bounds])

    characters = tables()
    letters = np.flatnonzero((kinds == LETTER) | (kinds == IDEOGRAPH))
    capitalised, cased = np.zeros((2, len(begins)), np.bool_)
    if letters.size:
        first = letters[np.minimum(np.searchsorted(letters, begins), letters.size - 1)]
        has = (first >= begins) & (first < ends)
        capitalised = has & characters.upper[plain[first]]
        cased = has & characters.cased[plain[first]]

    solid = (kinds != SPACE) & (kinds != EMOJI)
    marks = np.flatnonzero(kinds == MARK)
    solid[marks[np.isin(plain[marks], _CLOSING)]] = False
    solids = np.flatnonzero(solid)
    punctuated = np.zeros(len(begins), np.bool_)
    if solids.size:
        last = solids[np.maximum(np.searchsorted(solids, ends) - 1, 0)]
        punctuated = (last >= begins) & (last < ends) & np.isin(plain[last], _END)
    return Surface(words, capitalised, punctuated, cased)
