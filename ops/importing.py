"""Reading files of a platform into a staging place: what becomes events, and what is left out."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from admin.reading import read_values, read_whole
from admin.staging import Staging
from integrations.converted import Context, Platform, Skipped, Unfit, encode
from integrations.platforms import PLATFORMS

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
    for path in files:
        for body in _payloads(platform, path):
            for value in _converted(module, creator_id, body, context, left_out):
                staging.add(value)
            progress(1)
    return left_out


def _payloads(platform: str, path: Path) -> Iterator[bytes]:
    if platform in WHOLE_FILES:
        yield read_whole(path)
    else:
        yield from read_values(path)


def _converted(
    module: Platform, creator_id: str, body: bytes, context: Context, left_out: Counter[Skipped]
) -> Iterator[bytes]:
    try:
        payload = module.read(body)
    except Unfit as unfit:
        left_out[unfit.skipped] += 1
        return
    found = module.events(payload, context)
    left_out.update(found.skipped)
    for event in found.events:
        yield encode(creator_id, event)
