"""One call of chat completions under one deadline, and what became of it.

The SDK's retries are off and its timeouts are those of connecting only: they count per read, and a
server that sends a byte a second would never reach them. The deadline is `asyncio.timeout` around
everything. The answer's JSON is checked in `llm.results`, not by the SDK, whose `parse` loses the
usage of what it rejects.

TLS uses the system's trust store.
"""

import asyncio
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Final

import httpx2
from openai import OpenAIError

from llm.prompts import Prompt
from llm.providers import Completion, Finish, ProviderName
from llm.providers.failures import described, failed, filtered
from schemas.errors import ProviderFailed
from schemas.usage import Usage, estimate

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS_MAX: Final = 10.0
CALLS_MAX: Final = 200
"""Connections of one client: more calls at once than workflows run at once."""
FINISHES: Final[dict[str, Finish]] = {"stop": "stop", "length": "length", "tool_calls": "stop"}


def http_client() -> httpx2.AsyncClient:
    """What the SDK sends with. Redirects are not followed: they would carry the key elsewhere."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS_MAX),
        limits=httpx2.Limits(max_connections=CALLS_MAX, max_keepalive_connections=CALLS_MAX),
        follow_redirects=False,
    )


class Chat:
    """What OpenAI and Azure have in common."""

    name: ProviderName
    error: type[ProviderFailed]

    def __init__(
        self, client: "AsyncOpenAI", model: str, seconds_max: float, *, asked_as: str | None = None
    ) -> None:
        """`asked_as` is what the request calls the model, where that is a deployment's name."""
        self.model = model
        self.seconds_max = seconds_max
        self._client = client
        self._asked_as = asked_as or model

    def options(self, prompt: Prompt) -> dict[str, Any]:
        """What the request says beside its messages and schema."""
        raise NotImplementedError

    async def complete(
        self, prompt: Prompt, *, deadline_seconds: float | None = None
    ) -> Completion:
        limit = self.seconds_max if deadline_seconds is None else deadline_seconds
        request = self._request(prompt)
        try:
            async with asyncio.timeout(limit):
                reply = await self._client.chat.completions.create(**request)
        except (
            OpenAIError,
            httpx2.HTTPError,
            TimeoutError,
            UnicodeError,
            JSONDecodeError,
        ) as error:
            raise failed(error, self.name, self.error) from None
        try:
            return self._read(reply, prompt)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            # A 200 that is no completion: the SDK builds its objects out of whatever came.
            raise failed(error, self.name, self.error) from None

    async def close(self) -> None:
        await self._client.close()

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        form = {"name": prompt.type, "strict": True, "schema": prompt.schema}
        return {
            "model": self._asked_as,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            "response_format": {"type": "json_schema", "json_schema": form},
            **self.options(prompt),
        }

    def _read(self, reply: Any, prompt: Prompt) -> Completion:
        choice = reply.choices[0]
        refusal = choice.message.refusal
        text = choice.message.content or ""
        if not isinstance(text, str) or not isinstance(reply.model, str):
            raise TypeError("no chat completion")
        usage = usage_of(reply.usage, prompt, text + (refusal or ""))
        if choice.finish_reason == "content_filter":
            raise filtered(described(choice), self.name, self.error, usage)
        finish: Finish = "refusal" if refusal else FINISHES[choice.finish_reason]
        return Completion(text, reply.model, usage, finish, getattr(reply, "_request_id", None))


def usage_of(counted: Any, prompt: Prompt, answered: str) -> Usage:
    """As the reply counts, else estimated from the characters."""
    if counted is None or not counted.prompt_tokens:
        return estimate(prompt.characters, len(answered))
    asked, given = counted.prompt_tokens_details, counted.completion_tokens_details
    used = counted.prompt_tokens, counted.completion_tokens or 0
    return Usage(
        input=used[0],
        cached=min((asked and asked.cached_tokens) or 0, used[0]),
        output=used[1],
        reasoning=min((given and given.reasoning_tokens) or 0, used[1]),
    )
