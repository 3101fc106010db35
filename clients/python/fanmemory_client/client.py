"""The two clients: the same calls, waiting and not waiting."""

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from functools import update_wrapper
from typing import Any, Final, Generic, Literal, ParamSpec, Self, TypeAlias, TypeVar, overload

import httpx2
import msgspec

from fanmemory_client import calls, models
from fanmemory_client.calls import Answer, Call, Steps, Told
from fanmemory_client.errors import FanMemoryError, NoAnswer, RateLimited, Unavailable, error_of
from fanmemory_client.retrying import Attempts, Policy

P = ParamSpec("P")
T = TypeVar("T")
Described: TypeAlias = Call[T] | Steps[T]
Token: TypeAlias = str | Callable[[], str]
"""A bearer token, or what gives one for each attempt."""

LOST: Final = (httpx2.TransportError, TimeoutError)
JSON: Final = "application/json"
SILENT_SECONDS_MAX: Final = 45.0
"""Of a stream, which says every 15 s that it is there."""


class Blocking(Generic[P, T]):
    """A call as a method that waits."""

    def __init__(self, describe: Callable[P, Described[T]]) -> None:
        self._describe = describe
        update_wrapper(self, describe)  # type: ignore[arg-type] # it is called like it

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(self, client: "FanMemory", owner: object) -> Callable[P, T]: ...
    def __get__(self, client: "FanMemory | None", owner: object) -> Self | Callable[P, T]:
        if client is None:
            return self
        ask = client.ask
        return lambda *args, **kwargs: ask(self._describe(*args, **kwargs))


class Awaited(Generic[P, T]):
    """A call as a method to be awaited."""

    def __init__(self, describe: Callable[P, Described[T]]) -> None:
        self._describe = describe
        update_wrapper(self, describe)  # type: ignore[arg-type] # it is called like it

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(
        self, client: "AsyncFanMemory", owner: object
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(
        self, client: "AsyncFanMemory | None", owner: object
    ) -> Self | Callable[P, Coroutine[Any, Any, T]]:
        if client is None:
            return self
        ask = client.ask
        return lambda *args, **kwargs: ask(self._describe(*args, **kwargs))


class _Settings:
    """What both clients are given."""

    def __init__(self, base_url: str, token: Token, policy: Policy) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._policy = policy

    def _attempts(self, call: Call[Any]) -> Attempts:
        return Attempts(self._policy, time.monotonic(), repeatable=call.repeatable)

    def _request(self, call: Call[Any], left: float) -> dict[str, Any]:
        token = self._token if isinstance(self._token, str) else self._token()
        headers = {"authorization": f"Bearer {token}", **call.headers}
        if call.body is not None:
            headers["content-type"] = JSON
        return {
            "method": call.method,
            "url": self._base_url + call.path,
            "params": dict(call.query),
            "headers": headers,
            "content": call.body,
            "timeout": left,
        }


def _export(creator_id: str, fan_id: str) -> Call[None]:
    query = {"creatorId": creator_id, "fanId": fan_id}
    return Call("GET", f"{calls.MEMORY}/export", lambda answer: None, query=query)


def _stream(creator_id: str, fan_id: str | None, last: str | None) -> Call[None]:
    query = {"creatorId": creator_id} | ({} if fan_id is None else {"fanId": fan_id})
    headers = {} if last is None else {"last-event-id": last}
    return Call("GET", f"{calls.MEMORY}/stream", lambda answer: None, query=query, headers=headers)


def _told(event: httpx2.ServerSentEvent) -> Told | None:
    """None for what only says that the stream is alive, and for what a newer service may say."""
    if event.event == "reset":
        return Told("reset", event.id, reason=decode_reset(event.data)["reason"])
    if event.event in ("update", "erased"):
        kind: Literal["update", "erased"] = "update" if event.event == "update" else "erased"
        return Told(kind, event.id, update=decode_update(event.data))
    if event.event == "budget":
        return Told("budget", event.id, budget=decode_budget(event.data))
    return None


decode_update = msgspec.json.Decoder(models.MemoryUpdate).decode
decode_budget = msgspec.json.Decoder(models.BudgetAlert).decode
decode_reset = msgspec.json.Decoder(dict[str, str]).decode


def _headers(response: httpx2.Response) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _no_answer() -> NoAnswer:
    return NoAnswer("There was no answer.")


class FanMemory(_Settings):
    """Waits for each call. Close it, or use it in a `with`."""

    def __init__(
        self,
        base_url: str,
        token: Token,
        *,
        policy: Policy | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(base_url, token, policy or Policy())
        self._http = httpx2.Client(transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ask(self, described: Described[T]) -> T:
        """The result of what `fanmemory_client.calls` describes. Raises `FanMemoryError`."""
        if isinstance(described, Call):
            return described.result(self._answer(described))
        try:
            call = next(described)
            while True:
                call = described.send(call.result(self._answer(call)))
        except StopIteration as ended:
            result: T = ended.value
            return result

    def _answer(self, call: Call[Any]) -> Answer:
        attempts = self._attempts(call)
        while True:
            try:
                answer = self._attempt(call, attempts)
            except LOST as error:
                pause = attempts.pause_after(time.monotonic())
                if pause is None:
                    raise _no_answer() from error
            else:
                after = answer.headers.get("retry-after")
                pause = attempts.pause_after(time.monotonic(), answer.status, after)
                if pause is None:
                    return answer
            time.sleep(pause)

    def _attempt(self, call: Call[Any], attempts: Attempts) -> Answer:
        left = attempts.left(time.monotonic())
        end, parts = time.monotonic() + left, []
        with self._http.stream(**self._request(call, left)) as response:
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > end:
                    raise TimeoutError
            return Answer(response.status_code, _headers(response), b"".join(parts))

    @contextmanager
    def export(self, creator_id: str, fan_id: str) -> Iterator[Iterator[bytes]]:
        """Everything that is remembered of a fan, as it is written: JSON, in parts.

        Not tried again; the deadline holds for each part.
        """
        request = self._request(_export(creator_id, fan_id), self._policy.deadline)
        try:
            with self._http.stream(**request) as response:
                if response.status_code != 200:
                    raise error_of(response.status_code, _headers(response), response.read())
                yield response.iter_bytes()
        except LOST as error:
            raise _no_answer() from error

    def stream(
        self, creator_id: str, fan_id: str | None = None, *, last: str | None = None
    ) -> Generator[Told, None, None]:
        """What moves in the memory of a creator's fans, or of one, as it does.

        Goes on when a connection ends, behind what it told `last`. Ends by raising
        `FanMemoryError`: when the token is no longer good, or nothing can be had
        `Policy.attempts` times in a row.
        """
        failed = 0
        while True:
            request = self._request(_stream(creator_id, fan_id, last), SILENT_SECONDS_MAX)
            error: FanMemoryError = _no_answer()
            try:
                with self._http.stream(**request) as response:
                    if response.status_code != 200:
                        body = response.read()
                        raise error_of(response.status_code, _headers(response), body)
                    for event in httpx2.EventSource(response):
                        failed = 0
                        last = event.id or last
                        told = _told(event)
                        if told is not None:
                            yield told
            except LOST:
                failed += 1
            except (Unavailable, RateLimited) as refused:
                error, failed = refused, failed + 1
            if failed >= self._policy.attempts:
                raise error
            time.sleep(self._policy.pause_after(max(failed, 1)))

    def all_workflows(
        self, *, creator_id: str | None = None, state: str | None = None
    ) -> Iterator[models.WorkflowSummary]:
        """The newest first, page by page."""
        cursor: str | None = None
        while True:
            page = self.workflows(creator_id=creator_id, state=state, cursor=cursor)
            yield from page.workflows
            cursor = page.next_cursor
            if cursor is None:
                return

    context = Blocking(calls.context)
    engagement_score = Blocking(calls.engagement_score)
    explain = Blocking(calls.explain)
    contexts = Blocking(calls.contexts)
    changes = Blocking(calls.changes)
    fans = Blocking(calls.fans)
    messages = Blocking(calls.messages)
    purchases = Blocking(calls.purchases)
    what_if = Blocking(calls.what_if)
    stream_ticket = Blocking(calls.stream_ticket)
    save = Blocking(calls.save)
    save_all = Blocking(calls.save_all)
    event = Blocking(calls.event)
    refused = Blocking(calls.refused)
    clear = Blocking(calls.clear)
    erasure = Blocking(calls.erasure)
    receipt = Blocking(calls.receipt)
    forget = Blocking(calls.forget)
    forgetting = Blocking(calls.forgetting)
    forgetting_receipt = Blocking(calls.forgetting_receipt)
    receipt_keys = Blocking(calls.receipt_keys)
    retention = Blocking(calls.retention)
    set_retention = Blocking(calls.set_retention)
    suppression = Blocking(calls.suppression)
    suppress = Blocking(calls.suppress)
    unsuppress = Blocking(calls.unsuppress)
    start_workflow = Blocking(calls.start_workflow)
    workflows = Blocking(calls.workflows)
    workflow = Blocking(calls.workflow)
    approve = Blocking(calls.approve)
    reject = Blocking(calls.reject)
    edit = Blocking(calls.edit)
    cancel = Blocking(calls.cancel)
    recompose = Blocking(calls.recompose)
    resolve = Blocking(calls.resolve)
    approve_several = Blocking(calls.approve_several)
    hold = Blocking(calls.hold)
    halt = Blocking(calls.halt)
    costs = Blocking(calls.costs)
    preview_campaign = Blocking(calls.preview_campaign)
    campaigns = Blocking(calls.campaigns)
    campaign = Blocking(calls.campaign)
    start_campaign = Blocking(calls.start_campaign)
    pause_campaign = Blocking(calls.pause_campaign)
    resume_campaign = Blocking(calls.resume_campaign)
    stop_campaign = Blocking(calls.stop_campaign)
    connections = Blocking(calls.connections)
    connection = Blocking(calls.connection)
    connect = Blocking(calls.connect)
    disconnect = Blocking(calls.disconnect)
    stats = Blocking(calls.stats)


class AsyncFanMemory(_Settings):
    """Each call is awaited. Close it, or use it in an `async with`."""

    def __init__(
        self,
        base_url: str,
        token: Token,
        *,
        policy: Policy | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(base_url, token, policy or Policy())
        self._http = httpx2.AsyncClient(transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, described: Described[T]) -> T:
        """The result of what `fanmemory_client.calls` describes. Raises `FanMemoryError`."""
        if isinstance(described, Call):
            return described.result(await self._answer(described))
        try:
            call = next(described)
            while True:
                call = described.send(call.result(await self._answer(call)))
        except StopIteration as ended:
            result: T = ended.value
            return result

    async def _answer(self, call: Call[Any]) -> Answer:
        attempts = self._attempts(call)
        while True:
            try:
                answer = await self._attempt(call, attempts)
            except LOST as error:
                pause = attempts.pause_after(time.monotonic())
                if pause is None:
                    raise _no_answer() from error
            else:
                after = answer.headers.get("retry-after")
                pause = attempts.pause_after(time.monotonic(), answer.status, after)
                if pause is None:
                    return answer
            await asyncio.sleep(pause)

    async def _attempt(self, call: Call[Any], attempts: Attempts) -> Answer:
        left = attempts.left(time.monotonic())
        async with asyncio.timeout(left):
            response = await self._http.request(**self._request(call, left))
        return Answer(response.status_code, _headers(response), response.content)

    @asynccontextmanager
    async def export(self, creator_id: str, fan_id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Everything that is remembered of a fan, as it is written: JSON, in parts.

        Not tried again; the deadline holds for each part.
        """
        request = self._request(_export(creator_id, fan_id), self._policy.deadline)
        try:
            async with self._http.stream(**request) as response:
                if response.status_code != 200:
                    body = await response.aread()
                    raise error_of(response.status_code, _headers(response), body)
                yield response.aiter_bytes()
        except LOST as error:
            raise _no_answer() from error

    async def stream(
        self, creator_id: str, fan_id: str | None = None, *, last: str | None = None
    ) -> AsyncGenerator[Told, None]:
        """What moves in the memory of a creator's fans, or of one, as it does.

        Goes on when a connection ends, behind what it told `last`. Ends by raising
        `FanMemoryError`: when the token is no longer good, or nothing can be had
        `Policy.attempts` times in a row.
        """
        failed = 0
        while True:
            request = self._request(_stream(creator_id, fan_id, last), SILENT_SECONDS_MAX)
            error: FanMemoryError = _no_answer()
            try:
                async with self._http.stream(**request) as response:
                    if response.status_code != 200:
                        body = await response.aread()
                        raise error_of(response.status_code, _headers(response), body)
                    async for event in httpx2.EventSource(response):
                        failed = 0
                        last = event.id or last
                        told = _told(event)
                        if told is not None:
                            yield told
            except LOST:
                failed += 1
            except (Unavailable, RateLimited) as refused:
                error, failed = refused, failed + 1
            if failed >= self._policy.attempts:
                raise error
            await asyncio.sleep(self._policy.pause_after(max(failed, 1)))

    async def all_workflows(
        self, *, creator_id: str | None = None, state: str | None = None
    ) -> AsyncIterator[models.WorkflowSummary]:
        """The newest first, page by page."""
        cursor: str | None = None
        while True:
            page = await self.workflows(creator_id=creator_id, state=state, cursor=cursor)
            for workflow in page.workflows:
                yield workflow
            cursor = page.next_cursor
            if cursor is None:
                return

    context = Awaited(calls.context)
    engagement_score = Awaited(calls.engagement_score)
    explain = Awaited(calls.explain)
    contexts = Awaited(calls.contexts)
    changes = Awaited(calls.changes)
    fans = Awaited(calls.fans)
    messages = Awaited(calls.messages)
    purchases = Awaited(calls.purchases)
    what_if = Awaited(calls.what_if)
    stream_ticket = Awaited(calls.stream_ticket)
    save = Awaited(calls.save)
    save_all = Awaited(calls.save_all)
    event = Awaited(calls.event)
    refused = Awaited(calls.refused)
    clear = Awaited(calls.clear)
    erasure = Awaited(calls.erasure)
    receipt = Awaited(calls.receipt)
    forget = Awaited(calls.forget)
    forgetting = Awaited(calls.forgetting)
    forgetting_receipt = Awaited(calls.forgetting_receipt)
    receipt_keys = Awaited(calls.receipt_keys)
    retention = Awaited(calls.retention)
    set_retention = Awaited(calls.set_retention)
    suppression = Awaited(calls.suppression)
    suppress = Awaited(calls.suppress)
    unsuppress = Awaited(calls.unsuppress)
    start_workflow = Awaited(calls.start_workflow)
    workflows = Awaited(calls.workflows)
    workflow = Awaited(calls.workflow)
    approve = Awaited(calls.approve)
    reject = Awaited(calls.reject)
    edit = Awaited(calls.edit)
    cancel = Awaited(calls.cancel)
    recompose = Awaited(calls.recompose)
    resolve = Awaited(calls.resolve)
    approve_several = Awaited(calls.approve_several)
    hold = Awaited(calls.hold)
    halt = Awaited(calls.halt)
    costs = Awaited(calls.costs)
    preview_campaign = Awaited(calls.preview_campaign)
    campaigns = Awaited(calls.campaigns)
    campaign = Awaited(calls.campaign)
    start_campaign = Awaited(calls.start_campaign)
    pause_campaign = Awaited(calls.pause_campaign)
    resume_campaign = Awaited(calls.resume_campaign)
    stop_campaign = Awaited(calls.stop_campaign)
    connections = Awaited(calls.connections)
    connection = Awaited(calls.connection)
    connect = Awaited(calls.connect)
    disconnect = Awaited(calls.disconnect)
    stats = Awaited(calls.stats)
