"""Bodies and parameters near every bound, for every endpoint: size, depth, repeats, dates.

Whatever comes is answered without a mistake of ours, and within a bounded time of a processor: a
body of 256 KiB once took 13 s of the loop that answers everybody.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from api.endpoints import Endpoint
from api.table import ENDPOINTS
from tests.api.client import CREATOR, FAN, Client, running_api

CPU_SECONDS_MAX = 1.5
"""Of one request, the test's own part included: the processor's time, whatever else is running."""
TURN_SECONDS_MAX = 0.5
"""Of what stands between two looks of the loop at its connections: 50 ms, and room for a machine on
which all is ten times as slow."""
WITH_BODY = [one for one in ENDPOINTS if one.request is not None]
WITH_QUERY = [
    one
    for one in ENDPOINTS
    # Who erases and forgets waits for a worker, of which there is none.
    if one.method == "GET" and not one.streams and any(p.place == "query" for p in one.parameters)
]
KNOWN = (
    f'"creatorId":"{CREATOR}","fanId":"{FAN}","eventId":"e","type":"message","sender":"fan",'
    '"timestamp":"2026-01-01T00:00:00Z"'
)


def times(text: str, size: int, begin: str = "", end: str = "") -> bytes:
    """As often as it fits into so many bytes."""
    count = max(0, (size - len(begin) - len(end)) // len(text))
    whole = (begin + text * count + end).encode()
    return whole + b" " * (size - len(whole))


def distinct(size: int) -> bytes:
    names = ",".join(f'"{number:x}":0' for number in range(size // 12))
    return times(" ", size, f"{{{KNOWN},{names}}}")


SHAPES: dict[str, Callable[[int], bytes]] = {
    "spaces": lambda size: times(" ", size, "{" + KNOWN, "}"),
    "one name again and again": lambda size: times('"x":1,', size, "{", KNOWN + "}"),
    "a known name again and again": lambda size: times('"eventId":"e",', size, "{", KNOWN + "}"),
    "many names": distinct,
    "many names, the last one twice": lambda size: (
        distinct(size - 6).rstrip(b" ").removesuffix(b"}") + b',"0":0}'
    ),
    "many names in metadata": lambda size: (
        b"{" + KNOWN.encode() + b',"metadata":' + distinct(size - len(KNOWN) - 14) + b"}"
    ),
    "arrays in arrays": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "arrays without end": lambda size: times("[", size),
    "objects in metadata": lambda size: times('{"a":', size, f'{{{KNOWN},"metadata":'),
    "a long text": lambda size: times("a", size, f'{{{KNOWN},"content":"', '"}'),
    "a text of escapes": lambda size: times("\\u0301", size, f'{{{KNOWN},"content":"e', '"}'),
    "a text of half a pair": lambda size: times("\\ud800", size, f'{{{KNOWN},"content":"', '"}'),
    "a text of tags": lambda size: times("<b>", size, f'{{{KNOWN},"content":"', '"}'),
    "a number of digits": lambda size: times("9", size, f'{{{KNOWN},"amount":', "}"),
    "a small number": lambda size: times("0", size, f'{{{KNOWN},"amount":0.', "1}"),
    "a list of nothing": lambda size: times("{},", size, "[", "{}]"),
    "a list of one fan": lambda size: times(
        f'"{FAN}",', size, f'{{"creatorId":"{CREATOR}","fanIds":[', f'"{FAN}"]}}'
    ),
    "lines": lambda size: times("{}\n", size),
}
MOMENTS = (
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "0000-00-00T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2016-12-31T23:59:60Z",
    "-0001-01-01T00:00:00Z",
    "1e400",
    "9" * 400,
    "-1",
    "0",
    "9223372036854775808",
    "NaN",
    "\0",
    "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"),
    "x" * 4000,
    "interactions-0:99999999999999999999",
    "journal-99999999999:1",
)


@pytest.fixture(scope="module")
async def asked(api: Client) -> AsyncIterator[Client]:
    """Whoever asks so much would be told to ask less."""
    unlimited = {"user_requests_per_minute": 0, "creator_requests_per_minute": 0}
    patient = {"request_seconds_max": 15.0}
    async with running_api(api.settings.model_copy(update=unlimited | patient)) as client:
        yield client


def bodies(endpoint: Endpoint, setting: int) -> Iterator[tuple[str, bytes]]:
    largest = endpoint.body_bytes_max or setting
    for name, shape in SHAPES.items():
        yield name, shape(largest)
    for size in (0, 1, largest - 1, largest + 1):
        yield f"{size} bytes", SHAPES["a long text"](size)[:size]


def path_of(endpoint: Endpoint) -> str:
    path = endpoint.path.replace("{platform}", "generic")
    return re.sub(r"\{\w+\}", "1" * 32, path)


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The longest turn of the loop that answers, in its thread's own time."""
    found = {"turn": 0.0}
    run = asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        found["turn"] = max(found["turn"], time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", measured)
    return found


async def sane(
    client: Client, what: str, method: str, path: str, longest: dict[str, float], **more: Any
) -> int:
    longest["turn"] = 0.0
    began = time.process_time()
    answer = await client.ask(method, path, **more)
    took = time.process_time() - began
    assert 0 < longest["turn"] < TURN_SECONDS_MAX, f"{what}: {longest['turn']:.2f} s"
    assert answer.status < 500 or answer.status == 503, f"{what}: {answer.status} {answer.body}"
    assert took < CPU_SECONDS_MAX, f"{what}: {took:.1f} s"
    return answer.status


@pytest.mark.parametrize("endpoint", WITH_BODY, ids=lambda one: one.name)
async def test_a_body_at_a_bound_is_answered_soon(
    asked: Client, endpoint: Endpoint, longest: dict[str, float]
) -> None:
    path = path_of(endpoint)
    headers = {"Authorization": f"Bearer {asked.token()}", "Content-Type": endpoint.request_media}
    asking = {"creatorId": CREATOR, "fanId": FAN}
    largest = endpoint.body_bytes_max or asked.settings.body_bytes_max
    for name, body in bodies(endpoint, asked.settings.body_bytes_max):
        status = await sane(
            *(asked, name, endpoint.method, path, longest),
            headers=headers,
            params=asking,
            data=body,
        )
        assert (status == 413) == (len(body) > largest), (name, status)


@pytest.mark.parametrize("endpoint", WITH_QUERY, ids=lambda one: one.name)
async def test_a_parameter_at_a_bound_is_answered_soon(
    asked: Client, endpoint: Endpoint, longest: dict[str, float]
) -> None:
    path = path_of(endpoint)
    for parameter in endpoint.parameters:
        if parameter.place == "query":
            for value in MOMENTS:
                asking = {"creatorId": CREATOR, "fanId": FAN, parameter.name: value}
                what = f"{parameter.name}={value}"
                await sane(asked, what, endpoint.method, path, longest, params=asking)
