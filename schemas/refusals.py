"""Explaining a refusal: which field of a JSON event is wrong, in our own words.

The fast parser (msgspec) keeps the last of equal keys without a word, gives no path for what is
outside JSON, and quotes what it refuses. So what it refuses, and what looks as if a key stood there
twice, is read again by the standard parser. That happens on the API's event loop and on input that
a stranger made: everything here is linear in the text (256 KB: below 50 ms).
"""

import json
import math
import re
from collections.abc import Callable, Sequence, Set
from typing import Any, Final

import msgspec

from schemas.errors import InvalidInput

DEPTH_MAX: Final = 256
"""Levels of an event. An explicit bound, far below the interpreter's own: that one counts the
caller's frames, so the API and the worker would judge the same event differently."""

UNREAD: Final = "unread"
"""`type` of what is kept of a platform's delivery that is no event: it is refused, so it is a dead
letter, and can be read again by a release that knows it."""
DELIVERY_REASON: Final = "delivery: a platform's, of which nothing could be read"
NO_FAN: Final = "names no fan, and none has the message that it takes back"
"""`reason` of such a delivery that could be read, except whose it is."""
NO_FAN_REASON: Final = (
    f"delivery: it {NO_FAN}; `fanmemory dlq --retry --reason delivery` looks again"
)

_key_marks = re.compile(rb'"\s*:').findall
_decode = msgspec.json.Decoder().decode
_surrogate = re.compile("[\ud800-\udfff]").search
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


_number = float
"""For integers too: `int` raises beyond 4300 digits, and no one reads these."""


class _Twice(dict[str, Any]):
    """An object in which `key` was given more than once."""

    key: str


def refuse_duplicate_keys(value: bytes, fields: Set[str]) -> None:
    """Raise `InvalidInput` when an object of the event, the event itself included, repeats a key.

    Also when the event is nested too deeply to be read by everybody who reads it.
    `value` is JSON that holds an object; `fields` are the names that may be repeated to the sender.
    """
    if _has_each_key_once(value):
        return
    marked = False

    def mark(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal marked
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        marked = True
        twice = _Twice(found)
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                twice.key = name
                break
            seen.add(name)
        return twice

    event = json.loads(value, object_pairs_hook=mark, parse_int=_number)
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX and _levels(event) > DEPTH_MAX:
        raise InvalidInput("$", "is nested too deeply")
    if not marked:
        return
    if isinstance(event, _Twice):
        raise InvalidInput(_known(event.key, fields), "must not be given twice")
    for name, child in event.items():
        if _any(child, lambda part: isinstance(part, _Twice)):
            raise InvalidInput(_known(name, fields), "must not hold a key twice")


def _has_each_key_once(value: bytes) -> bool:
    """Whether a look is enough: as many keys are left as quotes with a colon stand in the text.

    There are never fewer of these than keys, and within a text they only cost the slow check.
    A third of its time; it is needed for every event with an explicit default or an unknown field.
    """
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX:
        return False
    try:
        event = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # what the standard parser reads all the same, such as huge integers
    keys = 0
    left = [event]
    for part in left:
        if isinstance(part, dict):
            keys += len(part)
            left += [child for child in part.values() if isinstance(child, dict | list)]
        else:
            left += [child for child in part if isinstance(child, dict | list)]
    return keys == len(_key_marks(value))


def explain(
    error: msgspec.DecodeError, value: bytes, fields: Set[str], kinds: Sequence[str]
) -> InvalidInput:
    """Our words for msgspec's: it quotes unknown enum values, which may be personal."""
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        reason = "must be valid JSON: " + text.removeprefix("JSON is malformed: ")
        return _blame(value, fields) or InvalidInput("$", reason)
    missing = _MISSING.search(text)
    path = _PATH.search(text)
    field = path[1] if path else "$"
    if missing:
        within = "" if field == "$" else field.partition("[")[0] + "."
        return InvalidInput(within + missing[1], "is required")
    reason = _PATH.sub("", text)
    if field == "type":
        reason = _unread(value) or "must be one of " + ", ".join(kinds)
    elif "enum" in reason:
        reason = "must be one of the documented values"
    elif field == "timestamp":
        reason = "must be an RFC 3339 time with a zone, such as 2024-11-12T10:30:00Z"
    return InvalidInput(field.partition("[")[0] or "$", reason[:1].lower() + reason[1:])


def _unread(value: bytes) -> str | None:
    """Why a delivery of a platform was kept; None for what is none."""
    try:
        kept = json.loads(value)  # msgspec takes no body of other bytes than UTF-8's
    except (ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or kept.get("type") != UNREAD:
        return None
    return NO_FAN_REASON if kept.get("reason") == NO_FAN else DELIVERY_REASON


def _blame(value: bytes, fields: Set[str]) -> InvalidInput | None:
    """The field of what msgspec refuses without a path: numbers and texts outside JSON."""
    try:
        event = json.loads(value, parse_int=_number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    for name, child in event.items():
        if _any(child, lambda part: isinstance(part, float) and not math.isfinite(part)):
            return InvalidInput(_known(name, fields), "must be a finite number")
        if _any(child, lambda part: isinstance(part, str) and _surrogate(part) is not None):
            return InvalidInput(_known(name, fields), "must not contain lone surrogates")
    return None


def _any(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether a part of a JSON value, a key included, is one that the test looks for."""
    left = [value]
    while left:
        part = left.pop()
        if test(part):
            return True
        if isinstance(part, dict):
            left += part.keys()
            left += part.values()
        elif isinstance(part, list):
            left += part
    return False


def _levels(value: Any) -> int:
    """Objects and lists within each other."""
    levels = 0
    level = [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        levels += 1
        level = [
            child for part in level for child in (part.values() if isinstance(part, dict) else part)
        ]
    return levels


def _known(name: str, fields: Set[str]) -> str:
    """Only the contract's own names are repeated: an unknown one may be anything."""
    return name if name in fields else "$"
