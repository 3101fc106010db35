"""An export as one document: JSON for programs, or a page to be read; each written as it is read.

The page has no scripts and loads nothing, and what a fan wrote stands in it as text.
"""

from collections.abc import AsyncIterator, Iterator
from html import escape
from typing import Any, Final

import msgspec

from schemas.export import Begin, End, Item, Part, Section

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: 0; }
dt { opacity: 0.7; } dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
ol > li { border-top: 1px solid var(--line); padding: 0.5rem 0; }
"""
_TITLES: Final = {
    "export": "What this is",
    "suppression": "Whether anything more is remembered",
    "retention": "How long it is kept",
    "context": "What is remembered",
    "cameFrom": "Where that came from",
    "state": "The numbers behind it",
    "events": "Every interaction",
    "quarantine": "Records that could not be read",
    "workflows": "What was asked of the assistant, drafts and decisions",
    "costs": "What that cost",
}
DEPTH_MAX: Final = 20


async def as_json(parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    """One object with a member for each section; a broken one is no JSON."""
    before, first = b"{", True
    async for part in parts:
        if isinstance(part, Section):
            yield before + b"%s:%s" % (_encode(part.name), _encode(part.value))
            before = b",\n"
        elif isinstance(part, Begin):
            yield before + _encode(part.name) + b":["
            before, first = b",\n", True
        elif isinstance(part, Item):
            yield (b"\n" if first else b",\n") + _encode(part.value)
            first = False
        else:
            yield b"]"
    yield b"}\n"


async def as_page(parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    """The same as HTML."""
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Export of a fan</title>'
        f"<style>{_STYLE}</style></head><body><h1>What is remembered of a fan</h1>\n"
    ).encode()
    async for part in parts:
        if isinstance(part, Section):
            yield f"{_title(part.name)}{''.join(_told(_plain(part.value)))}\n".encode()
        elif isinstance(part, Begin):
            yield f"{_title(part.name)}<ol>\n".encode()
        elif isinstance(part, Item):
            yield f"<li>{''.join(_told(_plain(part.value)))}</li>\n".encode()
        elif isinstance(part, End):
            yield b"</ol>\n"
    yield b"</body></html>\n"


def _title(name: str) -> str:
    return f"<h2>{escape(_TITLES.get(name, name))}</h2>"


def _plain(value: Any) -> Any:
    """What JSON has of it: names as in the other form."""
    return msgspec.json.decode(_encode(value))


def _told(value: Any, depth: int = 0) -> Iterator[str]:
    if depth < DEPTH_MAX and isinstance(value, dict):
        yield "<dl>"
        for name, one in value.items():
            if one is None or one in ([], {}):
                continue
            yield f"<dt>{escape(str(name))}</dt><dd>"
            yield from _told(one, depth + 1)
            yield "</dd>"
        yield "</dl>"
    elif depth < DEPTH_MAX and isinstance(value, list):
        if all(not isinstance(one, dict | list) for one in value):
            yield escape(", ".join(map(_word, value)))
            return
        for one in value:
            yield from _told(one, depth + 1)
    else:
        yield escape(_word(value))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
