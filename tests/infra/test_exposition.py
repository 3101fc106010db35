"""The address for machines: what it answers, and what it puts up with."""

import asyncio
import json

import pytest

from infra import exposition as exposition_module
from infra.exposition import CONNECTIONS_MAX, HEAD_BYTES_MAX, Exposition, Page, as_json
from ops.services.ports import free_port


async def numbers() -> Page:
    return Page("text/plain", b"a 1\n")


async def broken() -> Page:
    raise ZeroDivisionError


PAGES = {"/metrics": numbers, "/broken": broken}


async def opened(port: int) -> Exposition:
    made = Exposition("127.0.0.1", port, PAGES)
    await made.open()
    return made


async def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        writer.write(request)
        answer = await reader.read()
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


async def test_pages_are_answered_and_nothing_else() -> None:
    made = await opened(free_port())
    status, headers, body = await ask(made.port, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (status, body) == (200, b"a 1\n")
    assert headers["Content-Type"] == "text/plain"
    assert headers["Content-Length"] == "4"
    status, headers, body = await ask(made.port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert (status, headers["Content-Length"], body) == (200, "4", b"")
    status, _, body = await ask(made.port, b"GET /health/live HTTP/1.0\r\n\r\n")
    assert (status, json.loads(body)) == (200, {"status": "live"})
    assert (await ask(made.port, b"GET /api/of-memory/context HTTP/1.1\r\n\r\n"))[0] == 404
    status, headers, _ = await ask(made.port, b"POST /metrics HTTP/1.1\r\n\r\n")
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert (await ask(made.port, b"\x00\xff\r\n\r\n"))[0] == 405
    assert (await ask(made.port, b"GET /broken HTTP/1.1\r\n\r\n"))[0] == 500
    assert (await ask(made.port, b"GET /" + b"a" * HEAD_BYTES_MAX * 2 + b"\r\n\r\n"))[0] == 431
    assert (await ask(made.port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 200
    await made.close()


async def test_whoever_asks_nothing_keeps_nobody_else_from_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exposition_module, "SECONDS_MAX", 0.5)
    made = await opened(free_port())
    silent = [
        await asyncio.open_connection("127.0.0.1", made.port) for _ in range(CONNECTIONS_MAX + 4)
    ]
    async with asyncio.timeout(30):
        ended = [await reader.read() for reader, _ in silent]
    assert set(ended) == {b""}
    assert (await ask(made.port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 200
    for _, writer in silent:
        writer.close()
    await made.close()


async def test_a_port_that_is_taken_stops_nobody() -> None:
    first = await opened(free_port())
    second = await opened(first.port)
    assert first.port < second.port < first.port + exposition_module.PORTS
    assert (await ask(second.port, b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 200
    await first.close()
    await second.close()
    assert first.port == 0


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 0), ("192.0.2.1", 9464)])
async def test_without_an_address_a_process_goes_on(host: str, port: int) -> None:
    made = Exposition(host, port, PAGES)
    await made.open()
    assert made.port == 0
    await made.close()


def test_json_pages_have_their_status() -> None:
    assert as_json(503, {"a": 1}) == Page("application/json", b'{"a":1}', 503)
