"""Whether a text gives away the prompt, or names somebody by an id."""

import base64
import codecs
import re
from functools import lru_cache
from typing import Final

from llm.material import Material
from llm.prompts import Prompt
from llm.speech import plain, squeezed, words

CANARY_PART: Final = 10
"""Characters of the canary, 40 bits, that nobody writes by chance."""
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
    """Half of the canary in any dress, or a run of words of the system prompt."""
    tight = squeezed(text)
    if any(part in tight for part in _parts(prompt.canary)):
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
        _stands_in(plain(name), shown)
        for name in own
        if len(name) >= ID_LENGTH_MIN and not name.isalpha()
    )


def _stands_in(name: str, text: str) -> bool:
    """As a word of its own."""
    return name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


@lru_cache(64)
def _parts(canary: str) -> frozenset[str]:
    """Every piece of it: as it is, turned by 13, in hex and base64; each forwards and backwards."""
    lengths = {canary: CANARY_PART, codecs.encode(canary, "rot13"): CANARY_PART}
    lengths[canary.encode().hex()] = 2 * CANARY_PART
    for shift in range(3):
        encoded = base64.b64encode(b" " * shift + canary.encode()).decode().rstrip("=")
        # Its first and last characters depend on what stands beside it.
        lengths[encoded[4:-2].casefold()] = CANARY_PART
    return frozenset(
        one[at : at + length]
        for form, length in lengths.items()
        for one in (form, form[::-1])
        for at in range(len(form) - length + 1)
    )


@lru_cache(64)
def _runs(found: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    return frozenset(found[at : at + RUN_WORDS] for at in range(len(found) - RUN_WORDS + 1))
