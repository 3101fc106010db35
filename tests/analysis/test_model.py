"""The model at work, against slow and obvious ways to compute the same."""

import lzma
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import default_model
from analysis.artefact import BUCKET_BITS, Artefact, Header, pack, unpack
from analysis.features import VERSION, extract
from analysis.model import Model, Table, places
from analysis.text import encode, word_letters
from schemas.errors import Misconfigured

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=60, unique=True)


def table_of(hashes: list[int]) -> tuple[Table, dict[tuple[int, int], int]]:
    """A table of the hashes that fit four to a bucket, and where each (bucket, fingerprint) is."""
    buckets, fingerprints = places(np.array(hashes, np.uint64))
    keys = sorted(set(zip(buckets.tolist(), fingerprints.tolist(), strict=True)))
    counts = np.zeros(1 << BUCKET_BITS, np.uint8)
    kept = []
    for bucket, fingerprint in keys:
        if counts[bucket] < 4:
            counts[bucket] += 1
            kept.append((bucket, fingerprint))
    table = Table(counts, np.array([fingerprint for _, fingerprint in kept], np.uint16))
    return table, {key: row for row, key in enumerate(kept)}


@given(HASHES, HASHES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_table_finds_exactly_what_was_stored(
    stored: list[int], asked: list[int], crowded: bool
) -> None:
    if crowded:  # everything in few buckets, with near fingerprints
        stored = [(hash_ % 5) << 47 | (hash_ % 9) << 31 for hash_ in stored]
        asked = [(hash_ % 6) << 47 | (hash_ % 11) << 31 for hash_ in asked]
    table, rows = table_of(stored)
    wanted = np.array(stored + asked, np.uint64)
    buckets, fingerprints = places(wanted)
    known, found = table.find(wanted)
    keys = list(zip(buckets.tolist(), fingerprints.tolist(), strict=True))
    expected = {place: rows[key] for place, key in enumerate(keys) if key in rows}
    assert dict(zip(known.tolist(), found.tolist(), strict=True)) == expected


def small_artefact(seed: int) -> tuple[Artefact, dict[tuple[int, int], int]]:
    """A model of random weights that knows the features of a few texts."""
    random = np.random.default_rng(seed)
    batch = encode(["good day", "what a bad bad day", "buongiorno a tutti 😀"])
    hashes = np.unique(extract(batch, word_letters(batch)).hashes)
    _, rows = table_of(hashes.tolist())
    counts = np.zeros(1 << BUCKET_BITS, np.uint8)
    for bucket, _ in rows:
        counts[bucket] += 1
    units, sentiments, emotions, languages = 4, 3, 8, 2
    header = Header(
        features=VERSION,
        rows=len(rows),
        units=units,
        sentiments=("negative", "neutral", "positive"),
        emotions=("joy", "love", "sadness", "anger", "fear", "surprise", "disgust", "neutral"),
        languages=("en", "it"),
        scales=tuple(random.uniform(0.001, 0.02, units + languages).tolist()),
        offsets=tuple(random.normal(size=units + languages).tolist()),
        heads=tuple(
            tuple(row) for row in random.normal(size=(units, sentiments + emotions)).tolist()
        ),
        biases=tuple(random.normal(size=sentiments + emotions).tolist()),
        sentiment_sure=0.4,
        emotion_share=0.8,
        language_sure=0.5,
        data={},
        training={},
        payload="",
    )
    weights = random.integers(-127, 128, (len(rows), units + languages)).astype(np.int8)
    fingerprints = np.array([fingerprint for _, fingerprint in rows], np.uint16)
    return Artefact(header, counts, fingerprints, weights), rows


@pytest.mark.parametrize("seed", range(5))
def test_probabilities_equal_the_formula_computed_one_feature_at_a_time(seed: int) -> None:
    artefact, rows = small_artefact(seed)
    header = artefact.header
    texts = ["good good day", "a tutti: bad 😀", "unknown words only", "", "day " * 900]
    batch = encode(texts)
    found = extract(batch, word_letters(batch))
    scores = Model(artefact).score(found)
    for message in range(len(texts)):
        total = np.zeros(artefact.weights.shape[1])
        size = 0
        for group in range(found.bounds.shape[0]):
            first, last = found.bounds[group, message : message + 2]
            buckets, fingerprints = places(found.hashes[first:last])
            for key in zip(buckets.tolist(), fingerprints.tolist(), strict=True):
                size += 1
                if key in rows:
                    total += artefact.weights[rows[key]]
        values = total * header.scales / math.sqrt(size) + header.offsets
        logits = np.tanh(values[:4]) @ np.array(header.heads) + header.biases
        for part, expected in (
            (scores.sentiment, logits[:3]),
            (scores.emotion, logits[3:]),
            (scores.language, values[4:]),
        ):
            powers = np.exp(expected - expected.max())
            assert part[message] == pytest.approx(powers / powers.sum(), abs=0.01)


def test_a_packed_model_unpacks_to_the_same() -> None:
    artefact, _ = small_artefact(1)
    content = pack(artefact)
    again = unpack(content)
    assert pack(again) == content
    assert (again.weights == artefact.weights).all()
    assert (again.fingerprints == artefact.fingerprints).all()
    assert (again.counts == artefact.counts).all()


def test_a_damaged_model_is_refused() -> None:
    content = pack(small_artefact(2)[0])
    with pytest.raises(Misconfigured, match="not a Fan Memory text model"):
        unpack(b"GIF89a" + content)
    with pytest.raises(Misconfigured, match="damaged"):
        unpack(content[:-100])
    for place in range(20, len(content), len(content) // 40):
        altered = bytearray(content)
        altered[place] ^= 0x10
        try:
            unpack(bytes(altered))
        except Misconfigured:
            continue
        # What the checksum does not cover is the header's text: it was read, so it is still one.
        assert place < content.index(lzma.FORMAT_XZ and b"\xfd7zXZ")


def test_a_model_of_other_features_is_refused() -> None:
    artefact, _ = small_artefact(3)
    header = msgspec.structs.replace(artefact.header, features=VERSION + 1)
    with pytest.raises(Misconfigured, match="was trained on features"):
        Model(artefact._replace(header=header))


def test_the_committed_model_names_its_labels_and_data() -> None:
    header = default_model().header
    assert set(header.sentiments) == {"negative", "neutral", "positive"}
    assert header.emotions[-1] == "neutral"
    assert len(header.emotions) == 8
    assert {"en", "es", "fr", "de", "pt", "it"} <= set(header.languages)
    assert all(len(digest) == 64 for digest in header.data.values())
    assert len(header.data) == 8
