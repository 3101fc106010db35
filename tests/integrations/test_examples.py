"""The examples of docs/platforms.md: what is sent, through the contract and the views' fold.

As `tests/ops/test_samples.py` does with a running system; this needs none.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pytest

from analysis import analyse
from integrations.accepting import accepted
from integrations.converted import Context, Platform
from integrations.platforms import PLATFORMS
from schemas.events import Interaction, parse_interaction
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from tests.entries import entry_of
from views.context import render_context
from views.state import FanState, fold

PAGE = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text()
EXAMPLE = re.compile(
    r"^<!-- example (\w+) (.*?) -->\n```text\n(.*?)^```\n\n```json\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
MAPPING = re.compile(r"^<!-- mapping -->\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOW = 1_795_800_000_000


class Example(NamedTuple):
    platform: str
    words: dict[str, str]
    sent: str
    context: Any


def examples() -> list[Example]:
    return [
        Example(
            platform,
            dict(word.split("=", 1) for word in words.split()),
            sent,
            json.loads(context),
        )
        for platform, words, sent, context in EXAMPLE.findall(PAGE)
    ]


def payloads(module: Platform, example: Example) -> list[Any]:
    if example.platform == "whatsapp":
        return [module.read(example.sent.encode())]
    found, at, decode = [], 0, json.JSONDecoder().raw_decode
    while example.sent[at:].strip():
        start = at + len(example.sent[at:]) - len(example.sent[at:].lstrip())
        _, at = decode(example.sent, start)
        found.append(module.read(example.sent[start:at].encode()))
    return found


def text_of(event: Interaction) -> TextFeatures | None:
    return next(iter(analyse([event.content]))) if event.content is not None else None


def remembered(example: Example) -> Any:
    """The fan's context, as a reader gets it."""
    module, words = PLATFORMS[example.platform], example.words
    (mapping,) = MAPPING.findall(PAGE)
    context = Context(
        NOW,
        frozenset(filter(None, [words.get("me")])),
        ZoneInfo(words.get("zone", "UTC")),
        words.get("currency"),
        mapping=json.loads(mapping) if example.platform == "generic" else None,
    )
    events: dict[tuple[str, str | None], JournalEntry] = {}
    for payload in payloads(module, example):
        converted = module.events(payload, context)
        assert converted.skipped == ()
        for event in converted.events:
            value, refusal = accepted("luna", event, NOW)
            assert refusal is None
            parsed = parse_interaction(value, NOW)
            assert parsed.fan_id == words["fan"]
            events.setdefault((parsed.kind, parsed.event_id), entry_of(parsed, text_of(parsed)))
    state: FanState | None = None
    ordered = sorted(events.values(), key=lambda one: one.time)
    for offset, entry in enumerate(ordered):
        state = fold(state, entry, offset)
    assert state is not None
    messages = [entry for entry in ordered if entry.kind == "message"]
    return json.loads(
        msgspec.json.encode(render_context("luna", words["fan"], state, messages, NOW))
    )


def holds(found: Any, wanted: Any, path: str = "") -> None:
    """Everything that is wanted is there; what is there besides does not matter."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert name in found, f"{path}.{name}"
            holds(found[name], value, f"{path}.{name}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), path
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            holds(one, other, f"{path}[{number}]")
    else:
        assert found == wanted, path


@pytest.mark.parametrize("example", examples(), ids=lambda one: one.platform)
def test_an_example_comes_out_as_the_page_says(example: Example) -> None:
    holds(remembered(example), example.context)


def test_every_platform_has_an_example() -> None:
    assert {one.platform for one in examples()} == set(PLATFORMS)
