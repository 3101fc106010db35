"""Training on a small folder made here: deterministic, and it learns."""

import gzip
import json
import lzma
import random
from pathlib import Path

import pytest

from analysis.analyser import Analyser
from analysis.artefact import Artefact, pack, unpack
from analysis.model import Model
from analysis.training.corpus import read_folder, read_table
from analysis.training.evaluate import evaluate
from analysis.training.train import Settings, train_folder

SMALL = Settings(
    rows=16_000, units=8, members=2, epochs=10, first_units=4, first_epochs=2, batch=512, rate=0.05
)
SAYINGS = {
    (2, "joy"): ("I am so happy today", "what a great day", "this is fun, haha"),
    (2, "love"): ("I love you", "love this so much", "she loves him"),
    (0, "anger"): ("I hate this", "you are so stupid and annoying", "this makes me angry"),
    (0, "sadness"): ("I am so sad", "I miss him and cry", "feeling lonely tonight"),
    (1, "neutral"): ("the train leaves at ten", "the report has two pages", "it is on the table"),
    (0, "fear"): ("I am afraid of the dark", "so scared and worried", "what a nightmare"),
    (2, "surprise"): ("wow, what a surprise", "I did not expect that, wow", "omg really"),
    (0, "disgust"): ("this is disgusting", "eww gross", "yuck, how nasty"),
}
FILLERS = ("", " today", " my friend", " and that is it", " you know", " in the house", " again")


def write_table(path: Path, rows: list[tuple[str, str]], source: str) -> None:
    lines = ["text\tlabel\tlang\tsource\ttier\n"]
    lines += [f"{text}\t{label}\ten\t{source}\tA\n" for text, label in rows]
    path.write_bytes(lzma.compress("".join(lines).encode()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 English texts, every fifth for choosing, and one dialogue on either side."""
    home = tmp_path_factory.mktemp("corpus")
    pairs = [
        (saying + filler + end, label)
        for label, sayings in SAYINGS.items()
        for saying in sayings
        for filler in FILLERS
        for end in ("", "!")
    ]
    random.Random(5).shuffle(pairs)
    for split, chosen in (("train", pairs[::5] + pairs[1::5] + pairs[2::5]), ("dev", pairs[3::5])):
        sentiments = [(text, str(sentiment)) for text, (sentiment, _) in chosen]
        emotions = [(text, emotion) for text, (_, emotion) in chosen]
        write_table(home / f"sentiment_{split}.tsv.xz", sentiments, f"xlmt-{split}")
        write_table(home / f"emotion_{split}.tsv.xz", emotions, f"goemotions-{split}")
    messages, labels = [], ["eventId,sentiment,emotion"]
    for split in ("train", "dev"):
        for place, (text, (sentiment, emotion)) in enumerate(pairs[:40]):
            event_id = f"talk-{split}-1-{place}"
            messages.append(json.dumps({"eventId": event_id, "content": text}))
            emotion = "joy" if emotion == "love" else emotion  # as in corpora without love
            labels.append(f"{event_id},{['negative', 'neutral', 'positive'][sentiment]},{emotion}")
    (home / "conversations.jsonl.gz").write_bytes(gzip.compress("\n".join(messages).encode()))
    (home / "conversation_labels.csv.gz").write_bytes(gzip.compress("\n".join(labels).encode()))
    return home


@pytest.fixture(scope="module")
def artefact(folder: Path) -> Artefact:
    return train_folder(folder, SMALL, lambda step, done, total: None)


def test_two_runs_give_the_same_bytes(folder: Path, artefact: Artefact) -> None:
    again = train_folder(folder, SMALL, lambda step, done, total: None)
    assert pack(again) == pack(artefact)


def test_another_seed_gives_another_model(folder: Path, artefact: Artefact) -> None:
    settings = SMALL._replace(seed=2, epochs=1)
    assert pack(train_folder(folder, settings, lambda *_: None)) != pack(artefact)


def test_it_learns_what_the_texts_teach(folder: Path, artefact: Artefact) -> None:
    analyser = Analyser(Model(unpack(pack(artefact))))
    for name in ("sentiment_dev.tsv.xz", "emotion_dev.tsv.xz"):
        report = evaluate(analyser, list(read_table(folder / name)))
        assert report[name.partition("_")[0]]["macroF1"] > 0.9


def test_concepts_carry_english_labels_to_languages_without_any(artefact: Artefact) -> None:
    analyser = Analyser(Model(artefact))
    found = analyser.analyse(["te amo", "ti amo", "triste", "miedo", "ich hasse"])
    assert [next(iter(features.emotions), "neutral") for features in found] == [
        "love",
        "love",
        "sadness",
        "fear",
        "anger",
    ]
    assert [features.sentiment for features in found] == ["positive"] * 2 + ["negative"] * 3


def test_progress_counts_every_step_to_its_end(folder: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    train_folder(
        folder,
        SMALL._replace(epochs=1, members=1),
        lambda step, done, total: seen.setdefault(step, []).append((done, total)),
    )
    assert list(seen) == ["read", "choose", "train 1 of 1"]
    for steps in seen.values():
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1]


def test_the_header_names_the_data_it_was_trained_on(folder: Path, artefact: Artefact) -> None:
    assert set(artefact.header.data) == {path.name for path in folder.iterdir()}
    assert artefact.header.training["seed"] == 1.0


def test_development_dialogues_are_held_out(folder: Path) -> None:
    utterances = [example for example in read_folder(folder) if example.source == "dialogue"]
    assert [example.held_out for example in utterances] == [False] * 40 + [True] * 40
