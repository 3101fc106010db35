"""The features of a text: 64-bit hashes of its words, word pairs and character n-grams.

Everything is computed over the whole batch at once. Features come in groups; inside a group they
stand in message order, so a message's share of a group is one slice.

Groups, in this order:
- words: each word, run of one mark (`!!!`) or run of one emoji; in scripts without spaces each
  letter. A negated word is another word (`negation`). Every message begins and ends with a token
  of its own.
- pairs: two neighbouring tokens.
- skips: two tokens with one between them.
- characters 3, 4, 5: n-grams inside a word and its boundaries (`_lo`, `lov`, `ove_`). Two-letter
  ones cost a third of the time and taught nothing that the development sets could tell.
- shape: one token for the length, and one each for capitals and stretched letters if any.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.characters import EMOJI, IDEOGRAPH, LETTER, MARK, tables
from analysis.negation import REACH_MAX, negators
from analysis.text import (
    Batch,
    Flags,
    Positions,
    counts_before,
    encode,
    per_message,
    shifted,
    word_letters,
)

Hashes = NDArray[np.uint64]

VERSION = 3
"""Changes whenever the same text would yield other features: models name the one they need."""

GROUPS = ("words", "pairs", "skips", "chars3", "chars4", "chars5", "shape")
_SIZES = (3, 4, 5)
RUN_MAX = 3
"""A run of one mark or emoji is told apart up to this length: `!`, `!!`, `!!!`."""

# Odd 64-bit constants of splitmix64 (Steele, Lea, Flood 2014) and multiples of the golden ratio.
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_G = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(31)
_SALTS = np.arange(1, 16, dtype=np.uint64) * _G
_BEGIN, _END, _LENGTH, _CAPITALS, _STRETCHED = range(1, 6)
_NEGATED: Final = _SALTS[14]
"""Numbers of the tokens of our own: plain multiples of a constant, where words are mixed."""


class Features(NamedTuple):
    """`hashes[bounds[g, i] : bounds[g, i + 1]]` are message i's features of group g."""

    hashes: Hashes
    bounds: Positions
    """Shape (groups, messages + 1)."""
    tokens: Positions
    """Tokens of each message, its begin and end not counted."""


def _mixed(values: Hashes) -> Hashes:
    values = values * _A
    values ^= values >> _SHIFT
    values *= _B
    return values


def _finished(values: Hashes) -> Hashes:
    values ^= values >> np.uint64(29)
    values *= _A
    values ^= values >> np.uint64(32)
    return values


def extract(batch: Batch, inside: Flags) -> Features:
    """All features of a batch; `inside` comes from `text.word_letters`."""
    codes, kinds, bounds = batch.codes, batch.kinds, batch.bounds
    same = np.zeros(len(codes), np.bool_)
    np.equal(codes[1:], codes[:-1], out=same[1:])
    same[bounds[1:-1]] = False
    # `soooo` is read as `soo`: a letter is kept at most twice in a row.
    stretched = same & shifted(same) & (kinds == LETTER)
    capitals = tables().upper[batch.plain] & inside
    capitals &= shifted(capitals)
    shouted = per_message(capitals, bounds) > 2
    drawled = per_message(stretched, bounds) > 0
    if drawled.any():
        kept = ~stretched
        bounds = counts_before(kept)[bounds]
        codes, kinds, inside, same = codes[kept], kinds[kept], inside[kept], same[kept]

    letters = _mixed(codes.astype(np.uint64) + _G)
    words, word_bounds, breaks = _tokens(letters, kinds, inside, same, bounds)
    groups = [np.where(negated(words, breaks), words ^ _NEGATED, words)]
    group_bounds = [word_bounds]
    for distance in (1, 2):
        pairs, pair_bounds = _pairs(words, word_bounds, distance)
        groups.append(pairs)
        group_bounds.append(pair_bounds)
    grams, gram_bounds = _ngrams(letters, inside, bounds)
    groups += grams
    group_bounds += gram_bounds
    tokens = np.diff(word_bounds) - 2
    shape, shape_bounds = _shape(tokens, shouted, drawled)
    groups.append(shape)
    group_bounds.append(shape_bounds)

    offsets = np.cumsum([0] + [len(group) for group in groups[:-1]])
    hashes = _finished(np.concatenate(groups))
    return Features(hashes, np.stack(group_bounds) + offsets[:, None], tokens)


def _tokens(
    letters: Hashes, kinds: NDArray[np.uint8], inside: Flags, same: Flags, bounds: Positions
) -> tuple[Hashes, Positions, Flags]:
    """Hash every token and frame each message with its begin and end; which end a clause."""
    messages = len(bounds) - 1
    spaced = inside & (kinds != IDEOGRAPH)
    alone = (kinds == IDEOGRAPH) & inside
    runs = ((kinds == MARK) | (kinds == EMOJI)) & ~inside
    starts = (spaced & ~shifted(spaced)) | alone | (runs & ~same)
    # A hash of a word is its polynomial over the letters' positions in the word: the sum of
    # letter * G^place. A run of one mark adds its capped length.
    positions = np.flatnonzero(starts)
    members = spaced | alone | runs
    place = np.zeros(len(letters), np.int64)
    if len(positions):
        place = np.arange(len(letters)) - positions[np.maximum(counts_before(starts)[1:] - 1, 0)]
    powers = _POWERS[np.clip(place, 0, len(_POWERS) - 1)]
    valued = np.where(members, letters * powers, 0)
    valued[runs & (place >= RUN_MAX)] = 0
    sums = np.add.reduceat(valued, positions) if len(positions) else np.empty(0, np.uint64)
    inner = counts_before(starts)[bounds]
    word_bounds = inner + 2 * np.arange(messages + 1)
    hashes = np.empty(len(sums) + 2 * messages, np.uint64)
    framed = np.ones(len(hashes), np.bool_)
    framed[word_bounds[:-1]] = False
    framed[word_bounds[1:] - 1] = False
    hashes[framed] = _mixed(sums)
    hashes[word_bounds[:-1]] = _SALTS[_BEGIN]
    hashes[word_bounds[1:] - 1] = _SALTS[_END]
    breaks = ~framed
    breaks[framed] = runs[positions]
    return hashes, word_bounds, breaks


_POWERS = np.cumprod(np.full(64, _G))
"""G^1 … G^64; letters after the 64th of one word share the last power."""


class Negators(NamedTuple):
    """The negators' hashes, sorted, and the reach of each."""

    hashes: Hashes
    after: Positions
    before: Positions
    either: Flags


@cache
def negator_table() -> Negators:
    """The lists of `negation` as this module hashes words; made once per process."""
    words, reaches = zip(*negators(), strict=True)
    hashes = word_hashes(words)
    order = np.argsort(hashes)
    after, before, either = np.array(reaches, np.int64)[order].T
    return Negators(hashes[order], after, before, either.astype(np.bool_))


def word_hashes(words: Sequence[str]) -> Hashes:
    """The hash of each word's token before features are finished; ValueError for two tokens."""
    batch = encode(words)
    inside = word_letters(batch)
    letters = _mixed(batch.codes.astype(np.uint64) + _G)
    alike = np.zeros(len(letters), np.bool_)
    hashes, bounds, _ = _tokens(letters, batch.kinds, inside, alike, batch.bounds)
    if (np.diff(bounds) != 3).any():
        raise ValueError("negation: a negator is one word")
    found: Hashes = hashes[bounds[:-1] + 1]
    return found


def negated_features(words: Sequence[str]) -> Hashes:
    """The features of the words where they are negated."""
    return _finished(word_hashes(words) ^ _NEGATED)


def negated(words: Hashes, breaks: Flags) -> Flags:
    """Which tokens stand in the scope of a negator; `breaks` are not crossed."""
    known = negator_table()
    flags = np.zeros(len(words), np.bool_)
    nearest = np.minimum(np.searchsorted(known.hashes, words), len(known.hashes) - 1)
    places = np.flatnonzero(known.hashes[nearest] == words)
    if not places.size:
        return flags
    kinds = nearest[places]
    after, before = known.after[kinds], known.before[kinds]
    either = known.either[kinds]
    breaks = breaks.copy()
    breaks[places[(after == 0) & (before == 0)]] = True
    closed = breaks[places + 1]  # a message's end stands behind every word
    after = np.where(either & closed, 0, after)
    before = np.where(either & ~closed, 0, before)
    for step, reach in ((1, after), (-1, before)):
        spots, left = places, reach
        for _ in range(REACH_MAX):
            spots, left = spots[left > 0] + step, left[left > 0] - 1
            inside = ~breaks[spots]
            spots, left = spots[inside], left[inside]
            flags[spots] = True
    return flags


def _pairs(words: Hashes, bounds: Positions, distance: int) -> tuple[Hashes, Positions]:
    """Token i with token i + distance of the same message."""
    if len(words) <= distance:
        return np.empty(0, np.uint64), np.zeros(len(bounds), np.int64)
    paired = np.ones(len(words), np.bool_)
    for back in range(1, distance + 1):
        paired[np.maximum(bounds[1:] - back, 0)] = False
    first = np.flatnonzero(paired)
    hashes = words[first] * _POWERS[distance] + words[first + distance]
    return _mixed(hashes), counts_before(paired)[bounds]


def _ngrams(
    letters: Hashes, inside: Flags, bounds: Positions
) -> tuple[list[Hashes], list[Positions]]:
    """Character 3- to 5-grams; what follows a word stands for its boundary."""
    kept = inside | shifted(inside)
    stream = np.zeros(int(np.count_nonzero(kept)) + 1, np.uint64)
    stream[1:] = np.where(inside, letters, 0)[kept]
    bounds = counts_before(kept)[bounds]
    solid = stream != 0
    hashes = stream[:-1] * _G + stream[1:]
    valid = np.ones(len(hashes), np.bool_)
    groups, group_bounds = [], []
    for size in _SIZES:
        count = max(len(stream) - size + 1, 0)
        hashes = hashes[:count] * _G + stream[len(stream) - count :]
        # Inside an n-gram there is no boundary; at its ends there may be one.
        valid = valid[:count] & solid[size - 2 : size - 2 + count]
        first = np.flatnonzero(valid)
        groups.append(_mixed(hashes[first] + _SALTS[size]))
        group_bounds.append(counts_before(valid)[np.minimum(bounds, count)])
    return groups, group_bounds


def shape_lengths(tokens: Positions) -> Hashes:
    """How long a message is, in halves of a doubling: 0 to 15, the last from 182 tokens on."""
    lengths: Hashes = np.minimum(np.log2(np.maximum(tokens, 1)) * 2, 15).astype(np.uint64)
    return lengths


def _shape(tokens: Positions, shouted: Flags, drawled: Flags) -> tuple[Hashes, Positions]:
    """Tokens that speak of the message as a whole."""
    lengths = shape_lengths(tokens)
    table = np.stack(
        (
            _mixed(lengths + _SALTS[_LENGTH]),
            np.full(len(tokens), _SALTS[_CAPITALS]),
            np.full(len(tokens), _SALTS[_STRETCHED]),
        ),
        axis=1,
    )
    chosen = np.stack((np.ones(len(tokens), np.bool_), shouted, drawled), axis=1)
    return table[chosen], np.concatenate(([0], np.cumsum(chosen.sum(axis=1))))
