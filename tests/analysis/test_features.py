"""The features that models are trained on."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.features import GROUPS, VERSION, Features, extract, negated_features
from analysis.text import encode, word_letters


def features_of(texts: list[str]) -> Features:
    batch = encode(texts)
    return extract(batch, word_letters(batch))


def of_group(found: Features, group: str, message: int = 0) -> list[int]:
    number = GROUPS.index(group)
    first, last = found.bounds[number, message : message + 2]
    return found.hashes[first:last].tolist()


@given(st.lists(st.text(alphabet=st.characters(), max_size=40), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_a_text_has_the_same_features_in_any_batch(texts: list[str]) -> None:
    together = features_of(texts)
    for message, text in enumerate(texts):
        alone = features_of([text])
        for group in GROUPS:
            assert of_group(together, group, message) == of_group(alone, group)


def test_groups_count_what_their_names_say() -> None:
    found = features_of(["to be or"])
    sizes = {group: len(of_group(found, group)) for group in GROUPS}
    # Begin, three words, end; then pairs at distance 1 and 2; `_to_be_or_` has 6
    # three-letter and 3 four-letter windows that do not reach over a boundary.
    assert sizes == {
        "words": 5,
        "pairs": 4,
        "skips": 3,
        "chars3": 6,
        "chars4": 3,
        "chars5": 0,
        "shape": 1,
    }


def test_equal_words_are_equal_features_wherever_they_stand() -> None:
    words = of_group(features_of(["one two one"]), "words")
    assert words[1] == words[3] != words[2]


@pytest.mark.parametrize(
    ("text", "turned"),
    [
        ("not a very good day", "a very good"),
        ("this is not bad, I like it", "bad"),
        ("I don't like you", "like you"),
        ("I don’t like you", "like you"),
        ("it isnt nice", "nice"),
        ("non mi piace", "mi piace"),
        ("das mag ich nicht", "das mag ich"),
        ("nicht gut", "gut"),
        ("je n'aime pas ça", "n'aime ça"),
        ("мне не нравится", "нравится"),
        ("fena değil", "fena"),
        ("accha nahi laga", "accha laga"),
        ("not good but nice", "good"),
        ("no! good", ""),
        ("no", ""),
    ],
)
def test_a_negated_word_is_another_word(text: str, turned: str) -> None:
    words = of_group(features_of([text]), "words")
    plain = text.replace(",", "").replace("!", "").split()
    expected = set(negated_features(turned.split()).tolist()) if turned else set()
    every = set(negated_features(plain).tolist())
    assert set(words) & every == expected


def test_negation_turns_words_round_but_not_pairs_and_letters() -> None:
    negated, plain = features_of(["not good"]), features_of(["good"])
    assert of_group(negated, "words")[2] != of_group(plain, "words")[1]
    assert set(of_group(plain, "chars4")) <= set(of_group(negated, "chars4"))


def test_stretched_letters_and_long_runs_are_cut() -> None:
    assert of_group(features_of(["sooo"]), "words") == of_group(features_of(["soooooooo"]), "words")
    assert of_group(features_of(["ok!!!"]), "words") == of_group(features_of(["ok!!!!!!"]), "words")
    assert of_group(features_of(["ok!"]), "words") != of_group(features_of(["ok!!"]), "words")


def test_shouting_and_drawling_are_features_of_the_message() -> None:
    plain, loud, drawl = (len(of_group(features_of([t]), "shape")) for t in ("no", "NOOO", "noooo"))
    assert (plain, loud, drawl) == (1, 3, 2)


def test_pairs_do_not_reach_into_the_next_message() -> None:
    assert of_group(features_of(["good", "night"]), "pairs", 0) == of_group(
        features_of(["good", "bye"]), "pairs", 0
    )


def test_the_version_is_raised_when_features_change() -> None:
    """A model only fits the features that it was trained on. If this fails on purpose, raise
    `features.VERSION`, train anew, and write the new digest here."""
    found = features_of(
        ["Don't be SO saaad 😢😢!! @user http", "Прывітанне", "你好吗", "", "c'est l'été"]
    )
    digest = hashlib.sha256(found.hashes.astype("<u8").tobytes()).hexdigest()[:16]
    assert (VERSION, digest) == (3, "52979f5da4930f75")


def test_hashes_spread_evenly_over_the_buckets() -> None:
    found = features_of([f"word{n} other{n}" for n in range(4000)])
    distinct = np.unique(found.hashes)
    top = np.bincount((distinct >> np.uint64(60)).astype(np.int64), minlength=16)
    assert top.min() > 0.9 * len(distinct) / 16
    assert top.max() < 1.1 * len(distinct) / 16
