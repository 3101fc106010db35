"""`fanmemory analyse`, `train` and `evaluate`: the text analyser by itself, without any service."""

import hashlib
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from analysis import Analyser, Taxonomy, default_model
from analysis.artefact import pack, unpack
from analysis.model import Model
from analysis.training.corpus import (
    DIALOGUE_LABELS,
    DIALOGUES,
    Example,
    read_dialogues,
    read_table,
)
from analysis.training.evaluate import evaluate as judge
from analysis.training.judged import signal_phrases
from analysis.training.train import Settings, train_folder
from ops.cli import options, print_json
from ops.cli.progress import Bar
from schemas.text_features import TextFeatures

_BATCH: Final = 500
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _model(path: Path | None) -> Model:
    return Model(unpack(path.read_bytes())) if path else default_model()


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--model", type=_FILE, help="A model file [default: the bundled model].")
@click.option("--taxonomy", type=_FILE, help="Your own topics, as JSON.")
def analyse(file: IO[bytes], model: Path | None, taxonomy: Path | None) -> None:
    """Say what each line of FILE expresses, as one JSON object a line; - reads stdin.

    Bytes that are not UTF-8 are read as U+FFFD.
    """
    analyser = Analyser(_model(model), Taxonomy.load(taxonomy) if taxonomy else None)
    encoder = msgspec.json.Encoder()
    lines = iter(file)
    while batch := list(islice(lines, _BATCH)):
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in batch]
        for found in analyser.analyse(texts):
            sys.stdout.buffer.write(encoder.encode(_as_json(found)) + b"\n")
        sys.stdout.buffer.flush()


def _as_json(found: TextFeatures) -> dict[str, Any]:
    return {
        "sentiment": found.sentiment,
        "confidence": found.confidence,
        "emotions": found.emotions,
        "language": found.language,
        "topics": found.topics,
        "tone": next(iter(found.tone), None),
        "emojis": found.emojis,
        "signals": found.signals,
        "facts": [{"kind": one.kind, "value": one.value} for one in found.facts],
    }


@click.command()
@click.option(
    "--texts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder of the labelled texts (docs/analysis.md).",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The model file."
)
@click.option("--seed", type=int, default=Settings().seed, show_default=True)
@options.as_json
def train(texts: Path, out: Path, seed: int, as_json: bool) -> None:
    """Train the text model; the same texts and seed give the same bytes on one machine."""
    with Bar("reading", hidden=as_json) as bar:
        current, seen = "", 0

        def tick(step: str, done: int, total: int) -> None:
            nonlocal current, seen
            if step != current:
                bar.begin(total, step)
                current, seen = step, 0
            bar.advance(done - seen)
            seen = done

        artefact = train_folder(texts, Settings(seed=seed), tick)
    content = pack(artefact)
    digest = hashlib.sha256(content).hexdigest()
    out.write_bytes(content)
    out.with_name(out.name + ".sha256").write_text(digest + "\n")
    if as_json:
        print_json({"bytes": len(content), "features": artefact.header.rows, "sha256": digest})
    else:
        click.echo(f"{out}: {len(content):,} bytes, {artefact.header.rows:,} features, {digest}")


@click.command()
@click.argument("model", type=_FILE)
@click.argument("files", type=_FILE, nargs=-1, required=True)
@options.as_json
def evaluate(model: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Judge MODEL on FILES of the columns text, label, lang, source (.tsv or .tsv.xz).

    Of dialogues (conversations.jsonl.gz, its labels beside it) those that are held out. Topics and
    signals are called right or wrong where a person has said so of what was found in a text.
    Sentiment labels are 0, 1, 2 or negative, neutral, positive; emotion labels are joy, love,
    sadness, anger, fear, surprise, disgust, neutral, several joined by `|`. Judged is the
    analyser's own answer: the sentiment after unsure texts became neutral, and the strongest
    emotion, where none means neutral.
    """
    analyser = Analyser(_model(model))
    reports = {path.name: judge(analyser, list(_examples(path))) for path in files}
    phrases = signal_phrases(analyser)
    if as_json:
        print_json(reports | {"signals": phrases})
        return
    console = Console(highlight=False)
    for name, report in reports.items():
        console.print(
            f"[bold]{name}[/bold]: {report['texts']:,} texts of {report['characters']} characters,"
            f" {report['microsecondsPerText']} µs of CPU each"
        )
        for task in ("sentiment", "emotion"):
            if task in report:
                _print_task(console, task, report[task])
        _print_languages(console, report["language"])
        _print_found(console, report["found"])
    table = Table("signal", "phrases", "found", "recall", "in others", box=None, pad_edge=False)
    for kind, row in phrases.items():
        counts = str(row["phrases"]), str(row["found"]), f"{row['recall']:.4f}", str(row["wrong"])
        table.add_row(kind, *counts)
    console.print("\n[bold]signals in phrases written to measure them[/bold]")
    console.print(table)


def _examples(path: Path) -> Iterator[Example]:
    if path.name == DIALOGUES:
        labelled = read_dialogues(path, path.with_name(DIALOGUE_LABELS))
        yield from (example for example in labelled if example.held_out)
    else:
        yield from read_table(path)


def _print_found(console: Console, found: dict[str, dict[str, int]]) -> None:
    """Topics, signals and facts that a person has judged."""
    table = Table("topic, signal or fact", "found", "judged", "precision", box=None, pad_edge=False)
    for name, row in found.items():
        judged = row["right"] + row["wrong"]
        if judged:
            table.add_row(name, str(row["found"]), str(judged), f"{row['right'] / judged:.4f}")
    if table.row_count:
        console.print()
        console.print(table)


def _print_task(console: Console, task: str, report: dict[str, Any]) -> None:
    console.print(
        f"\n{task}: {report['texts']:,} texts, macro-F1 [bold]{report['macroF1']:.4f}[/bold],"
        f" weighted-F1 {report['weightedF1']:.4f}, accuracy {report['accuracy']:.4f},"
        f" calibration error {report['calibrationError']:.4f}"
    )
    if "severalLabels" in report:
        several = report["severalLabels"]
        console.print(
            f"with several labels: {several['texts']:,} texts,"
            f" macro-F1 of the named sets {several['macroF1']:.4f}"
        )
    table = Table("label", "F1", *report["labels"], box=None, pad_edge=False)
    for label, row in zip(report["labels"], report["confusion"], strict=True):
        table.add_row(label, f"{report['f1'][label]:.4f}", *map(str, row))
    console.print(table)
    for field in ("byLanguage", "bySource"):
        table = Table(field[2:].lower(), "texts", "macro-F1", "weighted-F1", box=None)
        for name, row in report[field].items():
            table.add_row(
                name, str(row["texts"]), f"{row['macroF1']:.4f}", f"{row['weightedF1']:.4f}"
            )
        console.print(table)


def _print_languages(console: Console, report: dict[str, Any]) -> None:
    table = Table("language", "texts", "recognised", box=None)
    for name, row in report.items():
        table.add_row(name, str(row["texts"]), f"{row['accuracy']:.4f}")
    console.print()
    console.print(table)
