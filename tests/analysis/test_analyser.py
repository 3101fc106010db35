"""The interface of the room: what `analyse` promises for every text."""

import hashlib
import threading
import time
from importlib import resources
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import MODEL_VERSION, WORDS_VERSION, Analyser, Taxonomy, analyse, default_model
from schemas.text_features import Emotion, Sentiment, TextFeatures, Tone
from tests.analysis.hostile import HOSTILE

ANY_TEXT = st.text(alphabet=st.characters(), max_size=60) | st.sampled_from(HOSTILE)
"""Lone surrogates included."""


def check(text: str, found: TextFeatures) -> None:
    """Everything that `schemas.text_features` says of the fields."""
    assert found.sentiment in get_args(Sentiment)
    assert -1.0 <= found.score <= 1.0
    assert 0.0 <= found.confidence <= 1.0
    assert set(found.emotions) <= set(get_args(Emotion))
    assert set(found.tone) <= set(get_args(Tone))
    for weights in (list(found.emotions.values()), list(found.tone.values())):
        assert weights == sorted(weights, reverse=True)
        assert all(0.0 < weight <= 1.0 for weight in weights)
    assert len(found.topics) <= 16
    assert list(found.topics) == sorted(set(found.topics))
    assert len(found.emojis) <= 32
    assert found.length == len(text)
    assert 0 <= found.words <= len(text)
    assert found.language == "und" or len(found.language) == 2


@given(st.lists(ANY_TEXT, max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_strings_are_analysed_and_fit_the_contract(texts: list[str]) -> None:
    results = analyse(texts)
    assert len(results) == len(texts)
    for text, found in zip(texts, results, strict=True):
        check(text, found)


@given(st.lists(ANY_TEXT, max_size=6), st.lists(ANY_TEXT, max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_result_does_not_depend_on_the_other_texts_of_the_batch(
    left: list[str], right: list[str]
) -> None:
    assert analyse(left + right) == analyse(left) + analyse(right)


def test_a_batch_of_more_than_one_chunk_equals_its_texts_one_by_one() -> None:
    texts = [f"{text} number {n} 😀" for n in range(30) for text in HOSTILE[:40]]
    together = analyse(texts)
    assert len(texts) > 1000
    for place in range(0, len(texts), 97):
        assert together[place] == analyse([texts[place]])[0]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_hostile_corpus_is_analysed_like_any_text(text: str) -> None:
    check(text, analyse([text])[0])


def test_results_survive_the_journal_s_encoding() -> None:
    for found in analyse(HOSTILE):
        assert msgspec.json.decode(msgspec.json.encode(found), type=TextFeatures) == found


@pytest.mark.parametrize("hidden", ["lo\u200bve", "lo\u00adve", "lo\u2060ve", "𝓵𝓸𝓿𝓮", "ｌｏｖｅ"])
def test_what_is_hidden_in_a_word_changes_nothing_of_what_is_read(hidden: str) -> None:
    plain, found = analyse(["I love you so much", f"I {hidden} you so much"])
    assert plain.sentiment == "positive"
    assert (found.sentiment, found.score, found.emotions, found.language) == (
        plain.sentiment,
        plain.score,
        plain.emotions,
        plain.language,
    )


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\ufeff", "\ud800"])
def test_a_text_without_features_is_neutral_and_of_unknown_language(text: str) -> None:
    assert analyse([text]) == [TextFeatures(length=len(text))]


@pytest.mark.parametrize(
    "unit",
    ["😀", "e\u0301", "\u0301", "👨‍👩‍👧", "a", "a ", "!", "กิ", "漢", "@a ", "x.com ", "gif "],
)
def test_ten_thousand_characters_of_one_thing_cost_a_bounded_time(unit: str) -> None:
    text = (unit * 10_000)[:10_000]
    analyse([text])
    started = time.process_time()
    check(text, analyse([text])[0])
    assert time.process_time() - started < 0.5


def test_what_stands_beyond_the_scanned_part_only_counts_for_the_length() -> None:
    from analysis.text import SCANNED_MAX

    text = "hi " * 5000
    found = analyse([text])[0]
    assert msgspec.structs.replace(found, length=0) == msgspec.structs.replace(
        analyse([text[:SCANNED_MAX]])[0], length=0
    )
    assert found.length == 15_000


@pytest.mark.parametrize(
    ("text", "sentiment", "emotion", "language"),
    [
        ("I love you so much baby 😍", "positive", "love", "en"),
        ("this makes me so angry, I hate it", "negative", "anger", "en"),
        ("I am so sad, I have been crying all night", "negative", "sadness", "en"),
        ("Estoy muy feliz, gracias por todo!", "positive", "joy", "es"),
        ("Das war ein schrecklicher Tag, ich bin so traurig", "negative", "sadness", "de"),
        ("C'est magnifique, merci beaucoup pour la vidéo !", "positive", "joy", "fr"),
        ("Che bella foto, sei bravissima, grazie!", "positive", "joy", "it"),
        ("Que triste, estou chorando muito por causa disso", "negative", "sadness", "pt"),
    ],
)
def test_plain_statements_are_understood(
    text: str, sentiment: str, emotion: str, language: str
) -> None:
    found = analyse([text])[0]
    assert (found.sentiment, next(iter(found.emotions), None), found.language) == (
        sentiment,
        emotion,
        language,
    )


@pytest.mark.parametrize("text", ["te amo ❤️", "ti amo 😍", "je t'aime 😘", "ich liebe dich ❤️"])
def test_love_is_recognised_in_languages_where_no_text_was_labelled_so(text: str) -> None:
    assert next(iter(analyse([text])[0].emotions)) == "love"


def test_matter_of_fact_texts_carry_no_emotion() -> None:
    found = analyse(["The meeting is on Tuesday at 10.", "The file has 12 columns."])
    assert [text.emotions for text in found] == [{}, {}]


def test_the_versions_name_the_committed_files() -> None:
    content = resources.files("analysis").joinpath("text.model").read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(MODEL_VERSION)
    assert len(MODEL_VERSION) == len(WORDS_VERSION) == 12
    assert len(content) <= 5_000_000


def test_a_creator_s_own_taxonomy_replaces_the_default_one() -> None:
    own = Analyser(default_model(), Taxonomy(topics={"sailing": {"en": ["sailing boat", "sail*"]}}))
    assert own.analyse(["We went sailing and had pizza"])[0].topics == ("sailing",)
    assert own.words_version != WORDS_VERSION


def test_one_analyser_serves_several_threads() -> None:
    texts = [text for text in HOSTILE for _ in range(5)]
    expected = analyse(texts)
    results: list[list[TextFeatures]] = []
    threads = [threading.Thread(target=lambda: results.append(analyse(texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
