"""Our own client of Redis, on a real Valkey."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.redis import ErrorReply, Redis
from infra.settings import Settings
from ops.services import EmbeddedServices
from ops.services.ports import free_port
from schemas.errors import CacheUnavailable, Misconfigured


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    made = Redis(redis_url)
    yield made
    await made.close()


async def test_what_was_set_is_got(client: Redis) -> None:
    assert await client.call("SET", "key", b"\x00value") == b"OK"
    assert await client.call("GET", b"key") == b"\x00value"
    assert await client.call("GET", "other") is None
    assert await client.calls([("INCR", "n"), ("INCRBY", "n", 4)]) == [1, 5]


async def test_everybody_gets_their_own_answer(client: Redis) -> None:
    asked = range(2_000)
    assert await asyncio.gather(*(client.call("ECHO", n) for n in asked)) == [
        str(n).encode() for n in asked
    ]


async def test_an_answer_larger_than_a_packet_is_whole(client: Redis) -> None:
    large = bytes(range(256)) * 8_000
    await client.call("SET", "large", large)
    assert await client.call("GET", "large") == large


async def test_an_error_reply_is_raised_for_the_one_who_asked(client: Redis) -> None:
    right = client.call("ECHO", 1)
    wrong = client.call("INCRBY", "n", "text")
    found = await asyncio.gather(right, wrong, return_exceptions=True)
    assert found[0] == b"1"
    assert isinstance(found[1], ErrorReply)
    with pytest.raises(ErrorReply, match="not an integer"):
        await client.calls([("ECHO", 1), ("INCRBY", "n", "text")])


async def test_a_command_cancelled_at_any_moment_costs_the_others_nothing(client: Redis) -> None:
    """From before the sending to after the answer."""
    cancelled = 0
    for steps in [*range(30)] * 10:
        asked = asyncio.create_task(client.call("ECHO", "mine"))
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled += asked.cancel()
        await asyncio.wait([asked])
        assert await client.call("ECHO", steps) == str(steps).encode()
    assert cancelled > 10


async def test_a_database_of_its_own_can_be_named(redis_url: str, client: Redis) -> None:
    other = Redis(redis_url.removesuffix("/0") + "/3")
    await client.call("SET", "key", 1)
    assert await other.call("GET", "key") is None
    await other.close()


async def test_users_and_passwords_are_said(redis_url: str, client: Redis) -> None:
    await client.call("ACL", "SETUSER", "reader", "on", ">p@ss/word", "+get", "~*")
    try:
        where = redis_url.rpartition("@")[2].removesuffix("/0")
        reader = Redis(f"redis://reader:p%40ss%2Fword@{where}")
        assert await reader.call("GET", "key") is None
        with pytest.raises(ErrorReply, match="NOPERM"):
            await reader.call("SET", "key", 1)
        await reader.close()
        stranger = Redis(f"redis://reader:wrong@{where}")
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            await stranger.call("GET", "key")
    finally:
        await client.call("ACL", "DELUSER", "reader")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = Redis(f"redis://127.0.0.1:{free_port()}")
    found = await asyncio.gather(*(client.call("PING") for _ in range(10)), return_exceptions=True)
    assert {type(one) for one in found} == {CacheUnavailable}
    await client.close()


async def test_a_password_beside_the_url_wins(redis_url: str, client: Redis) -> None:
    secret = redis_url.partition(":")[2].partition("@")[0].removeprefix("//:")
    where = redis_url.rpartition("@")[2]
    other = Redis(f"redis://:wrong@{where}", password=secret)
    assert await other.call("PING") == b"PONG"
    await other.close()


async def test_a_unix_socket_is_a_place_too(redis_url: str, client: Redis, tmp_path: Path) -> None:
    """Of a little server between: the embedded one listens on TCP only."""
    target = urlsplit(redis_url)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.hostname, target.port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, back), copy(there, writer))

    path = tmp_path / "redis.sock"
    server = await asyncio.start_unix_server(pass_on, path)
    local = Redis(f"unix://:{target.password}@{path}?db=3")
    try:
        await client.call("SET", "key", "of database 0")
        assert await local.call("GET", "key") is None
    finally:
        await local.close()
        server.close()


@pytest.mark.parametrize("url", ["http://localhost:1", "redis://localhost/name", "localhost:6379"])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="can't be read"):
        Redis(url)


async def test_a_server_that_hangs_is_given_up_in_time_and_used_again_when_it_wakes(
    own_valkey: EmbeddedServices,
) -> None:
    loop = asyncio.get_running_loop()
    client = Redis(own_valkey.endpoints.redis_url, timeout=0.3)
    await client.call("PING")
    own_valkey.kill("valkey", signal.SIGSTOP)
    try:
        began = loop.time()
        found = await asyncio.gather(
            *(client.call("PING") for _ in range(5)), return_exceptions=True
        )
        assert {type(one) for one in found} == {CacheUnavailable}
        assert 0.3 <= loop.time() - began < 3
    finally:
        own_valkey.kill("valkey", signal.SIGCONT)
    assert await client.call("PING") == b"PONG"
    await client.close()


async def test_a_server_that_was_killed_is_found_again(own_valkey: EmbeddedServices) -> None:
    client = Redis(own_valkey.endpoints.redis_url)
    await client.call("PING")
    own_valkey.kill("valkey", signal.SIGKILL)
    with pytest.raises(CacheUnavailable):
        await client.call("PING")
    await asyncio.to_thread(own_valkey.start_one, "valkey")
    assert await client.call("PING") == b"PONG"
    await client.close()


def test_the_settings_name_the_server() -> None:
    with pytest.raises(Misconfigured):
        Redis(Settings().redis_url)
