"""How often topics, signals and facts are right, as far as a person has said so.

Nobody has labelled the corpora with our topics, signals and facts. So what was found in them was
read, one by one, and called right or wrong: `judged.txt` keeps the verdicts under hashes, since
the texts are not ours to give away. What is found since then counts as not judged.

`signals.txt` has phrases that were written to measure signals by, and nothing is taught by.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import Any, Final

from analysis.analyser import Analyser
from schemas.text_features import TextFeatures

VERDICTS: Final = ("right", "wrong")
NONE: Final = "none"
"""Kind of the phrases that should raise no signal."""


def mark_of(name: str, text: str) -> str:
    """Stands for a topic, signal or fact found in a text."""
    return blake2b(f"{name}\n{text}".encode("utf-8", "replace"), digest_size=8).hexdigest()


@cache
def verdicts() -> dict[str, str]:
    """Mark -> `right` or `wrong`."""
    lines = resources.files(__package__).joinpath("judged.txt").read_text("utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {mark: verdict for verdict, mark in pairs}


def judge(pairs: Iterable[tuple[str, TextFeatures]]) -> dict[str, dict[str, int]]:
    """Topic, or `signal:` or `fact:` and its kind -> how often it was found, and is `right` and
    `wrong`."""
    known = verdicts()
    counts: defaultdict[str, dict[str, int]] = defaultdict(
        lambda: {"found": 0, **dict.fromkeys(VERDICTS, 0)}
    )
    for text, features in pairs:
        signals = (f"signal:{kind}" for kind in features.signals)
        facts = {f"fact:{one.kind}" for one in features.facts}
        for name in (*features.topics, *signals, *facts):
            counts[name]["found"] += 1
            verdict = known.get(mark_of(name, text))
            if verdict is not None:
                counts[name][verdict] += 1
    return dict(sorted(counts.items()))


def read_phrases(content: str) -> Iterator[tuple[str, str, str]]:
    """(language, kind, text) of every line; ValueError names a head that is not one."""
    head: tuple[str, str] | None = None
    for line in content.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@ "):
            words = line.split()
            head = (words[1], words[2]) if len(words) == 3 else None
            continue
        if head is None:
            raise ValueError(f"signals: {line!r} stands before the first head")
        yield *head, line.strip()


def signals_of_phrases(analyser: Analyser) -> dict[str, dict[str, int]]:
    """Kind -> how many phrases say it (`phrases`), in how many of them it was found (`found`), and
    in how many others (`wrong`)."""
    content = resources.files(__package__).joinpath("signals.txt").read_text("utf-8")
    phrases = list(read_phrases(content))
    found = analyser.analyse([text for _, _, text in phrases])
    counts: dict[str, dict[str, int]] = {}
    for (_, kind, _), features in zip(phrases, found, strict=True):
        for name in {kind, *features.signals} - {NONE}:
            row = counts.setdefault(name, {"phrases": 0, "found": 0, "wrong": 0})
            row["phrases"] += name == kind
            row["found"] += name == kind and name in features.signals
            row["wrong"] += name != kind
    return dict(sorted(counts.items()))


def signal_phrases(analyser: Analyser) -> dict[str, Any]:
    """The same with the shares."""
    return {
        kind: row | {"recall": round(row["found"] / max(row["phrases"], 1), 4)}
        for kind, row in signals_of_phrases(analyser).items()
    }
