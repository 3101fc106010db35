"""Reading files of a platform into a staging place: what becomes events, and what is left out."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from admin.reading import read_values, read_whole
from admin.retry import Reread
from admin.staging import Staging
from infra.clock import now_ms
from infra.postgres import Connection
from integrations.accepting import accepted
from integrations.converted import NO_FAN, UNREAD, Context, Event, Platform, Skipped, Unfit
from integrations.platforms import PLATFORMS
from privacy.keys import Keyring
from stores.whose import fan_with

WHOLE_FILES: Final = frozenset(("instagram", "telegram", "whatsapp"))
"""Whose exports are one document each; of the others a file holds many payloads."""


def stage(
    staging: Staging,
    platform: str,
    creator_id: str,
    files: Sequence[Path],
    context: Context,
    progress: Callable[[int], Any] = lambda _count: None,
) -> Counter[Skipped]:
    """Stage the events of all files; what became none, by its reason.

    `progress` is told of every payload. Raises `FanMemoryError` for a file that can't be read.
    """
    module = PLATFORMS[platform]
    left_out: Counter[Skipped] = Counter()
    unaddressed: list[Event] = []
    for path in files:
        for body in _payloads(platform, path):
            for value in _converted(module, creator_id, body, context, left_out, unaddressed):
                staging.add(value)
            progress(1)
    for event in unaddressed:
        meant = event["refersTo"]
        fan = staging.fan_with(meant["eventId"], meant["type"])
        if fan is None:
            left_out[Skipped(NO_FAN, False)] += 1
        else:
            staging.add(accepted(creator_id, event | {"fanId": fan}, now_ms())[0])
    return left_out


def rereading(keyring: Keyring) -> Reread:
    """How a refused value is read again: itself, or the events that a delivery which was kept
    unread holds by now.

    What is needed of its connection (its names, zone and options) is not known here, so a delivery
    is read with those of nobody: its events are refused again where they need them.
    """

    async def reread(connection: Connection, value: bytes) -> list[bytes]:
        try:
            kept = json.loads(value)
            if not isinstance(kept, dict) or kept.get("type") != UNREAD:
                return [value]
            module = PLATFORMS[kept["platform"]]
            body = kept["body"].encode("utf-8", "surrogateescape")
            found = module.events(module.read(body), Context(now_ms()))
            creator = kept["creatorId"]
            events = list(found.events)
            for event in found.unaddressed:
                meant = event["refersTo"]
                fan = await fan_with(connection, keyring, creator, meant["eventId"], meant["type"])
                if fan is None:
                    return [value]
                events.append(event | {"fanId": fan})
            return [accepted(creator, event, now_ms())[0] for event in events] or [value]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError, Unfit):
            return [value]

    return reread


def _payloads(platform: str, path: Path) -> Iterator[bytes]:
    if platform in WHOLE_FILES:
        yield read_whole(path)
    else:
        yield from read_values(path)


def _converted(
    module: Platform,
    creator_id: str,
    body: bytes,
    context: Context,
    left_out: Counter[Skipped],
    unaddressed: list[Event],
) -> Iterator[bytes]:
    try:
        payload = module.read(body)
    except Unfit as unfit:
        left_out[unfit.skipped] += 1
        return
    found = module.events(payload, context)
    left_out.update(found.skipped)
    unaddressed += found.unaddressed
    for event in found.events:
        yield accepted(creator_id, event, now_ms())[0]
