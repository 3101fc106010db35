"""What a check of `doctor` says: a finding, or by raising, a problem or a note."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "problem"]

ANSWER_SECONDS_MAX = 5.0
"""How long a check waits for each answer of a service."""


@dataclass(frozen=True)
class Finding:
    """What one check saw; `advice` says what to do, empty when nothing is to be done."""

    check: str
    verdict: Verdict
    saw: str
    advice: str = ""


class Problem(Exception):
    """A check's way to say what is wrong and what to do."""

    def __init__(self, saw: str, advice: str) -> None:
        super().__init__(saw)
        self.advice = advice


class Note(Problem):
    """Not wrong, but worth knowing."""
