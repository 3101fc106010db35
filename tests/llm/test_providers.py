"""OpenAI and both forms of Azure against a server that fails in every way, over real sockets."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from lab.model_server import KEY, Behaviour, ModelServer, running
from llm.outcomes import Answered, CutShort, Invalid, Outcome, Refused, name_of, outcome
from llm.prices import Prices
from llm.prompts import compose
from llm.providers import open_providers
from llm.providers.failures import category_of, retry_after
from llm.results import Reply
from schemas.errors import (
    AzureExecutionError,
    Misconfigured,
    OpenAIExecutionError,
    ProviderFailed,
    ProviderTimeout,
)
from schemas.usage import Usage
from tests.llm.material import material

FORMS = ("openai", "azure-classic", "azure-v1")
COUNTED = Usage(input=1_000, cached=400, output=200, reasoning=50)
SENTINEL = "Zaubernuss"
"""Of the fan's text: it must turn up in the request and nowhere else."""


def settings_of(form: str, server: ModelServer, **more: Any) -> Settings:
    if form == "openai":
        given: dict[str, Any] = {
            "openai_api_key": SecretStr(KEY),
            "openai_base_url": f"{server.origin}/v1",
        }
    else:
        given = {
            "azure_api_key": SecretStr(KEY),
            "azure_endpoint": server.origin,
            "azure_deployment": "drafts",
            "azure_deployments": "drafts=gpt-4o-mini*1.1",
            "azure_api_version": "2024-10-21" if form == "azure-classic" else "",
        }
    return Settings(**(given | more))


class Asked:
    """One provider in one form, and its server."""

    def __init__(self, form: str, server: ModelServer) -> None:
        self.form = form
        self.server = server
        self.settings = settings_of(form, server)
        self.prompt = compose(material(("fan", f"hello, do you like {SENTINEL}?")))
        ((self.name, self.provider),) = open_providers(self.settings).items()
        self.error: type[ProviderFailed] = (
            OpenAIExecutionError if form == "openai" else AzureExecutionError
        )

    async def fails(self, deadline_seconds: float = 5.0) -> ProviderFailed:
        with pytest.raises(ProviderFailed) as raised:
            await self.provider.complete(self.prompt, deadline_seconds=deadline_seconds)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__ or raised.value.__context__ is None
        return raised.value

    async def comes_to(self) -> Outcome:
        completion = await self.provider.complete(self.prompt)
        assert completion.usage == COUNTED
        return outcome(self.prompt.type, completion)


@pytest.fixture(params=FORMS)
async def asked(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    async with running() as server:
        made = Asked(request.param, server)
        yield made
        await made.provider.close()


async def test_an_answer_comes_back_with_model_usage_and_request_id(asked: Asked) -> None:
    completion = await asked.provider.complete(asked.prompt)
    found = outcome(asked.prompt.type, completion)
    assert isinstance(found, Answered)
    assert isinstance(found.result, Reply)
    assert completion.model == "gpt-4o-mini-2024-07-18"
    assert completion.usage == COUNTED
    assert completion.request_id == "req-1"
    (request,) = asked.server.requests
    assert request.form == asked.form


async def test_what_is_asked_is_the_prompt_and_its_schema_and_nothing_is_stored(
    asked: Asked,
) -> None:
    await asked.provider.complete(asked.prompt)
    ((_, path, headers, body),) = asked.server.requests
    assert [message["content"] for message in body["messages"]] == [
        asked.prompt.system,
        asked.prompt.user,
    ]
    assert body["response_format"]["json_schema"] == {
        "name": "message_generation",
        "strict": True,
        "schema": asked.prompt.schema,
    }
    assert "tools" not in body
    if asked.form == "openai":
        assert body["store"] is False
        assert body["max_completion_tokens"] == asked.prompt.max_tokens
        assert body["model"] == "gpt-4o-mini"
    else:
        assert "store" not in body
        assert body["max_tokens"] == asked.prompt.max_tokens
        assert body["model"] == "drafts"
    assert ("api-key" in headers) is (asked.form == "azure-classic")
    assert ("api-version=2024-10-21" in path) is (asked.form == "azure-classic")


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (400, "validation", False),
        (401, "auth", False),
        (403, "auth", False),
        (404, "validation", False),
        (408, "timeout", True),
        (409, "validation", False),
        (413, "validation", False),
        (422, "validation", False),
        (429, "rate_limit", True),
        (500, "unknown", True),
        (502, "unknown", True),
        (503, "unknown", True),
    ],
)
async def test_error_classification(asked: Asked, status: int, code: str, again: bool) -> None:
    asked.server.status(status, retry_after="7")
    failed = await asked.fails()
    assert type(failed) is asked.error
    assert (failed.code, failed.http_status, failed.can_retry) == (code, status, again)
    assert failed.retry_after == (7.0 if again else None)
    assert len(asked.server.requests) == 1, "the SDK tried again"
    assert Prices(asked.settings).of_failure(failed, asked.prompt, asked.provider.name).amount == 0


@pytest.mark.parametrize("behaviour", ["malformed", "html", "no-choices"])
async def test_a_malformed_200_is_tried_again_and_may_have_been_billed(
    asked: Asked, behaviour: Behaviour
) -> None:
    asked.server.then(behaviour)
    failed = await asked.fails()
    assert type(failed) is asked.error
    assert (failed.code, failed.can_retry, failed.sent) == ("unknown", True, True)
    cost = Prices(asked.settings).of_failure(failed, asked.prompt, asked.provider.name)
    assert cost.unknown
    assert cost.amount > 0


@pytest.mark.parametrize("behaviour", ["reset", "reset-late"])
async def test_retry_on_network_error(asked: Asked, behaviour: Behaviour) -> None:
    """A reset after the request is tried again; whether it was billed nobody knows."""
    asked.server.then(behaviour)
    failed = await asked.fails()
    assert (failed.code, failed.can_retry, failed.sent) == ("network", True, True)
    assert type(failed) is asked.error


async def test_a_server_that_is_not_there_was_surely_not_asked(asked: Asked) -> None:
    await asked.server.stop()
    failed = await asked.fails()
    assert (failed.code, failed.can_retry, failed.sent) == ("network", True, False)
    assert Prices(asked.settings).of_failure(failed, asked.prompt, asked.provider.name).amount == 0


@pytest.mark.parametrize("behaviour", ["drip", "stall"])
async def test_timeout_management(asked: Asked, behaviour: Behaviour) -> None:
    """The deadline is that of the whole attempt: a byte now and then does not keep it alive."""
    asked.server.then(behaviour)
    began = time.monotonic()
    failed = await asked.fails(deadline_seconds=0.3)
    assert time.monotonic() - began < 3.0
    assert type(failed) is ProviderTimeout
    assert failed.name == "TimeoutError"
    assert (failed.code, failed.can_retry, failed.provider) == ("timeout", True, asked.name)
    cost = Prices(asked.settings).of_failure(failed, asked.prompt, asked.provider.name)
    assert cost.unknown
    assert cost.amount > 0


def test_the_deadlines_of_an_attempt_are_those_of_the_contract() -> None:
    settings = Settings()
    assert (settings.openai_seconds_max, settings.azure_seconds_max) == (30.0, 45.0)


@pytest.mark.parametrize("category", ["violence", "jailbreak", "self_harm"])
async def test_a_filter_before_the_model_costs_nothing_and_keeps_its_category(
    asked: Asked, category: str
) -> None:
    asked.server.then("filter-prompt", category=category)
    failed = await asked.fails()
    assert (failed.code, failed.category, failed.can_retry) == ("content_filter", category, False)
    assert failed.usage is None
    assert Prices(asked.settings).of_failure(failed, asked.prompt, asked.provider.name).amount == 0


async def test_a_filter_after_the_model_keeps_category_and_usage(asked: Asked) -> None:
    asked.server.then("filter-answer", category="sexual")
    failed = await asked.fails()
    assert (failed.code, failed.category, failed.can_retry) == ("content_filter", "sexual", False)
    assert failed.usage == COUNTED
    cost = Prices(asked.settings).of_failure(failed, asked.prompt, asked.provider.name)
    assert cost.amount > 0
    assert not cost.unknown


@pytest.mark.parametrize(
    ("behaviour", "kind", "name"),
    [
        ("refusal", Refused, "refused"),
        ("length", CutShort, "length"),
        ("no-json", Invalid, "invalid"),
        ("wrong-shape", Invalid, "invalid"),
    ],
)
async def test_refusal_length_and_invalid_are_outcomes_with_a_cost(
    asked: Asked, behaviour: Behaviour, kind: type[Outcome], name: str
) -> None:
    asked.server.then(behaviour)
    found = await asked.comes_to()
    assert (type(found), name_of(found)) == (kind, name)
    assert "sentinel-of-the-model" not in repr(found)


async def test_token_estimation(asked: Asked) -> None:
    """⌈characters / 4⌉ and marked, where the reply does not count."""
    asked.server.then("no-usage")
    completion = await asked.provider.complete(asked.prompt)
    assert completion.usage == Usage(
        input=-(-asked.prompt.characters // 4), output=-(-len(completion.text) // 4), estimated=True
    )


async def test_data_sanitization(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    """No key, prompt, fan text or model's word in any error or log line, even at DEBUG."""
    caplog.set_level(logging.DEBUG)
    said_wrongly: tuple[Behaviour, ...] = (
        "malformed", "reset", "filter-prompt", "filter-answer", "html",
    )  # fmt: skip
    for behaviour in said_wrongly:
        asked.server.then(behaviour)
    asked.server.status(400)
    asked.server.status(401)
    for _ in range(7):
        failed = await asked.fails()
        said = f"{failed} {failed!r} {failed.args} {vars(failed)}"
        for secret in (KEY, SENTINEL, asked.prompt.canary, "not repeated"):
            assert secret not in said
    ours = [line for line in caplog.records if line.name.partition(".")[0] in ("llm", "infra")]
    for secret in (KEY, SENTINEL, asked.prompt.canary):
        assert secret not in "".join(line.getMessage() for line in ours)


async def test_a_cancelled_call_is_cancelled_and_no_failure() -> None:
    async with running() as server:
        made = Asked("openai", server)
        server.then("stall")
        task = asyncio.create_task(made.provider.complete(made.prompt))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await made.provider.close()


async def test_newer_models_of_azure_are_asked_with_the_newer_name_of_the_bound() -> None:
    async with running() as server:
        settings = settings_of("azure-v1", server, azure_deployments="drafts=gpt-5-mini")
        (provider,) = open_providers(settings).values()
        prompt = compose(material(("fan", "hi")))
        await provider.complete(prompt)
        assert server.requests[0].body["max_completion_tokens"] == prompt.max_tokens
        assert "max_tokens" not in server.requests[0].body
        await provider.close()


def test_without_a_key_the_template_answers_and_with_keys_it_does_not() -> None:
    assert [*open_providers(Settings())] == ["template"]
    both = Settings(
        openai_api_key=SecretStr("a"),
        azure_api_key=SecretStr("b"),
        azure_endpoint="https://x.example",
        azure_deployment="d",
        azure_deployments="d=gpt-4o",
    )
    assert [*open_providers(both)] == ["openai", "azure"]


def test_an_azure_key_without_its_endpoint_or_model_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="azure_endpoint"):
        Settings(azure_api_key=SecretStr("b"))
    settings = Settings(azure_api_key=SecretStr("b"), azure_endpoint="https://x.example")
    with pytest.raises(Misconfigured):
        open_providers(settings)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Sat, 28 Nov 2026 10:00:30 GMT"}, 30.0),
        ({"retry-after": "Sat, 28 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_nonsense_is_nothing(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, 1_795_860_000.0) == seconds


@pytest.mark.parametrize(
    ("found", "category"),
    [
        (None, "other"),
        ({"violence": {"filtered": False}}, "other"),
        ({"somethingNew": {"filtered": True}}, "other"),
        ([{"a": [{"hate": {"filtered": True}}]}], "hate"),
        ({"jailbreak": {"detected": True}}, "jailbreak"),
        ({"jailbreak": {"detected": True, "filtered": False}}, "other"),
    ],
)
def test_a_category_is_one_that_is_known_or_other(found: object, category: str) -> None:
    assert category_of(found) == category
