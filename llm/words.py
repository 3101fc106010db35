"""The word lists of the checks, as patterns (`words.json`)."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _lists() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / "words.json").read_text("utf-8"))
    return found


def listed(name: str) -> tuple[str, ...]:
    """The words of a plain list."""
    return tuple(_lists()[name])


def either(name: str) -> str:
    """One of a list, as a part of a pattern."""
    return "(?:" + "|".join(_lists()[name]) + ")"


def phrases(name: str) -> re.Pattern[str]:
    """One of a list by languages: whole words, but not where a script has no spaces."""
    lists = {**_lists()[name]}
    unspaced = "|".join(lists.pop("unspaced"))
    spaced = "|".join(one for words in lists.values() for one in words)
    return re.compile(rf"\b(?:{spaced})\b|{unspaced}")
