"""Tone: how a message addresses the reader. Rules over a lexicon, for want of labelled data.

Each distinct marker of `tone.json` counts 1 for its tone. The surface adds to it: a sentence of
at least 12 words that begins with a capital, ends with punctuation and has no emoji counts 0.5
for formal, unless a casual marker stands in it; a text of at least 2 words of a cased script with
neither capital nor end mark adds 0.25 to a casual marker, and says nothing by itself: nearly
everybody writes so. A tone's weight is 1 - 2^(-count), so one marker is 0.5 and many approach 1.
Many texts have no tone.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

import msgspec

from analysis.lexicon import Term
from schemas.text_features import Tone

FORMAL_WORDS_MIN = 12
FORMAL_SURFACE = 0.5
CASUAL_WORDS_MIN = 2
CASUAL_SURFACE = 0.25

Marker = tuple[Tone, str]


class _Markers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tones: dict[Tone, dict[str, list[str]]]


class Tones:
    """The tone lexicon."""

    def __init__(self, content: bytes) -> None:
        self.version = hashlib.sha256(content).hexdigest()[:12]
        self.terms: Sequence[Term[Marker]] = [
            Term(language, text, (tone, text))
            for tone, languages in msgspec.json.decode(content, type=_Markers).tones.items()
            for language, texts in languages.items()
            for text in texts
        ]


@cache
def default_tones() -> Tones:
    """The lexicon that comes with the analyser: `tone.json`."""
    return Tones(resources.files(__package__).joinpath("tone.json").read_bytes())


def tone_weights(markers: Sequence[Marker], *, tidy: bool, loose: bool) -> dict[str, float]:
    """Weights in (0, 1], strongest first, equal ones by name.

    `tidy`: at least `FORMAL_WORDS_MIN` words, a capital at the start, punctuation at the end, no
    emoji. `loose`: at least `CASUAL_WORDS_MIN` words of a cased script with neither.
    """
    if len(markers) == 1 and not tidy and not loose:
        return {markers[0][0]: _ONE}
    counts: dict[str, float] = {}
    for tone, _ in set(markers):
        counts[tone] = counts.get(tone, 0.0) + 1.0
    if tidy and "casual" not in counts:
        counts["formal"] = counts.get("formal", 0.0) + FORMAL_SURFACE
    elif loose and "casual" in counts:
        counts["casual"] += CASUAL_SURFACE
    strongest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {tone: _weight(count) for tone, count in strongest}


@cache
def _weight(count: float) -> float:
    return round(1.0 - float(2.0**-count), 4)


_ONE = _weight(1.0)
FORMAL_ALONE = _weight(FORMAL_SURFACE)
