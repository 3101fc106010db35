"""What texts teach: sayings, labels that are doubted, laughs and negations."""

from collections import Counter
from pathlib import Path

import pytest

from analysis.training.labels import LANGUAGES, texts_of
from analysis.training.sayings import default_sayings, read_sayings
from tests.analysis.training.test_train import write_table


def folder_of(tmp_path: Path, rows: list[tuple[str, str]]) -> Path:
    for split in ("train", "dev"):
        write_table(tmp_path / f"sentiment_{split}.tsv.xz", [("so so", "1")], f"xlmt-{split}")
        write_table(tmp_path / f"emotion_{split}.tsv.xz", rows, f"goemotions-{split}")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "label", "kept"),
    [
        ("I love you", "love", True),
        ("you should seek a therapist", "love", False),
        ("I hope they will", "joy", False),
        ("so happy, I hope you come", "joy", True),
        ("what a day", "joy", True),
    ],
)
def test_caring_desire_and_optimism_are_neither_love_nor_joy(
    tmp_path: Path, text: str, label: str, kept: bool
) -> None:
    texts = texts_of(folder_of(tmp_path, [(text, label)]))
    taught, held_out = (
        next(t for t in texts if t.text == text and t.held_out is side) for side in (False, True)
    )
    assert taught.emotions == (frozenset({label}) if kept else None)
    assert held_out.emotions == {label}, "what a model is judged by stays as it is"


def test_negated_words_are_taught_with_the_opposite_sentiment(tmp_path: Path) -> None:
    taught = {text.text: text.sentiment for text in texts_of(folder_of(tmp_path, [("x", "joy")]))}
    assert taught["not good"] == 0
    assert taught["not bad"] == 2


def test_the_sayings_speak_many_languages_about_what_matters() -> None:
    sayings = default_sayings()
    kinds = Counter(kind for kind, _ in sayings)
    languages = Counter(example.language for _, example in sayings)
    assert len(sayings) >= 1500
    assert sum(count >= 40 for count in languages.values()) >= 12
    for kind in ("refund", "leaving", "scam", "no_reply", "distress", "negated_praise", "emoji"):
        assert kinds[kind] >= 80, kind
    texts = Counter(example.text for _, example in sayings)
    assert [text for text, count in texts.items() if count > 3] == []
    assert "und" in LANGUAGES


@pytest.mark.parametrize(
    "content", ["hello", "@ en joy", "@ en refund sad anger", "@ en a negative x"]
)
def test_a_head_that_is_none_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="sayings"):
        list(read_sayings(content))
