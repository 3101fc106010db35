"""Links, contacts and payments off the platform, also written around (`dot com`, `k i k`).

Better one flag too many: a person reads it, and nothing but the automatic way is closed.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

from llm.speech import latin, squeezed
from llm.words import either, listed

Way = Literal["link", "contact", "payment"]

_SAID_DOT: Final = "(?:dot|punto|point|punkt|ponto)"
_BRACKETED: Final = rf"\s*[\[({{<]\s*(?:\.|{_SAID_DOT})\s*[\])}}>]\s*"
_LINKS: Final = re.compile(
    r"\b(?:h\s*[tx]\s*[tx]\s*p\s*s?|ftp|tg|mailto|javascript)\s*:\s*\S"
    r"|\bwww\s*\."
    rf"|\b[a-z0-9-]{{2,}}(?:\.|{_BRACKETED}){either('endings')}\b"
    rf"|\b[a-z0-9-]{{2,}}(?:\s+{_SAID_DOT}\s+|\s+\.\s*)(?:com|net|org|me|ly|gg|io|tv|xyz|app)\b"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
)
_CONTACTS: Final = re.compile(
    r"[\w.+-]+\s*(?:@|[\[({<]\s*(?:at|arroba|ät)\s*[\])}>])\s*[\w-]+"
    r"|(?<![\w@])@[a-z0-9_.]{3,}"
    r"|(?<![\d.,$€£])\+?\d(?:[\s().-]*\d){8,14}(?!\d)"
    rf"|\b{either('service_words')}\b"
)
_PAYMENTS: Final = re.compile(
    r"(?<![\w$])\$[a-z][a-z0-9_]{2,}"
    r"|\b(?:bc1|[13])[a-z0-9]{25,60}\b|\b0x[0-9a-f]{40}\b"
    r"|\b[a-z]{2}\d{2}(?:\s?[a-z0-9]{4}){3,7}"
    r"|\b(?:\d[ -]?){15,16}\b"
    rf"|\b{either('payment_words')}\b"
)


def ways_off(text: str) -> Iterator[Way]:
    """Which kinds are in the text, each once."""
    shown, tight = latin(text), squeezed(text)
    folded = text.casefold()
    if _LINKS.search(shown) is not None:
        yield "link"
    if (
        _CONTACTS.search(shown) is not None
        or any(name in tight for name in listed("services"))
        or any(name in folded for name in listed("services_in_scripts"))
    ):
        yield "contact"
    if (
        _PAYMENTS.search(shown) is not None
        or any(name in tight for name in listed("payments"))
        or any(name in folded for name in listed("payments_in_scripts"))
    ):
        yield "payment"
