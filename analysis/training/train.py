"""`fanmemory train`: from a folder of labelled texts to one model file.

1. Hash every text's features; count them in 2^25 buckets and keep those of 3 texts or more.
2. Train a first network on these, and keep the features that move its heads most.
3. Train the final network on exactly the features that the artefact will hold, found by the very
   lookup of `model.Table`, with the concepts' shared features beside them.
4. Fold the concepts in, round to small integers, and choose biases, thresholds and temperature
   on the development sets with the rounded model.

Seeded and single-threaded: two runs on one machine give the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import features
from analysis.artefact import BUCKET_BITS, BUCKET_FEATURES_MAX, Artefact, Header
from analysis.characters import EMOJI, MARK, tables
from analysis.features import GROUPS, RUN_MAX, Hashes
from analysis.lexicon import Lexicon, bare_text
from analysis.model import Table, places
from analysis.taxonomy import default_taxonomy
from analysis.text import encode, word_letters
from analysis.training.concepts import concept_hashes, default_concepts, forms_by_language
from analysis.training.corpus import (
    DIALOGUE_SOURCE,
    EMOTIONS,
    SENTIMENTS,
    data_files,
    digests,
    read_folder,
)
from analysis.training.optimise import (
    SCALE,
    Floats,
    Integers,
    Network,
    Plan,
    Rows,
    Task,
    product,
    train,
)
from analysis.training.tune import Labelled, tuned

LANGUAGES: Final = ("de", "en", "es", "fr", "hi", "id", "it", "ms", "pt", "ro", "su", "sv")
"""Languages in Latin letters that the data can teach; the script tells the others."""
_HINDI_LINE: Final = (
    "aap ab aisa apna apne aur bahut bhai bhi gaya gayi hai hain hoon hu jab kab kaise kar karo ke"
    " ki koi kuch kya kyu kyun log mein mera mere meri nahi nahin raha rahe rahi sab tera teri tha"
    " thi toh tum tumhare woh yaar ye yeh"
)
_HINDI_WORDS: Final = frozenset(_HINDI_LINE.split())
_HINDI_WORDS_MIN: Final = 2
"""A tweet called romanised Hindi teaches Hindi only with so many words that English lacks: much
of that corpus is plain English."""
_LOVE_SIGNS: Final = ("❤", "😍", "😘", "🥰", "💕", "💖", "💗", "💘", "💞", "💝")
_LOVE_SHARE: Final = 0.7
"""How far a joyful text with a word or sign of love counts as `love`, where nobody could say so."""
_LANGUAGE_OF: Final = {name: name for name in LANGUAGES if name != "hi"} | {"hi-latn": "hi"}
"""Column `lang` -> language. Code-switched and pidgin texts teach none, nor do Hindi tweets, of
which half are English."""

_COUNT_BITS: Final = 25
_COUNT_MIN: Final = 3
_CHUNK: Final = 1000
_GROUP_WEIGHTS: Final = {"chars3": 0.5, "chars4": 0.5, "chars5": 0.5}
_CONCEPT_WEIGHT: Final = 2.0
"""Word features count 1, the many character n-grams half, the few concepts twice."""
_SOURCE_IMPORTANCE: Final = {"xlmt-train": 4.0, DIALOGUE_SOURCE: 2.0}
_BALANCE: Final = 0.5
"""Exponent of the inverse class frequency within a source and language; at most 4."""
_RARITY: Final = 0.5
"""Exponent of a language's inverse size, so that English does not take every row of the table."""
_LANGUAGE_BALANCE: Final = 0.7
"""Exponent of a language's inverse frequency."""
_WORDS: Final = GROUPS.index("words")
_MARKS: Final = len(GROUPS)
"""In training the tokens that are no words are a group of their own."""
_LOVE_SOURCES: Final = ("goemotions", "emot-")
"""Corpora whose annotators had `love`; elsewhere `joy` stands for both."""
_WEIGHT_MAX: Final = 63
"""7 bits a weight: half a step less precise than 8 bits costs nothing, and packs smaller."""
_CLIP_QUANTILE: Final = 0.9999

Tick = Callable[[str, int, int], None]


class Settings(NamedTuple):
    """What a training may vary; the defaults are the committed model's."""

    rows: int = 210_000
    units: int = 16
    members: int = 2
    """Networks of `units` each, from different seeds, whose logits are averaged."""
    epochs: int = 4
    first_units: int = 12
    first_epochs: int = 2
    batch: int = 4096
    rate: float = 0.02
    dropout: float = 0.2
    seed: int = 1


class _Text(msgspec.Struct):
    """Everything known of one text: the sentiment and the emotion tables share some."""

    text: str
    language: str
    held_out: bool
    sentiment: int | None = None
    sentiment_source: str = ""
    emotions: frozenset[str] | None = None
    emotion_source: str = ""


class _Hashed(NamedTuple):
    """All features of all texts, text by text."""

    hashes: Hashes
    groups: NDArray[np.uint8]
    starts: Integers
    sizes: Floats


def train_folder(folder: Path, settings: Settings, tick: Tick) -> Artefact:
    """Train on a data folder. `tick(step, done, total)` reports progress."""
    texts = [*_merged(folder), *_word_lists()]
    learnt = np.flatnonzero([not text.held_out for text in texts])
    hashed = _hash([text.text for text in texts], tick)
    tasks, language = _tasks(texts)

    rows, samples = _counted(hashed, learnt)
    plan = Plan(
        settings.first_units,
        settings.first_epochs,
        settings.batch,
        settings.rate,
        settings.dropout,
        settings.seed,
    )
    first = train(rows, learnt, tasks, language, plan, partial(tick, "choose"))
    members = concept_hashes(default_concepts())
    wanted = np.concatenate((np.fromiter(members, np.uint64, len(members)), samples))
    values = _worth(first, rows, settings, _rarity(texts))
    worth = np.concatenate((np.full(len(members), np.inf), values))
    counts, fingerprints, table = _chosen(wanted, worth, settings.rows)

    rows, linked = _known(hashed, table, members, len(fingerprints))
    plan = plan._replace(units=settings.units, epochs=settings.epochs)
    networks = []
    for number in range(settings.members):
        member = plan._replace(seed=settings.seed + number)
        step = f"train {number + 1} of {settings.members}"
        networks.append(train(rows, learnt, tasks, language, member, partial(tick, step)))
    network = _averaged(networks, settings.units)
    artefact = _rounded(network, rows, linked, settings, counts, fingerprints)
    header = msgspec.structs.replace(artefact.header, data=digests(data_files(folder)))
    held_out = [
        Labelled(
            text.text,
            text.language,
            text.sentiment_source or text.emotion_source,
            text.sentiment,
            text.emotions,
        )
        for text in texts
        if text.held_out
    ]
    return tuned(artefact._replace(header=header), held_out)


def _merged(folder: Path) -> list[_Text]:
    """One entry per distinct training text of the tables; held-out texts and utterances as they
    are, since how often people say a thing belongs to what is learnt."""
    texts: list[_Text] = []
    shared: dict[str, _Text] = {}
    for example in read_folder(folder):
        known = None if example.held_out else shared.get(example.text)
        if known is None or example.source == DIALOGUE_SOURCE:
            known = _Text(example.text, example.language, example.held_out)
            texts.append(known)
            if not example.held_out and example.source != DIALOGUE_SOURCE:
                shared[example.text] = known
        if example.sentiment is not None:
            known.sentiment, known.sentiment_source = example.sentiment, example.source
        if example.emotions is not None:
            known.emotions, known.emotion_source = example.emotions, example.source
    return texts


def _word_lists() -> list[_Text]:
    """Our own word lists by language, which teach the language head alone."""
    lists = [
        (language, " ".join(term.removesuffix("*") for term in terms))
        for languages in default_taxonomy().topics.values()
        for language, terms in languages.items()
    ]
    lists += forms_by_language(default_concepts())
    return [_Text(words, language, held_out=False) for language, words in lists]


def _hash(texts: Sequence[str], tick: Tick) -> _Hashed:
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
    return _Hashed(
        np.concatenate(hashes), np.concatenate(groups), starts, lengths.astype(np.float32)
    )


def _mark_hashes() -> Hashes:
    """Tokens that are no words: a message's begin and end, runs of a mark or an emoji."""
    signs = [chr(code) for code in np.flatnonzero(np.isin(tables().kind, (MARK, EMOJI))).tolist()]
    batch = encode([sign * times for sign in signs for times in range(1, RUN_MAX + 1)])
    found = features.extract(batch, word_letters(batch))
    return np.unique(found.hashes[found.bounds[_WORDS, 0] : found.bounds[_WORDS, -1]])


def _tasks(texts: Sequence[_Text]) -> tuple[list[Task], Task]:
    """What the three softmaxes are taught."""
    count = len(texts)
    sentiment = Task(np.zeros((count, len(SENTIMENTS)), np.float32), np.zeros(count, np.float32))
    blurred = np.zeros(count, np.bool_)
    emotion = Task(
        np.zeros((count, len(EMOTIONS)), np.float32),
        np.zeros(count, np.float32),
        ([EMOTIONS.index("joy"), EMOTIONS.index("love")], blurred),
    )
    language = Task(np.zeros((count, len(LANGUAGES)), np.float32), np.zeros(count, np.float32))
    balance = _balance(texts)
    joy, love = EMOTIONS.index("joy"), EMOTIONS.index("love")
    loving = _loving([text.text for text in texts])
    for row, text in enumerate(texts):
        if text.sentiment is not None:
            key = (text.sentiment_source, text.language)
            sentiment.targets[row, text.sentiment] = 1.0
            sentiment.importance[row] = balance[key][text.sentiment] * _SOURCE_IMPORTANCE.get(
                text.sentiment_source, 1.0
            )
        if text.emotions is not None:
            emotion.importance[row] = 1.0
            for label in text.emotions:
                emotion.targets[row, EMOTIONS.index(label)] = 1.0 / len(text.emotions)
            if not text.emotion_source.startswith(_LOVE_SOURCES):
                blurred[row] = row not in loving
                if not blurred[row]:
                    emotion.targets[row, love] = _LOVE_SHARE * emotion.targets[row, joy]
                    emotion.targets[row, joy] *= 1.0 - _LOVE_SHARE
        name = _LANGUAGE_OF.get(text.language)
        if name == "hi" and len(_HINDI_WORDS & set(text.text.lower().split())) < _HINDI_WORDS_MIN:
            name = None
        if name is not None and not text.held_out:
            language.targets[row, LANGUAGES.index(name)] = 1.0
    known = language.targets.sum(axis=0)
    rarity = ((known.mean() / np.maximum(known, 1.0)) ** _LANGUAGE_BALANCE).astype(np.float32)
    language.importance[:] = (language.targets * rarity).sum(axis=1)
    return [sentiment, emotion], language


def _loving(texts: Sequence[str]) -> set[int]:
    """Texts with a word of the concept `love` in any language, or with a heart or the like."""
    forms = default_concepts()["love"].values()
    terms = [*_LOVE_SIGNS, *(form for column in forms for form in column)]
    lexicon = Lexicon({term: ["love"] for term in terms})
    found: set[int] = set()
    for first in range(0, len(texts), _CHUNK):
        batch = encode(texts[first : first + _CHUNK])
        found.update(first + index for index in lexicon.find(batch, bare_text(batch)))
    return found


def _balance(texts: Sequence[_Text]) -> dict[tuple[str, str], list[float]]:
    """(source, language) -> how much a text of each sentiment counts."""
    counts: dict[tuple[str, str], list[int]] = {}
    for text in texts:
        if text.sentiment is not None and not text.held_out:
            key = (text.sentiment_source, text.language)
            counts.setdefault(key, [0] * len(SENTIMENTS))[text.sentiment] += 1
    held_out = {(t.sentiment_source, t.language): [1.0] * 3 for t in texts if t.held_out}
    return held_out | {
        key: [
            1.0
            if key[0] == DIALOGUE_SOURCE
            else min((sum(found) / len(found) / max(number, 1)) ** _BALANCE, 4.0)
            for number in found
        ]
        for key, found in counts.items()
    }


def _counted(hashed: _Hashed, learnt: Integers) -> tuple[Rows, Hashes]:
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


def _rows(found: NDArray[np.int32], hashed: _Hashed, group_of: NDArray[np.uint8]) -> Rows:
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


def _rarity(texts: Sequence[_Text]) -> Floats:
    """How much a text counts when features are chosen: less, the more its language has."""
    sizes = Counter(text.language for text in texts)
    mean = len(texts) / len(sizes)
    counts = [(mean / sizes[text.language]) ** _RARITY for text in texts]
    return np.array(counts, np.float32)


def _worth(network: Network, rows: Rows, settings: Settings, rarity: Floats) -> Floats:
    """How much a feature moves the logits over all texts that have it."""
    seen = np.zeros(len(rows.weights))
    for first in range(0, len(rarity), 10 * _CHUNK):
        edges = rows.starts[first : first + 10 * _CHUNK + 1]
        counts = np.repeat(rarity[first : first + 10 * _CHUNK], np.diff(edges))
        columns = rows.columns[edges[0] : edges[-1]]
        seen += np.bincount(columns, weights=counts, minlength=len(seen))
    embedding = network.embedding * rows.weights[:, None]
    units = settings.first_units
    moved = product(embedding[:, :units], network.heads)
    worth: Floats = (moved**2).sum(axis=1) + 0.1 * (embedding[:, units:] ** 2).sum(axis=1)
    worth *= seen.astype(np.float32)
    return worth


def _chosen(
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


def _averaged(networks: Sequence[Network], units: int) -> Network:
    """One network whose logits are the mean of the given ones': their units side by side."""
    share = np.float32(1.0 / len(networks))

    def joined(parts: Sequence[Floats]) -> Floats:
        languages = np.mean([part[..., units:] for part in parts], axis=0, dtype=np.float32)
        return np.concatenate([*(part[..., :units] for part in parts), languages], axis=-1)

    return Network(
        joined([network.embedding for network in networks]),
        joined([network.offsets for network in networks]),
        np.concatenate([network.heads for network in networks]) * share,
        np.mean([network.biases for network in networks], axis=0, dtype=np.float32),
    )


class _Links(NamedTuple):
    """Which row shares which concept's column."""

    rows: Integers
    columns: Integers


def _known(
    hashed: _Hashed, table: Table, members: dict[int, list[int]], size: int
) -> tuple[Rows, _Links]:
    """Rows over the table's features, with the concepts' columns behind them."""
    found = np.full(len(hashed.hashes), -1, np.int32)
    group_of = np.full(size, _WORDS, np.uint8)
    for part in _slices(len(hashed.hashes)):
        known, rows = table.find(hashed.hashes[part])
        found[part.start + known] = rows
        group_of[rows] = hashed.groups[part][known]

    forms = np.fromiter(members, np.uint64, len(members))
    known, rows = table.find(forms)
    row_of = dict(zip(known.tolist(), rows.tolist(), strict=True))
    pairs = [
        (row_of[place], size + number)
        for place, numbers in enumerate(members.values())
        if place in row_of
        for number in numbers
    ]
    links = _Links(*np.array(pairs, np.int64).T)
    base = _rows(found, hashed, group_of)
    concepts = int(links.columns.max()) - size + 1
    weights = np.append(base.weights, np.full(concepts, _CONCEPT_WEIGHT, np.float32))
    spelling = np.append(base.spelling, np.zeros(concepts, np.bool_))
    return _linked(base._replace(weights=weights, spelling=spelling), links), links


def _linked(base: Rows, links: _Links) -> Rows:
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


def _rounded(
    network: Network,
    rows: Rows,
    links: _Links,
    settings: Settings,
    counts: NDArray[np.uint8],
    fingerprints: NDArray[np.uint16],
) -> Artefact:
    """Fold the concepts in and round the weights; biases and thresholds are still plain."""
    size = len(fingerprints)
    weights = network.embedding * rows.weights[:, None]
    folded = weights[:size].copy()
    np.add.at(folded, links.rows, weights[links.columns])
    steps = np.quantile(np.abs(folded), _CLIP_QUANTILE, axis=0) / _WEIGHT_MAX
    whole = np.clip(np.rint(folded / steps), -_WEIGHT_MAX, _WEIGHT_MAX).astype(np.int8)
    header = Header(
        features=features.VERSION,
        rows=size,
        units=settings.units * settings.members,
        sentiments=SENTIMENTS,
        emotions=EMOTIONS,
        languages=LANGUAGES,
        scales=tuple((steps * SCALE).tolist()),
        offsets=tuple(network.offsets.astype(np.float64).tolist()),
        heads=tuple(tuple(row) for row in network.heads.astype(np.float64).tolist()),
        biases=tuple(network.biases.astype(np.float64).tolist()),
        sentiment_sure=0.0,
        emotion_share=1.0,
        language_sure=0.0,
        data={},
        training={name: float(value) for name, value in settings._asdict().items()},
        payload="",
    )
    return Artefact(header, counts, fingerprints, whole)
