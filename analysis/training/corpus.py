"""Labelled texts: the data folder's tables and dialogues, and any file of the same columns."""

import csv
import gzip
import hashlib
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, get_args

import msgspec

from schemas.errors import InvalidInput
from schemas.text_features import Emotion, Sentiment

SENTIMENTS: Final[tuple[Sentiment, ...]] = ("negative", "neutral", "positive")
EMOTIONS: Final[tuple[str, ...]] = (*get_args(Emotion), "neutral")

SENTIMENT_TRAIN: Final = "sentiment_train.tsv.xz"
SENTIMENT_DEV: Final = "sentiment_dev.tsv.xz"
EMOTION_TRAIN: Final = "emotion_train.tsv.xz"
EMOTION_DEV: Final = "emotion_dev.tsv.xz"
CHAT_TRAIN: Final = "chat_train.tsv.xz"
CHAT_DEV: Final = "chat_dev.tsv.xz"
_HELD_OUT: Final = frozenset({SENTIMENT_DEV, EMOTION_DEV, CHAT_DEV})
DIALOGUES: Final = "conversations.jsonl.gz"
DIALOGUE_LABELS: Final = "conversation_labels.csv.gz"
DIALOGUE_SOURCE: Final = "dialogue"
_SENTIMENT_LABELS: Final = {"0": 0, "1": 1, "2": 2, "negative": 0, "positive": 2}
_COLUMNS: Final = ["text", "label", "lang", "source"]
_CHAT_COLUMNS: Final = ["text", "sentiment", "emotion", "lang", "source"]


class Example(NamedTuple):
    """One labelled text."""

    text: str
    sentiment: int | None
    """Index in `SENTIMENTS`."""
    emotions: frozenset[str] | None
    """Out of `EMOTIONS`; several are equally right."""
    language: str
    source: str
    held_out: bool
    """For choosing, never for training."""


class _Utterance(msgspec.Struct):
    event_id: str = msgspec.field(name="eventId")
    content: str


def read_table(path: Path, *, held_out: bool = False) -> Iterator[Example]:
    """Rows of a `text label lang source …` file, plain or xz; the labels tell which task it is.

    Labels are 0, 1, 2 or the sentiments' names, or emotions joined by `|`; `neutral` is a
    sentiment where the file has other sentiments. A file of the columns `text sentiment emotion
    lang source …` has both, the emotion where it is not empty. InvalidInput names the line that is
    neither.
    """
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8", newline="\n") as lines:
        header = next(lines, "").rstrip("\n").split("\t")
        rows = [line.rstrip("\n").split("\t") for line in lines]
    if header[: len(_CHAT_COLUMNS)] == _CHAT_COLUMNS:
        yield from _chat_rows(rows, held_out)
        return
    if header[: len(_COLUMNS)] != _COLUMNS:
        raise InvalidInput("file", f"the first line must begin with {' '.join(_COLUMNS)}")
    sentiments = dict(_SENTIMENT_LABELS)
    if any(row[1] in sentiments for row in rows if len(row) > 1):
        sentiments["neutral"] = SENTIMENTS.index("neutral")
    for number, row in enumerate(rows, start=2):
        if len(row) < len(_COLUMNS):
            raise InvalidInput(f"line {number}", "columns are missing")
        text, label, language, source = row[: len(_COLUMNS)]
        if label in sentiments:
            yield Example(text, sentiments[label], None, language, source, held_out)
        else:
            yield Example(text, None, _emotions(label, number), language, source, held_out)


def _chat_rows(rows: Iterable[list[str]], held_out: bool) -> Iterator[Example]:
    sentiments = _SENTIMENT_LABELS | {"neutral": SENTIMENTS.index("neutral")}
    for number, row in enumerate(rows, start=2):
        if len(row) < len(_CHAT_COLUMNS):
            raise InvalidInput(f"line {number}", "columns are missing")
        text, sentiment, emotion, language, source = row[: len(_CHAT_COLUMNS)]
        if sentiment not in sentiments:
            raise InvalidInput(f"line {number}", "a sentiment is 0, 1 or 2")
        emotions = _emotions(emotion, number) if emotion else None
        yield Example(text, sentiments[sentiment], emotions, language, source, held_out)


def _emotions(label: str, number: int) -> frozenset[str]:
    emotions = frozenset(label.split("|"))
    if not emotions <= set(EMOTIONS):
        raise InvalidInput(f"line {number}", f"a label is 0, 1, 2 or of {' '.join(EMOTIONS)}")
    return emotions


def read_dialogues(messages: Path, labels: Path) -> Iterator[Example]:
    """Labelled messages of conversations; those of development dialogues are held out.

    Utterance ids read `<corpus>-<split>-<dialogue>-<place>`: the split is the corpus's own, so no
    dialogue stands on both sides.
    """
    with gzip.open(labels, "rt", encoding="utf-8", newline="") as table:
        known = {row["eventId"]: row for row in csv.DictReader(table)}
    decoder = msgspec.json.Decoder(_Utterance)
    with gzip.open(messages, "rb") as lines:
        for line in lines:
            utterance = decoder.decode(line)
            row = known.get(utterance.event_id)
            if row is None:
                continue
            yield Example(
                utterance.content,
                SENTIMENTS.index(row["sentiment"]),
                frozenset({row["emotion"]}),
                "en",
                DIALOGUE_SOURCE,
                held_out=utterance.event_id.split("-")[1] == "dev",
            )


def data_files(folder: Path) -> list[Path]:
    """The training files of a folder. Chat tables are used if they stand in it, dialogues if they
    stand in it or in the folder above."""
    paths = [folder / name for name in (SENTIMENT_TRAIN, SENTIMENT_DEV, EMOTION_TRAIN, EMOTION_DEV)]
    for path in paths:
        if not path.is_file():
            raise InvalidInput("data", f"{path.name} is not in the folder")
    chat = [folder / CHAT_TRAIN, folder / CHAT_DEV]
    if all(path.is_file() for path in chat):
        paths += chat
    for home in (folder, folder.parent):
        pair = [home / DIALOGUES, home / DIALOGUE_LABELS]
        if all(path.is_file() for path in pair):
            return paths + pair
    return paths


def read_folder(folder: Path) -> list[Example]:
    """Every example of a data folder, in a fixed order."""
    files = {path.name: path for path in data_files(folder)}
    dialogues = (files.pop(DIALOGUES, None), files.pop(DIALOGUE_LABELS, None))
    examples: list[Example] = []
    for name, path in files.items():
        examples.extend(read_table(path, held_out=name in _HELD_OUT))
    if dialogues[0] and dialogues[1]:
        examples.extend(read_dialogues(dialogues[0], dialogues[1]))
    return examples


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """File name -> SHA-256 of its bytes."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
