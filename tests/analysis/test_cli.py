"""`fanmemory analyse` and `evaluate` as a person runs them."""

import json
import lzma
from importlib import resources
from pathlib import Path

from click.testing import CliRunner

from ops.cli import fanmemory

MODEL = str(resources.files("analysis").joinpath("text.model"))


def test_analyse_prints_one_object_for_each_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(
        b"I love pizza \xf0\x9f\x98\x8d\r\n\nbroken \xff byte\nwe\xe2\x80\xa8stay one line"
    )
    result = CliRunner().invoke(fanmemory, ["analyse", str(path)])
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
    assert len(found) == 4
    assert list(found[0]) == [
        "sentiment",
        "confidence",
        "emotions",
        "language",
        "topics",
        "tone",
        "emojis",
        "signals",
        "facts",
    ]
    assert found[0]["sentiment"] == "positive"
    assert found[0]["topics"] == ["food_cooking"]
    assert found[0]["emojis"] == ["😍"]
    assert found[1] == {
        "sentiment": "neutral",
        "confidence": 0.0,
        "emotions": {},
        "language": "und",
        "topics": [],
        "tone": None,
        "emojis": [],
        "signals": {},
        "facts": [],
    }


def test_analyse_reads_standard_input_beyond_one_batch() -> None:
    result = CliRunner().invoke(fanmemory, ["analyse", "-"], input="hello\n" * 1201)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1201


def test_analyse_takes_a_creator_s_own_topics(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"topics": {"sailing": {"en": ["sail*"]}}}')
    result = CliRunner().invoke(
        fanmemory, ["analyse", "--taxonomy", str(path), "-"], input="sailing and pizza\n"
    )
    assert json.loads(result.stdout)["topics"] == ["sailing"]


def write_labelled(path: Path) -> None:
    rows = ["text\tlabel\tlang\tsource\ttier"]
    rows.append("I love this, thank you!\t2\ten\tours\tA")
    rows.append("this is terrible, I hate it\t0\ten\tours\tA")
    path.write_bytes(lzma.compress("\n".join(rows).encode()))


def test_evaluate_prints_figures_as_json(tmp_path: Path) -> None:
    path = tmp_path / "labelled.tsv.xz"
    write_labelled(path)
    result = CliRunner().invoke(fanmemory, ["evaluate", MODEL, str(path), "--json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)["labelled.tsv.xz"]
    assert report["texts"] == 2
    assert report["microsecondsPerText"] > 0
    assert report["sentiment"]["macroF1"] == 1.0
    assert report["sentiment"]["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert report["sentiment"]["bySource"]["ours"]["texts"] == 2
    assert report["language"] == {"en": {"texts": 2, "accuracy": 1.0}}


def test_evaluate_prints_tables_for_people(tmp_path: Path) -> None:
    path = tmp_path / "emotions.tsv"
    header = "text\tlabel\tlang\tsource\n"
    path.write_text(header + "I am so angry\tanger\ten\to\nso sad\tsadness|fear\ten\to\n")
    result = CliRunner().invoke(fanmemory, ["evaluate", MODEL, str(path)])
    assert result.exit_code == 0
    assert "macro-F1" in result.stdout
    assert "anger" in result.stdout
