"""A stand-in for OpenAI and Azure OpenAI: chat completions in all three forms, and every failure.

It runs in the caller's event loop on a free port of 127.0.0.1, or `apart` in a process of its own,
and speaks HTTP/1.1 by itself, so that it can also break off, drip and say nothing. What it does
next is what `then` was told, one entry per request; without any it answers. `requests` has what
came.

    openai          POST /v1/chat/completions                           Authorization: Bearer
    azure classic   POST /openai/deployments/{name}/chat/completions    api-key, ?api-version=
    azure v1        POST /openai/v1/chat/completions                    Authorization: Bearer
"""

import asyncio
import json
import re
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

Form = Literal["openai", "azure-classic", "azure-v1"]
Behaviour = Literal[
    "answer", "status", "filter-prompt", "filter-answer", "length", "refusal", "no-json",
    "wrong-shape", "no-usage", "malformed", "html", "no-choices", "reset", "reset-late", "drip",
    "slow", "stall",
]  # fmt: skip

KEY: Final = "sk-stand-in"
MODEL: Final = "gpt-4o-mini-2024-07-18"
DRIP_SECONDS: Final = 0.02
"""Between two bytes."""
SLOW_SECONDS: Final = 0.2
"""Before a slow answer."""
USAGE: Final = {
    "prompt_tokens": 1_000,
    "completion_tokens": 200,
    "total_tokens": 1_200,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 50},
}
ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "message_generation": {
        "action": "send",
        "messages": ["So good to hear from you today!"],
        "language": "en",
        "claims": [],
        "reason": "The fan said hello.",
    },
    "content_validation": {"verdict": "approve", "reasons": []},
    "content_planning": {
        "summary": "Music first.",
        "items": [
            {"topic": "music", "format": "video", "when": "evening", "why": "x", "evidence": []}
        ],
    },
    "campaign_execution": {
        "summary": "Done.",
        "members": 0,
        "sent": 0,
        "failed": 0,
        "skipped": 0,
        "observations": [],
        "nextSteps": [],
    },
}
_FORMS: Final = (
    ("openai", re.compile(r"/v1/chat/completions")),
    ("azure-classic", re.compile(r"/openai/deployments/[\w.-]+/chat/completions")),
    ("azure-v1", re.compile(r"/openai/v1/chat/completions")),
)


class Next(NamedTuple):
    """What to do about one request."""

    behaviour: Behaviour = "answer"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    category: str = "violence"
    """Of a filter."""


class Request(NamedTuple):
    """What came."""

    form: Form
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ModelServer:
    """Its `answer` makes the content of an answer out of a request's body."""

    def __init__(self, model: str = MODEL, *, remembers: bool = True) -> None:
        self.model = model
        self._remembers = remembers
        self.requests: list[Request] = []
        self.answer: Callable[[dict[str, Any]], str] = canned
        self._next: deque[Next] = deque()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[Any]] = set()

    @property
    def origin(self) -> str:
        if self._server is None:
            raise RuntimeError("it has not begun")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def then(self, behaviour: Behaviour, *, times: int = 1, **more: Any) -> None:
        """Behave so for the next requests."""
        self._next.extend([Next(behaviour, **more)] * times)

    def status(self, status: int, *, times: int = 1, **headers: str) -> None:
        """Refuse the next requests so; `retry_after="7"` is a header."""
        listed = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        self.then("status", times=times, status=status, headers=listed)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in [*self._links]:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        if link is None:
            raise RuntimeError("no task")
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        form = _form(path)
        if form is None:
            return await _answer(writer, 404, _error("not_found", "no such route"))
        if not _may(form, path, headers):
            return await _answer(writer, 401, _error("invalid_api_key", "wrong key"))
        request = Request(form, path, headers, json.loads(content))
        if self._remembers:
            self.requests.append(request)
        return await self._behave(
            self._next.popleft() if self._next else Next(), request, reader, writer
        )

    async def _behave(
        self,
        what: Next,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        match what.behaviour:
            case "status":
                error = _error("refused", "prompt and key are not repeated")
                return await _answer(writer, what.status, error, what.headers)
            case "filter-prompt":
                return await _answer(writer, 400, _filtered(what.category))
            case "malformed":
                return await _answer(writer, 200, b'{"id": "x", "choices": [')
            case "html":
                return await _answer(writer, 200, b"<html>hello</html>", kind="text/html")
            case "no-choices":
                return await _answer(writer, 200, b'{"id": "x", "model": "m", "choices": []}')
            case "reset":
                writer.transport.abort()
                return False
            case "reset-late":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{")
                await writer.drain()
                writer.transport.abort()
                return False
            case "stall":
                await reader.read()  # until the client goes away
                return False
            case _:
                if what.behaviour == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                body = self._completion(what, request)
                pause = DRIP_SECONDS if what.behaviour == "drip" else 0.0
                return await _answer(writer, 200, body, pause=pause)

    def _completion(self, what: Next, request: Request) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "refusal": None}
        message["content"] = self.answer(request.body)
        finish = "stop"
        choice: dict[str, Any] = {"index": 0, "logprobs": None}
        match what.behaviour:
            case "filter-answer":
                finish, message["content"] = "content_filter", None
                choice["content_filter_results"] = _categories(what.category)
            case "length":
                finish, message["content"] = "length", message["content"][:10]
            case "refusal":
                message |= {"content": None, "refusal": "I can't help with that."}
            case "no-json":
                message["content"] = "Sure! Here is what you asked for."
            case "wrong-shape":
                message["content"] = '{"action": "shout", "sentinel-of-the-model": 1}'
            case _:
                pass
        choice |= {"finish_reason": finish, "message": message}
        body: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_764_300_000,
            "model": self.model,
            "choices": [choice],
        }
        if what.behaviour != "no-usage":
            body["usage"] = USAGE
        return json.dumps(body).encode()


@asynccontextmanager
async def running(model: str = MODEL) -> AsyncIterator[ModelServer]:
    server = ModelServer(model)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextmanager
def apart() -> Iterator[str]:
    """The origin of one in a process of its own, which only answers."""
    code = "import asyncio; from lab.model_server import serve; asyncio.run(serve())"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        yield (child.stdout.readline() if child.stdout else "").strip()
    finally:
        child.kill()
        child.communicate()


async def serve() -> None:
    """Answer until the process ends; the origin is printed. Nothing is remembered."""
    server = ModelServer(remembers=False)
    await server.start()
    print(server.origin, flush=True)
    await asyncio.Event().wait()


def canned(body: dict[str, Any]) -> str:
    """An answer that fits the schema that was named."""
    return json.dumps(ANSWERS[body["response_format"]["json_schema"]["name"]])


def _form(path: str) -> Form | None:
    plain = urlsplit(path).path
    found: Any = next((form for form, pattern in _FORMS if pattern.fullmatch(plain)), None)
    return found  # type: ignore[no-any-return]


def _may(form: Form, path: str, headers: dict[str, str]) -> bool:
    if form == "azure-classic":
        return headers.get("api-key") == KEY and "api-version" in parse_qs(urlsplit(path).query)
    return headers.get("authorization") == f"Bearer {KEY}"


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "type": code}}).encode()


def _categories(filtered: str) -> dict[str, Any]:
    harms = ("hate", "self_harm", "sexual", "violence")
    found: dict[str, Any] = {name: {"filtered": False, "severity": "safe"} for name in harms}
    if filtered == "jailbreak":
        return found | {"jailbreak": {"filtered": True, "detected": True}}
    return found | {filtered: {"filtered": True, "severity": "high"}}


def _filtered(category: str) -> bytes:
    inner = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": _categories(category),
    }
    error = {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": inner,
    }
    return json.dumps({"error": error}).encode()


async def _answer(
    writer: asyncio.StreamWriter,
    status: int,
    body: bytes,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    kind: str = "application/json",
    pause: float = 0.0,
) -> bool:
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    writer.write(("\r\n".join(lines) + "\r\nx-request-id: req-1\r\n\r\n").encode())
    if not pause:
        writer.write(body)
        await writer.drain()
        return True
    for at in range(len(body)):
        writer.write(body[at : at + 1])
        await writer.drain()
        await asyncio.sleep(pause)
    return True
