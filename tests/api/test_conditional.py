"""Version, ETag and If-None-Match: what has not changed is not sent again."""

import time
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.requests import Request

from api import conditional
from api.conditional import matches, tag_of
from schemas.positions import parse_position
from schemas.times import HOUR_MS
from schemas.topics import JOURNAL
from stores.cached import Remembered
from stores.recent import NO_MESSAGES
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client

FOUND = Remembered(b"s" * 16, 2, 1, 41, b"{}", NO_MESSAGES)
NOW = 1_700_000_000_000
TAG = tag_of(FOUND, NOW)


@pytest.mark.parametrize("route", ["context", "engagement-score"])
async def test_what_a_client_has_is_not_sent_again(api: Client, route: str) -> None:
    async def ask(tag: str | None) -> Answer:
        headers = {"Authorization": f"Bearer {api.token()}"}
        if tag is not None:
            headers["If-None-Match"] = tag
        asked = {"fanId": FAN, "creatorId": CREATOR}
        return await api.ask("GET", f"{PREFIX}/{route}", headers=headers, params=asked)

    while True:
        hour = time.time() // 3600
        first = await ask(None)
        tag = first.headers["ETag"]
        same, other = await ask(tag), await ask('W/"another"')
        if time.time() // 3600 == hour:
            break  # else the hour has changed meanwhile, and the tag with it
    assert first.status == other.status == 200
    assert tag == other.headers["ETag"]
    assert tag.startswith('W/"')
    assert (same.status, same.body) == (304, "")
    assert same.headers["ETag"] == tag
    for answer in (first, same, other):
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert len(answer.headers["X-Correlation-Id"]) == 36
    assert parse_position(first.body["data"]["version"]).topic == JOURNAL.name


async def test_a_memory_of_the_past_has_no_version(api: Client) -> None:
    past = await api.get("context", asOf="9999-01-01T00:00:00Z")
    assert "version" not in past.body["data"]
    assert "ETag" not in past.headers


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (TAG, True),
        (b" " + TAG, True),
        (TAG.removeprefix(b"W/"), True),
        (b'"a", ' + TAG + b', "b"', True),
        (b"*", True),
        (b'W/"another"', False),
        (b"", False),
        (b",,", False),
        (TAG[:-1], False),
        (TAG.upper() + b"x", False),
    ],
)
def test_tags_are_compared_weakly(sent: bytes, expected: bool) -> None:
    assert matches(sent, TAG) is expected


def test_another_version_build_or_hour_has_another_tag() -> None:
    others = [
        tag_of(replace(FOUND, version=42), NOW),
        tag_of(replace(FOUND, partition=3), NOW),
        tag_of(replace(FOUND, generation=2), NOW),
        tag_of(FOUND, NOW + HOUR_MS),
    ]
    assert len({TAG, *others}) == 5
    assert tag_of(FOUND, NOW + 1) == TAG


def test_what_lacks_something_has_a_tag_of_its_own_and_is_no_reason_to_drop_the_whole() -> None:
    def asked(sent: bytes | None, lacks: bool) -> tuple[int, bytes]:
        headers = {} if sent is None else {b"if-none-match": sent}
        scope: dict[str, Any] = {
            "type": "http",
            "headers": [],
            "headers_by_name": headers,
            "correlation_id": "c",
        }
        response = conditional.answer(Request(scope), FOUND, dict, lacks=lacks)
        return response.status_code, dict(response.raw_headers)[b"etag"]

    while True:
        hour = time.time() // 3600
        whole, part = asked(None, False)[1], asked(None, True)[1]
        answers = [asked(sent, lacks) for sent in (whole, part) for lacks in (False, True)]
        if time.time() // 3600 == hour:
            break  # else the tags have changed with it
    assert whole != part
    assert answers == [(304, whole), (304, whole), (200, whole), (304, part)]
