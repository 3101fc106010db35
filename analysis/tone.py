"""Tone: how a message addresses the reader. Rules over a lexicon, for want of labelled data.

Each distinct marker of `tone.json` counts 1 for its tone. The surface adds to it: a sentence of
at least 6 words that begins with a capital, ends with punctuation and has no emoji counts 0.5
for formal, unless a casual marker stands in it; a text of at least 2 words of a cased script with
neither capital nor end mark counts 0.25 for casual. A tone's weight is 1 - 2^(-count), so one
marker is 0.5 and many approach 1.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib import resources

import msgspec

from analysis.lexicon import Lexicon
from analysis.text import Batch
from schemas.text_features import Tone

FORMAL_WORDS_MIN = 6
FORMAL_SURFACE = 0.5
CASUAL_WORDS_MIN = 2
CASUAL_SURFACE = 0.25

Marker = tuple[Tone, str]


class _Markers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tones: dict[Tone, dict[str, list[str]]]


class ToneFinder:
    """The tone lexicon made ready for matching."""

    def __init__(self, content: bytes) -> None:
        self.version = hashlib.sha256(content).hexdigest()[:12]
        markers: defaultdict[str, set[Marker]] = defaultdict(set)
        for tone, languages in msgspec.json.decode(content, type=_Markers).tones.items():
            for terms in languages.values():
                for term in terms:
                    markers[term].add((tone, term))
        self._lexicon: Lexicon[Marker] = Lexicon(markers)

    def find(self, batch: Batch, bare: str) -> dict[int, list[Marker]]:
        """Message index -> the markers found in it."""
        return self._lexicon.find(batch, bare)


@cache
def default_tones() -> ToneFinder:
    """The lexicon that comes with the analyser: `tone.json`."""
    return ToneFinder(resources.files(__package__).joinpath("tone.json").read_bytes())


def tone_weights(
    markers: Sequence[Marker] | None, *, words: int, tidy: bool, loose: bool
) -> dict[str, float]:
    """Weights in (0, 1], strongest first, equal ones by name.

    `tidy`: capital at the start, punctuation at the end, no emoji. `loose`: a cased script with
    neither.
    """
    formal = tidy and words >= FORMAL_WORDS_MIN
    casual = loose and words >= CASUAL_WORDS_MIN
    if not markers:
        return {"formal": _FORMAL_ALONE} if formal else {"casual": _CASUAL_ALONE} if casual else {}
    counts: dict[str, float] = {}
    for tone, _ in set(markers):
        counts[tone] = counts.get(tone, 0.0) + 1.0
    if formal and "casual" not in counts:
        counts["formal"] = counts.get("formal", 0.0) + FORMAL_SURFACE
    elif casual:
        counts["casual"] = counts.get("casual", 0.0) + CASUAL_SURFACE
    if len(counts) == 1:
        return {tone: _weight(count) for tone, count in counts.items()}
    strongest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {tone: _weight(count) for tone, count in strongest}


@cache
def _weight(count: float) -> float:
    return round(1.0 - float(2.0**-count), 4)


_FORMAL_ALONE = _weight(FORMAL_SURFACE)
_CASUAL_ALONE = _weight(CASUAL_SURFACE)
