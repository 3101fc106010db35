"""POST bulk: the contexts of several fans by one read of each store."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.postgres import connect
from lab.bench.seed import seed
from ops.services import Endpoints
from ops.services.ports import free_port
from privacy.keys import Keyring
from schemas.bulk import FANS_MAX, parse_bulk
from schemas.errors import InvalidInput
from stores.cache import open_cache
from tests import services as helpers
from tests.api.client import CREATOR, PREFIX, Answer, Client, conversation, running_api

FANS = [f"fan_{number}" for number in range(12)]


@pytest.fixture(scope="module")
async def crowd(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """Remembers a dozen fans, some with more messages than others."""
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(
            services, url, tmp_path_factory.mktemp("api"), kafka=False
        )
        await seed(
            settings,
            {(CREATOR, fan): conversation(number + 1) for number, fan in enumerate(FANS)},
        )
        async with running_api(settings) as client:
            yield client


async def bulk(api: Client, fan_ids: Any, creator_id: str = CREATOR, **more: Any) -> Answer:
    asked = {"fanIds": fan_ids, "creatorId": creator_id}
    return await api.ask("POST", f"{PREFIX}/bulk", json=asked, **more)


async def forgotten_by_the_cache(api: Client) -> None:
    cache = open_cache(api.settings, Keyring.of(api.settings))
    await cache.drop_all()
    await cache.close()


async def test_each_fan_is_answered_once_with_what_a_single_read_answers(crowd: Client) -> None:
    answer = await bulk(crowd, [FANS[1], "nobody", FANS[0], FANS[1], "nobody"])
    assert answer.status == 200
    body = answer.body
    assert list(body) == ["data", "correlationId", "count", "notFound", "errors"]
    assert body["correlationId"] == answer.headers["X-Correlation-Id"]
    assert set(body["data"]) == set(FANS[:2])
    assert (body["count"], body["notFound"], body["errors"]) == (2, ["nobody"], {})
    for fan in FANS[:2]:
        alone = (await crowd.get("context", fanId=fan)).body["data"]
        assert list(body["data"][fan]) == list(alone)
        for steady in ("fanId", "recentMessages", "personalityProfile", "lastInteraction"):
            assert body["data"][fan][steady] == alone[steady]


async def test_all_misses_are_one_read_of_the_database_and_fill_the_cache(crowd: Client) -> None:
    await forgotten_by_the_cache(crowd)
    reads = await crowd.counter("memory_database_reads_total")
    fills = await crowd.counter("memory_cache_fills_total")
    assert (await bulk(crowd, FANS)).body["count"] == len(FANS)
    assert await crowd.counter("memory_database_reads_total") == reads + 1
    while await crowd.counter("memory_cache_fills_total") < fills + len(FANS):
        pass  # filled a moment after the answer
    hits = await crowd.counter("memory_cache_hits_total")
    assert (await bulk(crowd, FANS)).body["count"] == len(FANS)
    assert await crowd.counter("memory_database_reads_total") == reads + 1
    assert await crowd.counter("memory_cache_hits_total") == hits + len(FANS)


async def test_a_hundred_unknown_fans_are_not_found(crowd: Client) -> None:
    nobody = [f"nobody_{number}" for number in range(FANS_MAX)]
    body = (await bulk(crowd, nobody)).body
    assert (body["data"], body["count"], body["notFound"]) == ({}, 0, nobody)


async def test_without_the_database_what_is_cached_is_answered_and_the_rest_is_an_error(
    crowd: Client,
) -> None:
    await forgotten_by_the_cache(crowd)
    while await hits_of(crowd, FANS[:3]) < 3:
        pass  # each miss is filled a moment after its answer
    gone = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    urls = {"postgres_url": gone, "postgres_reader_url": gone}
    settings = crowd.settings.model_copy(update=urls)
    async with running_api(settings) as alone:
        body = (await bulk(alone, FANS[:4])).body
    assert set(body["data"]) == set(FANS[:3])
    assert body["notFound"] == []
    assert set(body["errors"]) == {FANS[3]}
    assert body["errors"][FANS[3]]["type"] == "DATABASE_ERROR"


async def hits_of(api: Client, fans: list[str]) -> int:
    before = await api.counter("memory_cache_hits_total")
    await bulk(api, fans)
    return int(await api.counter("memory_cache_hits_total") - before)


async def test_a_memory_that_does_not_open_is_an_error_of_its_fan_alone(crowd: Client) -> None:
    postgres = await connect(crowd.settings.postgres_url)
    try:
        rename = "UPDATE subject SET fan_id = $2 WHERE fan_id = $1"
        await postgres.execute(rename, FANS[11], "renamed")
        body = (await bulk(crowd, ["renamed", FANS[0]])).body
        await postgres.execute(rename, "renamed", FANS[11])
    finally:
        await postgres.close()
    assert body["errors"] == {"renamed": {"error": "Internal server error"}}
    assert list(body["data"]) == [FANS[0]]
    assert await crowd.counter("memory_seals_broken_total") > 0


async def test_another_creators_fans_are_403_and_nobodys_401(crowd: Client) -> None:
    assert (await bulk(crowd, FANS, "creator_other")).status == 403
    assert (await bulk(crowd, FANS, headers={})).status == 401


async def test_a_bad_body_is_400_and_names_the_field(crowd: Client) -> None:
    answer = await bulk(crowd, [])
    assert (answer.status, answer.body["type"]) == (400, "VALIDATION_ERROR")
    assert answer.body["error"].startswith("fanIds: ")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a"]}, "creatorId"),
        ({"fanIds": [], "creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a"] * (FANS_MAX + 1), "creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a", 7], "creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a", ""], "creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a\x00"], "creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a" * 256], "creatorId": "c"}, "fanIds"),
        ({"fanIds": "a", "creatorId": "c"}, "fanIds"),
        ({"fanIds": ["a"], "creatorId": " "}, "creatorId"),
        ({"fanIds": ["a"], "creatorId": None}, "creatorId"),
        ([], "$"),
        (None, "$"),
    ],
)
def test_what_is_no_bulk_request_is_refused_by_its_field(body: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_bulk(json.dumps(body).encode())
    assert refused.value.field == field


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 5000, b'{"fanIds":NaN}'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_bulk(body)
