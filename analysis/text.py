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
_TOP_LEVELS = (
    "com|net|org|io|me|tv|co|app|link|gg|ly|fm|be|eu|de|fr|es|it|pt|br|uk|nl|ru|us|info|xyz"
)
_DOMAIN = re.compile(
    rf"(?<![\w@.])(?:[a-z0-9-]{{1,63}}\.){{1,4}}(?:{_TOP_LEVELS})\b(?![.\w@])(?:/\S*)?",
    re.IGNORECASE,
)
_SUSPECT = (
    re.compile("://"),
    re.compile(rf"\.(?:{_TOP_LEVELS})\b", re.IGNORECASE),
    re.compile("@(?!user\\b)\\w"),
)
_RARE_SUSPECT = (
    ("www.", re.compile("[wW][wW][wW]\\.")),
    ("gif", re.compile("[gG][iI][fF]")),
)
"""Looked for only in a batch that holds the word in lower case."""
_GIF = re.compile(r"\bgifs?\b|giphy\.com|tenor\.com", re.IGNORECASE)

END = np.array(sorted(map(ord, END_MARKS)), np.uint32)
CLOSING = np.array(sorted(map(ord, CLOSING_MARKS)), np.uint32)
TAGS = (0xE0000, 0xE0FFF)
EMOJI_STYLES = (0xFE0F, 0x20E3)
"""What makes an emoji of a sign: the variation selector and the keycap."""
APOSTROPHES = (ord("'"), ord("’"), ord("`"))

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
    pieces: Sequence[str]
    """The texts as they were laid."""


class Surface(NamedTuple):
    """Per message, as `schemas.text_features` defines the fields of the same names."""

    words: Positions
    capitalised: Flags
    punctuated: Flags
    cased: Flags


class Cleaned(NamedTuple):
    """Texts whose links read `http` and mentions `@user`, none longer than `SCANNED_MAX`."""

    pieces: Sequence[str]
    joined: str
    """With a line end after each."""
    bounds: Positions
    links: Flags
    gifs: Flags


def clean(texts: Sequence[str]) -> Cleaned:
    """What of a batch needs regular expressions."""
    pieces = list(texts)
    if max(map(len, pieces), default=0) > SCANNED_MAX:
        pieces = [text[:SCANNED_MAX] for text in texts]
    links = np.zeros(len(texts), np.bool_)
    gifs = np.zeros(len(texts), np.bool_)
    joined = "\n".join(pieces) + "\n"
    if suspects := _suspects(joined, pieces):
        for index in suspects:
            piece = pieces[index]
            unlinked = _DOMAIN.sub("http", _LINK.sub("http", piece))
            links[index] = unlinked != piece
            gifs[index] = _GIF.search(piece) is not None
            pieces[index] = _MENTION.sub("@user", unlinked)[:SCANNED_MAX]
        joined = "\n".join(pieces) + "\n"
    return Cleaned(pieces, joined, _bounds(pieces), links, gifs)


def encode(texts: Sequence[str]) -> Batch:
    """Lay the texts one after another. Any `str` is accepted, lone surrogates too."""
    pieces, joined, bounds, links, gifs = clean(texts)

    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    plain_points = np.minimum(points, LIMIT)
    characters = tables()
    kinds = characters.kind[plain_points]
    dropped = (kinds == IGNORABLE) | ((points >= TAGS[0]) & (points <= TAGS[1]))
    pictured = kinds == EMOJI
    if dropped.any():
        pictured |= (points == EMOJI_STYLES[0]) | (points == EMOJI_STYLES[1])
        pictures = per_message(pictured, bounds) > 0
        kept = ~dropped
        bounds = counts_before(kept)[bounds]
        plain_points, kinds = plain_points[kept], kinds[kept]
    else:
        pictures = per_message(pictured, bounds) > 0
    return Batch(
        characters.fold[plain_points],
        kinds,
        bounds,
        plain_points,
        pictures,
        links,
        gifs,
        pieces,
    )


def _bounds(pieces: Sequence[str]) -> Positions:
    bounds = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)) + 1, out=bounds[1:])
    return bounds


def _suspects(joined: str, pieces: Sequence[str]) -> list[int]:
    """Texts that may hold a link, a GIF's mark or a mention, by searches of the whole batch.

    Each pattern begins with a literal, which the search jumps to.
    """
    lowered = joined.lower()
    patterns = [*_SUSPECT, *(pattern for word, pattern in _RARE_SUSPECT if word in lowered)]
    places = [match.start() for pattern in patterns for match in pattern.finditer(joined)]
    if not places:
        return []
    starts = _bounds(pieces)
    found: list[int] = np.unique(np.searchsorted(starts, places, side="right") - 1).tolist()
    return found


def shifted(flags: Flags) -> Flags:
    """Each flag's left neighbour; nothing stands left of the first."""
    left = np.empty_like(flags)
    left[:1] = False
    left[1:] = flags[:-1]
    return left


def counts_before(flags: Flags) -> Positions:
    """counts[i] = how many of `flags[:i]` are set; one longer than `flags`."""
    counts = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=counts[1:])
    return counts


def per_message(flags: Flags, bounds: Positions) -> Positions:
    """How many flags are set within each message."""
    edges = counts_before(flags)[bounds]
    counts: Positions = edges[1:] - edges[:-1]
    return counts


def word_letters(batch: Batch) -> Flags:
    """Code points inside a word: letters, digits, and an apostrophe between two letters."""
    kinds = batch.kinds
    inside: Flags = (kinds == LETTER) | (kinds == DIGIT) | (kinds == IDEOGRAPH)
    quotes = np.flatnonzero(kinds == MARK)
    if quotes.size:
        quotes = quotes[np.isin(batch.codes[quotes], APOSTROPHES)]
        quotes = quotes[(quotes > 0) & (quotes < len(kinds) - 1)]
        between = (kinds[quotes - 1] == LETTER) & (kinds[quotes + 1] == LETTER)
        inside[quotes[between]] = True
    return inside


def surface(batch: Batch, inside: Flags) -> Surface:
    """Counts and marks of each message; `inside` comes from `word_letters`."""
    kinds, plain, bounds = batch.kinds, batch.plain, batch.bounds
    begins, ends = bounds[:-1], bounds[1:]
    starts = (inside & ~shifted(inside)) | (kinds == IDEOGRAPH)
    words = per_message(starts, bounds)

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
    solid[marks[np.isin(plain[marks], CLOSING)]] = False
    solids = np.flatnonzero(solid)
    punctuated = np.zeros(len(begins), np.bool_)
    if solids.size:
        last = solids[np.maximum(np.searchsorted(solids, ends) - 1, 0)]
        punctuated = (last >= begins) & (last < ends) & np.isin(plain[last], END)
    return Surface(words, capitalised, punctuated, cased)
