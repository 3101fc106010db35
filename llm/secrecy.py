"""Whether a text gives away the prompt, or names somebody by an id."""

import base64
import re
from functools import lru_cache
from typing import Final

from llm.material import Material
from llm.prompts import Prompt
from llm.speech import plain, squeezed, words

RUN_WORDS: Final = 8
"""Words of our prompt in a row that nobody writes by chance."""
_IDS: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b(?:fan|user|creator|member|customer|account|acct|usr|uid|sub)s?[-_:#]\s?\w*\d\w*"
    r"|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{16,}\b|\b\d{7,}\b"
)
ID_LENGTH_MIN: Final = 4
"""A shorter id ("7", "Luna"?) is a word of the text as well."""


def leaks(text: str, prompt: Prompt) -> bool:
    """The canary in any dress, or a run of words of the system prompt."""
    tight = squeezed(text)
    if any(form in tight for form in _dresses(prompt.canary)):
        return True
    if not _runs(tuple(words(prompt.system))).isdisjoint(_runs(tuple(words(text)))):
        return True
    return any(mark in plain(text) for mark in ("<material", "</material", "\\u003c"))


def names_somebody(text: str, material: Material) -> bool:
    """An id of this fan, creator, a message or an offer, or what looks like anybody's."""
    shown = plain(text)
    if _IDS.search(shown) is not None:
        return True
    own = {material.creator_id, material.fan_id or "", *material.known_ids()}
    return any(
        re.search(rf"(?<!\w){re.escape(plain(name))}(?!\w)", shown) is not None
        for name in own
        if len(name) >= ID_LENGTH_MIN and not name.isalpha()
    )


@lru_cache(64)
def _dresses(canary: str) -> tuple[str, ...]:
    """As it is, backwards, in hex and in base64 at each of the three offsets."""
    encoded = (base64.b64encode(b" " * shift + canary.encode()).decode() for shift in range(3))
    # The first and last characters of base64 depend on what stands beside it.
    inner = (squeezed(one.rstrip("=")[4:-2]) for one in encoded)
    return (canary, canary[::-1], canary.encode().hex(), *inner)


@lru_cache(64)
def _runs(found: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    return frozenset(found[at : at + RUN_WORDS] for at in range(len(found) - RUN_WORDS + 1))
