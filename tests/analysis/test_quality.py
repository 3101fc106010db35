"""The committed model on the development sets, where they are at hand.

The bounds are the project's targets for the official test splits, which are kept apart.
"""

from pathlib import Path
from typing import Any

import pytest

from analysis import Analyser, default_model
from analysis.training.corpus import (
    DIALOGUE_LABELS,
    DIALOGUES,
    EMOTION_DEV,
    SENTIMENT_DEV,
    Example,
    read_dialogues,
    read_table,
)
from analysis.training.evaluate import evaluate

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "analysis" / SENTIMENT_DEV).is_file(), reason="the development data is not here"
)


def judged(examples: list[Example]) -> dict[str, Any]:
    return evaluate(Analyser(default_model()), examples)


def sentiments(source: str) -> list[Example]:
    rows = read_table(DATA / "analysis" / SENTIMENT_DEV)
    return [example for example in rows if example.source == source]


def emotions(source: str) -> list[Example]:
    rows = read_table(DATA / "analysis" / EMOTION_DEV)
    return [example for example in rows if example.source == source]


def test_sentiment_of_tweets_in_eight_languages() -> None:
    by_language = judged(sentiments("xlmt-val"))["sentiment"]["byLanguage"]
    assert len(by_language) == 8
    assert sum(row["macroF1"] for row in by_language.values()) / 8 >= 0.59


def test_sentiment_of_english_tweets() -> None:
    assert judged(sentiments("tweeteval-val"))["sentiment"]["macroF1"] >= 0.62


def test_sentiment_of_dialogues() -> None:
    utterances = read_dialogues(DATA / DIALOGUES, DATA / DIALOGUE_LABELS)
    report = judged([utterance for utterance in utterances if utterance.held_out])
    assert report["sentiment"]["weightedF1"] >= 0.60


def test_eight_emotions_of_comments() -> None:
    assert judged(emotions("goemotions-dev"))["emotion"]["macroF1"] >= 0.57


def test_emotions_of_tweets() -> None:
    assert judged(emotions("tweeteval-emotion-val"))["emotion"]["macroF1"] >= 0.65


@pytest.mark.parametrize("language", ["ar", "en", "fr", "de", "it", "pt", "es"])
def test_languages_of_tweets(language: str) -> None:
    examples = [e for e in sentiments("xlmt-val") if e.language == language]
    assert judged(examples)["language"][language]["accuracy"] >= 0.95


def test_probabilities_mean_what_they_say() -> None:
    examples = sentiments("xlmt-val") + sentiments("tweeteval-val")
    assert judged(examples)["sentiment"]["calibrationError"] <= 0.05
