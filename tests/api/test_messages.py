"""GET messages over HTTP: pages, searches, cursors that are bound, and nothing in logs."""

import io
from typing import Any

import pytest

from tests.api.client import CREATOR, FAN, Answer, Client

SECRET = "thankfulness"
"""A word that stands in no message, and is to stand nowhere else."""


async def all_of(api: Client, **params: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    answer = await api.get("messages", **params)
    while True:
        assert answer.status == 200, answer.body
        assert answer.headers["Cache-Control"] == "no-store"
        assert list(answer.body["data"]) == ["messages", "nextCursor"]
        found += answer.body["data"]["messages"]
        cursor = answer.body["data"]["nextCursor"]
        if cursor is None:
            return found
        answer = await api.get("messages", **params, cursor=cursor)


async def first_cursor(api: Client, **params: str) -> str:
    answer = await api.get("messages", limit="2", **params)
    cursor: str = answer.body["data"]["nextCursor"]
    assert cursor
    return cursor


async def test_pages_go_on_beyond_the_newest_fifty_and_show_the_same(api: Client) -> None:
    recent = (await api.get("context")).body["data"]["recentMessages"]
    everything = await all_of(api)
    assert everything[:50] == recent[::-1]
    assert [one["id"] for one in everything] == [f"m{n}" for n in reversed(range(60))]
    for limit in ("7", "200"):
        assert await all_of(api, limit=limit) == everything
    sent = everything[20]["timestamp"]
    assert await all_of(api, before=sent) == everything[21:]


async def test_a_search_finds_words_however_they_are_written(api: Client) -> None:
    loved = [one for one in await all_of(api) if "thank" in one["content"]]
    assert len(loved) == 30
    assert await all_of(api, q="  THÀNK   love") == loved
    assert await all_of(api, q="😍", limit="7") == loved
    assert await all_of(api, q="thank day") == []
    assert await all_of(api, q=".*") == []


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"q": ""}, "q"),
        ({"q": " \u0301"}, "q"),
        ({"q": "x" * 201}, "q"),
        ({"q": "x" * 10_000}, "q"),
        ({"before": "yesterday"}, "before"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"Q": "rose"}, "$"),
    ],
)
async def test_what_is_wrong_is_named(api: Client, params: dict[str, str], named: str) -> None:
    answer = await api.get("messages", **params)
    assert (answer.status, answer.body["error"].split(":")[0]) == (400, named)


async def test_a_cursor_is_good_for_its_own_list_only(api: Client) -> None:
    cursor = await first_cursor(api)
    searching = await first_cursor(api, q="thank")
    altered = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for params in (
        {"cursor": altered},
        {"cursor": cursor, "q": "thank"},
        {"cursor": cursor, "before": "2100-01-01T00:00:00Z"},
        {"cursor": searching},
        {"cursor": searching, "q": "love"},
    ):
        answer = await api.get("messages", **params)
        assert (answer.status, answer.body["error"].split(":")[0]) == (400, "cursor")
    theirs = {"Authorization": f"Bearer {api.token('creator_other')}"}
    answer = await api.ask(
        "GET",
        "/api/of-memory/messages",
        headers=theirs,
        params={"creatorId": "creator_other", "fanId": FAN, "cursor": cursor},
    )
    assert (answer.status, answer.body["error"].split(":")[0]) == (400, "cursor")


async def test_nobody_else_is_shown_anything(api: Client) -> None:
    assert (await api.get("messages", fanId="nobody")).status == 404
    theirs = {"Authorization": f"Bearer {api.token('creator_other')}"}
    params = {"creatorId": CREATOR, "fanId": FAN}
    answer: Answer = await api.ask("GET", "/api/of-memory/messages", headers=theirs, params=params)
    assert answer.status == 403


async def test_what_is_looked_for_is_told_to_nobody(api: Client, said: io.StringIO) -> None:
    assert await all_of(api, q=SECRET) == []
    for refused in ("x" * 201 + SECRET, "\u0301"):
        assert (await api.get("messages", q=refused)).status == 400
    logged = said.getvalue()
    assert "listMessages" in logged
    assert SECRET not in logged
    assert SECRET not in await api.metrics()
