"""Signals: what a person may want to be called for. Word lists made to miss little; no diagnosis.

`signals.json` has three lists for each kind. `explicit` terms say it outright ("want my money
back"). `implied` ones often mean it and often do not ("can't take it anymore"): they count where
the text's score, P(positive) - P(negative), is below `IMPLIED_SCORE_MAX`. An `unless` phrase has
terms in it and means something else ("suicide squad"): they say nothing there.

A creator's own taxonomy changes nothing here. A topic with the name of a signal is given wherever
the signal is, besides where its own terms are.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

import msgspec

from analysis.lexicon import Term
from schemas.text_features import SignalKind

Role = Literal["explicit", "implied", "unless"]

IMPLIED_SCORE_MAX: Final = 0.1
"""Neutral texts are let through: the model is unsure of what it was hardly taught."""


class Mention(NamedTuple):
    """What one term says."""

    kind: SignalKind
    role: Role


class _Lists(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    signals: dict[SignalKind, dict[Role, dict[str, list[str]]]]


class Signals:
    """The terms of the signals."""

    def __init__(self, content: bytes) -> None:
        self.version = hashlib.sha256(content).hexdigest()[:12]
        self.terms: Sequence[Term[Mention]] = [
            Term(language, text, Mention(kind, role), _hidden(kind, role))
            for kind, roles in msgspec.json.decode(content, type=_Lists).signals.items()
            for role, languages in roles.items()
            for language, texts in languages.items()
            for text in texts
        ]


@cache
def default_signals() -> Signals:
    """The lists that come with the analyser: `signals.json`."""
    return Signals(resources.files(__package__).joinpath("signals.json").read_bytes())


def _hidden(kind: SignalKind, role: Role) -> frozenset[Mention]:
    if role != "unless":
        return frozenset()
    return frozenset((Mention(kind, "explicit"), Mention(kind, "implied")))


def signals_of(mentions: Iterable[Mention], score: float) -> dict[str, str]:
    """Kind -> evidence, of a text with these mentions and this score; by kind."""
    found: dict[str, str] = {}
    for kind, role in sorted(set(mentions)):  # explicit before implied
        if kind not in found and (role == "explicit" or score < IMPLIED_SCORE_MAX):
            found[kind] = role
    return found
