"""The texts as sparse rows: which features are counted, which are kept, which share a concept."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis import features
from analysis.artefact import BUCKET_BITS, BUCKET_FEATURES_MAX
from analysis.characters import EMOJI, MARK, tables
from analysis.features import GROUPS, RUN_MAX, Hashes
from analysis.model import Table, places
from analysis.text import encode, word_letters
from analysis.training.optimise import Floats, Integers, Rows

_COUNT_BITS: Final = 25
_COUNT_MIN: Final = 3
_CHUNK: Final = 1000
_GROUP_WEIGHTS: Final = {"chars3": 0.5, "chars4": 0.5, "chars5": 0.5}
_CONCEPT_WEIGHT: Final = 2.0
"""Word features count 1, the many character n-grams half, the few concepts twice."""
_WORDS: Final = GROUPS.index("words")
_MARKS: Final = len(GROUPS)
"""In training the tokens that are no words are a group of their own."""

Tick = Callable[[str, int, int], None]


class Hashed(NamedTuple):
    """All features of all texts, text by text."""

    hashes: Hashes
    groups: NDArray[np.uint8]
    starts: Integers
    sizes: Floats


def hash_texts(texts: Sequence[str], tick: Tick) -> Hashed:
    """Features of all texts; inside a text their order is that of the groups."""
    hashes, groups, sizes = [], [], []
    marks = _mark_hashes()
    for first in range(0, len(texts), _CHUNK):
        batch = encode(texts[first : first + _CHUNK])
        found = features.extract(batch, word_letters(batch))
        messages = len(found.tokens)
        counts = np.diff(found.bounds, axis=1)
        owners = np.repeat(
            np.tile(np.arange(messages, dtype=np.int32), len(GROUPS)), counts.ravel()
        )
        group = np.repeat(np.arange(len(GROUPS), dtype=np.uint8), counts.sum(axis=1))
        group[np.isin(found.hashes, marks) & (group == _WORDS)] = _MARKS
        order = np.argsort(owners, kind="stable")
        hashes.append(found.hashes[order])
        groups.append(group[order])
        sizes.append(counts.sum(axis=0))
        tick("read", min(first + _CHUNK, len(texts)), len(texts))
    lengths = np.concatenate(sizes)
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return Hashed(
        np.concatenate(hashes), np.concatenate(groups), starts, lengths.astype(np.float32)
    )


def _mark_hashes() -> Hashes:
    """Tokens that are no words: a message's begin and end, runs of a mark or an emoji."""
    signs = [chr(code) for code in np.flatnonzero(np.isin(tables().kind, (MARK, EMOJI))).tolist()]
    batch = encode([sign * times for sign in signs for times in range(1, RUN_MAX + 1)])
    found = features.extract(batch, word_letters(batch))
    return np.unique(found.hashes[found.bounds[_WORDS, 0] : found.bounds[_WORDS, -1]])


def count(hashed: Hashed, learnt: Integers) -> tuple[Rows, Hashes]:
    """Rows over the features that at least `_COUNT_MIN` texts have, and one hash of each."""
    shift = np.uint64(64 - _COUNT_BITS)
    counts = np.zeros(1 << _COUNT_BITS, np.int32)
    taught = np.zeros(len(hashed.sizes), np.bool_)
    taught[learnt] = True
    for part in _slices(len(hashed.hashes)):
        used = np.repeat(taught, _sizes_within(hashed.starts, part))
        buckets = (hashed.hashes[part][used] >> shift).astype(np.int64)
        counts += np.bincount(buckets, minlength=len(counts)).astype(np.int32)
    kept = counts >= _COUNT_MIN
    numbers = np.where(kept, np.cumsum(kept, dtype=np.int32) - 1, -1).astype(np.int32)
    samples = np.zeros(int(kept.sum()), np.uint64)
    group_of = np.zeros(len(samples), np.uint8)
    found = np.empty(len(hashed.hashes), np.int32)
    for part in _slices(len(hashed.hashes)):
        number = numbers[(hashed.hashes[part] >> shift).astype(np.int64)]
        found[part] = number
        real = number >= 0
        samples[number[real]] = hashed.hashes[part][real]
        group_of[number[real]] = hashed.groups[part][real]
    return _rows(found, hashed, group_of), samples


def _sizes_within(starts: Integers, part: slice) -> Integers:
    edges = np.clip(starts, part.start, part.stop)
    return edges[1:] - edges[:-1]


def _slices(length: int) -> list[slice]:
    step = 1 << 22
    return [slice(first, min(first + step, length)) for first in range(0, length, step)]


def _rows(found: NDArray[np.int32], hashed: Hashed, group_of: NDArray[np.uint8]) -> Rows:
    """Rows without the entries that are -1; `group_of` tells each column's group."""
    real = found >= 0
    edges = np.zeros(len(found) + 1, np.int64)
    np.cumsum(real, out=edges[1:])
    names = [*GROUPS, "marks"]
    weights = np.array([_GROUP_WEIGHTS.get(name, 1.0) for name in names], np.float32)
    spelling = np.array([name == "words" or name.startswith("chars") for name in names])
    return Rows(
        found[real], edges[hashed.starts], hashed.sizes, weights[group_of], spelling[group_of]
    )


def choose(
    wanted: Hashes, worth: Floats, limit: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], Table]:
    """The worthiest features that fit: at most `limit`, at most four a bucket, none twice."""
    order = np.argsort(-worth, kind="stable")
    buckets, fingerprints = places(wanted[order])
    keys = buckets * (1 << 16) + fingerprints.astype(np.int64)
    _, firsts = np.unique(keys, return_index=True)
    firsts = np.sort(firsts)[: limit + limit // 8]
    by_bucket = firsts[np.argsort(buckets[firsts], kind="stable")]
    bucket = buckets[by_bucket]
    begins = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
    place = np.arange(len(bucket)) - np.repeat(begins, np.diff(np.append(begins, len(bucket))))
    fitting = np.sort(by_bucket[place < BUCKET_FEATURES_MAX])[:limit]
    fitting = fitting[np.argsort(buckets[fitting], kind="stable")]
    counts = np.bincount(buckets[fitting], minlength=1 << BUCKET_BITS).astype(np.uint8)
    chosen = fingerprints[fitting].astype(np.uint16)
    return counts, chosen, Table(counts, chosen)


class Links(NamedTuple):
    """Which row shares which concept's column."""

    rows: Integers
    columns: Integers


def known(
    hashed: Hashed, table: Table, members: dict[int, list[int]], size: int
) -> tuple[Rows, Links]:
    """Rows over the table's features, with the concepts' columns behind them."""
    found = np.full(len(hashed.hashes), -1, np.int32)
    group_of = np.full(size, _WORDS, np.uint8)
    for part in _slices(len(hashed.hashes)):
        spots, rows = table.find(hashed.hashes[part])
        found[part.start + spots] = rows
        group_of[rows] = hashed.groups[part][spots]

    forms = np.fromiter(members, np.uint64, len(members))
    at, rows = table.find(forms)
    row_of = dict(zip(at.tolist(), rows.tolist(), strict=True))
    pairs = [
        (row_of[place], size + number)
        for place, numbers in enumerate(members.values())
        if place in row_of
        for number in numbers
    ]
    links = Links(*np.array(pairs, np.int64).T)
    base = _rows(found, hashed, group_of)
    concepts = int(links.columns.max()) - size + 1
    weights = np.append(base.weights, np.full(concepts, _CONCEPT_WEIGHT, np.float32))
    spelling = np.append(base.spelling, np.zeros(concepts, np.bool_))
    return _linked(base._replace(weights=weights, spelling=spelling), links), links


def _linked(base: Rows, links: Links) -> Rows:
    """Give every text the columns of its words' concepts."""
    owners = np.repeat(np.arange(len(base.sizes)), np.diff(base.starts))
    columns, texts = [base.columns], [owners]
    remaining = np.arange(len(links.rows))
    while remaining.size:
        _, firsts = np.unique(links.rows[remaining], return_index=True)
        picked = remaining[firsts]
        column_of = np.full(len(base.weights), -1, np.int32)
        column_of[links.rows[picked]] = links.columns[picked]
        extra = column_of[base.columns]
        real = extra >= 0
        columns.append(extra[real])
        texts.append(owners[real])
        remaining = np.delete(remaining, firsts)
    owner = np.concatenate(texts)
    order = np.argsort(owner, kind="stable")
    starts = np.zeros(len(base.sizes) + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=len(base.sizes)), out=starts[1:])
    return base._replace(columns=np.concatenate(columns)[order], starts=starts)
