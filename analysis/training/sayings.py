"""Sayings of fans that no corpus has, written for this project: `sayings.txt`.

Refunds, leaving, being ignored, distress, praise in slang, negation both ways, insults that end in
a laugh, emoji alone, and plain questions about the same things, so that the words alone do not
decide.
"""

from collections.abc import Iterator
from importlib import resources
from typing import Final

from analysis.training.corpus import EMOTIONS, SENTIMENTS, Example

SOURCE: Final = "sayings"
FILE: Final = "sayings.txt"


def read_sayings(content: str) -> Iterator[tuple[str, Example]]:
    """(kind, example) of every line; ValueError names a head that is not one."""
    head: tuple[str, str, int, frozenset[str]] | None = None
    for line in content.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@ "):
            head = _head(line)
            continue
        if head is None:
            raise ValueError(f"sayings: {line!r} stands before the first head")
        kind, language, sentiment, emotions = head
        yield kind, Example(line.strip(), sentiment, emotions, language, SOURCE, held_out=False)


def _head(line: str) -> tuple[str, str, int, frozenset[str]]:
    try:
        _, language, kind, sentiment, emotion = line.split()
        place = SENTIMENTS.index(sentiment)
        EMOTIONS.index(emotion)
    except ValueError:
        raise ValueError(f"sayings: {line!r} is no head") from None
    return kind, language, place, frozenset({emotion})


def default_sayings() -> list[tuple[str, Example]]:
    """The sayings that come with the analyser."""
    content = resources.files(__package__).joinpath(FILE).read_text("utf-8")
    return list(read_sayings(content))
