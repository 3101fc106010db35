"""WhatsApp: an exported chat, the text file that the app makes.

- Natural id: none is exported. One is made of sender, time, text and how often the same was there
  before, so a later export of the same chat adds only what is new.
- Sides: the creator's shown name is `me`; the one other name is the fan. Groups are left out.
- Times: the phone's local time, in the order of its language: name the zone. Day and month are
  told apart by a day above 12 and by the order of the lines; where neither
  tells, say the option `dates` (`dmy` or `mdy`).
- Media-only: attachments, by the words of seven languages and by file names.
- Edits: the last text stands there. Unsent messages are left out.
- Amounts, likes, mass messages, refunds, renewals: none are exported.
- WhatsApp posts no webhooks here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from integrations.converted import (
    NO_CONTEXT,
    NO_WEBHOOKS,
    Context,
    Converted,
    Event,
    Unfit,
    gather,
)
from integrations.parts import fan_of, made_id, message
from integrations.times import UNREADABLE, rendered
from schemas.times import from_datetime

NATURAL_ID: Final = "one made of sender, time, text and how often that was there before"

ORDERS: Final = {"dmy": (2, 1, 0), "mdy": (2, 0, 1), "ymd": (0, 1, 2)}
"""Where year, month and day stand."""
NO_ORDER: Final = "has dates that can be read in two ways: say --option dates=dmy, or mdy"

_head = re.compile(
    r"\[?(\d{1,4})[./-](\d{1,2})[./-](\d{1,4}),? (\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?"
    r"(?: ?([AaPp])\.? ?[Mm]\.?)?(?:\] | - )(.*)",
    re.DOTALL,
).fullmatch
_said = re.compile(r"([^:]{1,120}): (.*)", re.DOTALL).fullmatch
_marks = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_wide_spaces = re.compile("[\u00a0\u202f]")
_omitted = re.compile(
    r"<(?:media omitted|medien ausgeschlossen|multimedia omitido|media omessi|médias omis"
    r"|mídia oculta|arquivo de mídia oculto|media weggelaten)>"
    r"|(image|photo|video|video note|audio|sticker|gif|document|bild|imagen|vidéo|vídeo) "
    r"(?:omitted|weggelassen|omitida|omitido|absente|ocultado|ocultada)",
    re.IGNORECASE,
).fullmatch
_attached = re.compile(
    r"<[^<>:]{1,40}: ([^<>]{1,200})>|(\S{1,200}\.\w{2,5}) \([^()]{1,40}\)", re.IGNORECASE
).fullmatch
_edited = re.compile(r"\s*<(?:this message was edited|diese nachricht wurde bearbeitet)>$", re.I)
_unsent = re.compile(
    r"(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht"
    r"|du hast diese nachricht gelöscht|se eliminó este mensaje|eliminaste este mensaje)\.?",
    re.IGNORECASE,
).fullmatch
_KINDS: Final = (
    (re.compile(r"photo|image|bild|imagen|^img|\.jpe?g$|\.png$|\.heic$", re.I), "photo"),
    (re.compile(r"gif", re.I), "gif"),
    (re.compile(r"ptt|voice|\.opus$", re.I), "voice"),
    (re.compile(r"audio|\.m4a$|\.mp3$|\.aac$", re.I), "audio"),
    (re.compile(r"sticker|\.webp$", re.I), "sticker"),
    (re.compile(r"vid|\.mp4$|\.mov$", re.I), "video"),
)


class _Line(NamedTuple):
    numbers: tuple[int, int, int]
    clock: tuple[int, int, int]
    text: str
    marked: bool
    """The app wrote it: its own words begin with a mark that nobody sees."""


@dataclass(slots=True)
class _Chat:
    fan: str
    me: frozenset[str]
    order: tuple[int, int, int]
    context: Context
    seen: dict[str, int] = field(default_factory=dict)


def read(body: bytes) -> Any:
    """The text of the file. Raises `Unfit`."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unfit("is not UTF-8") from None


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one exported chat."""
    lines = _lines(payload) if isinstance(payload, str) else []
    said = [one for line in lines if (one := _said(line.text)) is not None]
    try:
        if not lines:
            raise Unfit("is no exported chat of WhatsApp's, or an empty one")
        fan = _fan({one[1] for one in said}, context)
        chat = _Chat(fan, context.me, _order(lines, context), context)
    except Unfit as unfit:
        return Converted(skipped=(unfit.skipped,) * max(1, len(said)))
    return gather(lines, lambda line: [_message(line, chat)])


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    del headers, body, secret, now
    return NO_WEBHOOKS


def _lines(text: str) -> list[_Line]:
    """What begins with a date; what does not goes on with the line before."""
    lines: list[_Line] = []
    for raw in text.rstrip().split("\n"):
        line = _wide_spaces.sub(" ", _marks.sub("", raw.rstrip("\r")))
        matched = _head(line)
        if matched is not None:
            one, two, three, hour, minute, second, half, rest = matched.groups()
            clock = (_hour(int(hour), half), int(minute), int(second or 0))
            numbers = (int(one), int(two), int(three))
            lines.append(_Line(numbers, clock, rest, ": \u200e" in raw[:200]))
        elif lines:
            lines[-1] = lines[-1]._replace(text=f"{lines[-1].text}\n{line}")
    return lines


def _hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    return hour % 12 + (12 if half in "pP" else 0)


def _fan(names: set[str], context: Context) -> str:
    others = names - context.me
    if len(others) == 1:
        return fan_of(next(iter(others)))
    if len(names) == 2:
        raise Unfit("has two sides: say which is the creator's with --me")
    raise Unfit("is no conversation with one fan", expected=len(names) > 2)


def _order(lines: list[_Line], context: Context) -> tuple[int, int, int]:
    """The one order in which all dates exist and time goes forward. Raises `Unfit`."""
    said = context.options.get("dates")
    if said in ORDERS:
        return ORDERS[said]
    if all(line.numbers[0] > 31 for line in lines):
        return ORDERS["ymd"]
    fitting = [order for name in ("dmy", "mdy") if _exists(lines, order := ORDERS[name])]
    if len(fitting) == 2:
        fitting = [order for order in fitting if _forward(lines, order)] or fitting
    if len(fitting) == 2 and all(line.numbers[0] == line.numbers[1] for line in lines):
        return fitting[0]
    if len(fitting) != 1:
        raise Unfit(NO_ORDER if fitting else UNREADABLE)
    return fitting[0]


def _exists(lines: list[_Line], order: tuple[int, int, int]) -> bool:
    return all(1 <= line.numbers[order[1]] <= 12 for line in lines)


def _forward(lines: list[_Line], order: tuple[int, int, int]) -> bool:
    dates = [tuple(line.numbers[place] for place in order) for line in lines]
    return all(before <= after for before, after in pairwise(dates))


def _message(line: _Line, chat: _Chat) -> Event:
    said = _said(line.text)
    if said is None or said[1] not in chat.me | {chat.fan}:
        raise Unfit("is no message of anybody's", expected=True)
    name, text = said.groups()
    text = _edited.sub("", text)
    if _unsent(text):
        raise Unfit("was unsent", expected=True)
    text, attachments = _attachments(text.rstrip())
    if line.marked and not attachments:
        raise Unfit("is a notice of the app's", expected=True)
    year, month, day = (line.numbers[place] for place in chat.order)
    try:
        moment = datetime(year if year > 99 else 2000 + year, month, day, *line.clock)
        time = rendered(from_datetime(moment.replace(tzinfo=chat.context.zone)))
    except (ValueError, OverflowError):
        raise Unfit(UNREADABLE) from None
    same = made_id("whatsapp", name, time, text, *(one["type"] for one in attachments))
    chat.seen[same] = chat.seen.get(same, 0) + 1
    event_id = same if chat.seen[same] == 1 else f"{same}-{chat.seen[same]}"
    sender = "creator" if name in chat.me else None
    return message(chat.fan, time, event_id, text, attachments, sender=sender)


def _attachments(text: str) -> tuple[str, list[dict[str, Any]]]:
    """The words beside an attachment, and it."""
    head, _, rest = text.partition("\n")
    found = _omitted(head.strip()) or _attached(head.strip())
    if found is None:
        return text, []
    named = next((one for one in found.groups() if one), "")
    kind = next((kind for pattern, kind in _KINDS if pattern.search(named)), "file")
    return rest, [{"type": kind}]
