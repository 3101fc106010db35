"""The reference's twelve scenarios by name, over real sockets, with a clock that nobody waits for.

`Workflow` here is the least that can drive the rules: it asks whom the route names, within the
circuit, and moves its clock to when the next attempt is due. The real one keeps `due` in a row.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Final, NamedTuple

import pytest
from pydantic import SecretStr

from infra.logs import JsonLines
from infra.settings import Settings
from lab.model_server import KEY, USAGE, Behaviour, ModelServer, running
from llm.checks import check
from llm.outcomes import Answered, CutShort, Invalid, Refused, outcome
from llm.prices import LISTED, Prices
from llm.prompts import compose
from llm.providers import ProviderName, open_providers
from llm.results import Reply
from llm.retrying import (
    GiveUp,
    OtherProvider,
    RetryAt,
    Step,
    ToPerson,
    cooldown,
    next_step,
    parks,
)
from llm.routing import Routing
from schemas.errors import ProviderFailed
from schemas.usage import Usage
from tests.clock import Clock
from tests.llm.material import CREATOR, FAN, material

SENTINEL: Final = "Zaubernuss"


class Attempt(NamedTuple):
    """One call: when, whom, and what came of it."""

    at: float
    provider: ProviderName
    came_to: str


class Workflow:
    """Asks until there is an answer or nothing left to do."""

    def __init__(self, servers: dict[str, ModelServer], *, seconds_max: float = 5.0) -> None:
        self.servers = servers
        self.clock = Clock(0.0)
        settings = Settings(
            openai_api_key=SecretStr(KEY),
            openai_base_url=f"{servers['openai'].origin}/v1",
            azure_api_key=SecretStr(KEY),
            azure_endpoint=servers["azure"].origin,
            azure_deployment="drafts",
            azure_deployments="drafts=gpt-4o-mini*1.1",
            openai_seconds_max=seconds_max,
            azure_seconds_max=seconds_max,
        )
        self.prices = Prices(settings)
        self.routes = Routing(open_providers(settings), self.prices, settings, self.clock)
        self.material = material(("fan", f"hello, do you like {SENTINEL}?"))
        self.attempts: list[Attempt] = []
        self.cost = Decimal(0)
        self.cooling: dict[str, float] = {}
        self.parked: set[str] = set()
        self.jitter = 0.0

    async def run(self, forced: ProviderName | None = None) -> Step | Reply:
        """To its end."""
        tried: list[ProviderName] = []
        invalid = attempt = 0
        provider: ProviderName | None = None
        asked = self.material
        while True:
            cooling = {name: until - self.clock.now for name, until in self.cooling.items()}
            route = self.routes.route(
                "message_generation", forced=forced, cooling=cooling,
                parked=self.parked, tried=tried,
            )  # fmt: skip
            if not route.providers:
                if not route.wait_seconds:
                    return GiveUp("no provider")
                self.clock.now += route.wait_seconds
                continue
            chosen = provider if provider in route.providers else route.providers[0]
            attempt = attempt + 1 if chosen == provider else 1
            provider = chosen
            prompt = compose(asked)
            client = self.routes.providers[provider]
            try:
                done = await self.routes.call(provider, lambda: client.complete(prompt))  # noqa: B023
            except ProviderFailed as failure:
                self._note(provider, failure.code)
                self.cost += self.prices.of_failure(failure, prompt, provider).amount
                cool = cooldown(failure, attempt)
                if cool is not None:
                    self.cooling[provider] = self.clock.now + cool
                if parks(failure):
                    self.parked.add(provider)
                others = self.routes.route(
                    "message_generation", forced=forced, cooling=cooling,
                    parked=self.parked, tried=(*tried, provider),
                )  # fmt: skip
                step = next_step(failure, attempt, self.jitter, other=bool(others.providers))
                if isinstance(step, RetryAt):
                    self.clock.now += step.seconds
                elif isinstance(step, OtherProvider):
                    tried.append(provider)
                else:
                    return step
                continue
            self.cost += self.prices.of_completion(done, provider).amount
            found = outcome(asked.type, done)
            self._note(provider, type(found).__name__)
            if isinstance(found, Answered):
                assert isinstance(found.result, Reply)
                return found.result
            if isinstance(found, Invalid) and invalid == 0:
                invalid += 1
                asked = material(("fan", "hello"), problems=found.problems)
                continue
            return GiveUp(type(found).__name__)

    def _note(self, provider: ProviderName, came_to: str) -> None:
        self.attempts.append(Attempt(round(self.clock.now, 3), provider, came_to))

    def times(self) -> list[float]:
        return [attempt.at for attempt in self.attempts]

    def said(self) -> list[tuple[str, str]]:
        return [(attempt.provider, attempt.came_to) for attempt in self.attempts]


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, ModelServer]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(running()) for name in ("openai", "azure")}


@pytest.fixture
async def workflow(servers: dict[str, ModelServer]) -> AsyncIterator[Workflow]:
    made = Workflow(servers)
    yield made
    await made.routes.close()


async def test_retry_on_timeout(servers: dict[str, ModelServer]) -> None:
    workflow = Workflow(servers, seconds_max=0.3)
    for behaviour in ("stall", "drip"):
        servers["openai"].then(behaviour)
    assert isinstance(await workflow.run(), Reply)
    assert workflow.said() == [("openai", "timeout")] * 2 + [("openai", "Answered")]
    assert workflow.times() == [0.0, 1.0, 3.0]
    await workflow.routes.close()


async def test_retry_on_rate_limit(workflow: Workflow) -> None:
    """After what it asked for, where that is longer than our pause."""
    workflow.servers["openai"].status(429, retry_after="7")
    workflow.servers["openai"].status(429, retry_after="0.5")
    workflow.servers["openai"].status(429, retry_after="600")
    assert isinstance(await workflow.run(forced="openai"), Reply)
    assert workflow.times() == [0.0, 7.0, 9.0, 69.0]
    assert workflow.routes.breakers()["openai"].failures == 0


async def test_a_provider_that_cools_down_leaves_new_work_to_the_other(workflow: Workflow) -> None:
    workflow.servers["openai"].status(429, retry_after="7")
    workflow.cooling["openai"] = 30.0
    assert isinstance(await workflow.run(), Reply)
    assert workflow.said() == [("azure", "Answered")]


@pytest.mark.parametrize("behaviour", ["reset", "reset-late"])
async def test_retry_on_network_error(workflow: Workflow, behaviour: Behaviour) -> None:
    workflow.servers["openai"].then(behaviour, times=3)
    assert isinstance(await workflow.run(), Reply)
    assert workflow.said() == [("openai", "network")] * 3 + [("openai", "Answered")]
    assert workflow.times() == [0.0, 1.0, 3.0, 8.0]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_no_retry_on_validation_error(workflow: Workflow, status: int) -> None:
    workflow.servers["openai"].status(status, times=4)
    assert await workflow.run(forced="openai") == GiveUp("validation")
    assert workflow.said() == [("openai", "validation")]
    assert workflow.cost == 0


@pytest.mark.parametrize("status", [500, 503, 408])
async def test_max_retries_exceeded(workflow: Workflow, status: int) -> None:
    """Four attempts, then an end."""
    workflow.servers["azure"].status(status, times=9)
    step = await workflow.run(forced="azure")
    assert step == GiveUp("timeout" if status == 408 else "unknown")
    assert len(workflow.attempts) == len(workflow.servers["azure"].requests) == 4


async def test_exponential_backoff(workflow: Workflow) -> None:
    """1, 2, 5 s, each up to 10 % longer."""
    workflow.servers["openai"].status(503, times=3)
    workflow.jitter = 0.5
    assert isinstance(await workflow.run(), Reply)
    assert workflow.times() == [0.0, 1.05, 3.15, 8.4]


async def test_cost_tracking(workflow: Workflow) -> None:
    """Every attempt that was answered is paid for, an invalid one too; refused ones are not."""
    server = workflow.servers["openai"]
    server.status(429)
    server.then("wrong-shape")
    server.status(500)
    assert isinstance(await workflow.run(), Reply)
    assert workflow.said() == [
        ("openai", "rate_limit"), ("openai", "Invalid"), ("openai", "unknown"),
        ("openai", "Answered"),
    ]  # fmt: skip
    one = workflow.prices.cost(
        "gpt-4o-mini-2024-07-18",
        Usage(input=1_000, cached=400, output=200, reasoning=50),
        provider="openai",
    )
    assert one.price_version == LISTED
    assert workflow.cost == 2 * one.amount == Decimal("0.00048")
    assert USAGE["total_tokens"] == 1_200


async def test_token_estimation(workflow: Workflow) -> None:
    """Real counts where there are any, else a token per four characters, rounded up."""
    workflow.servers["openai"].then("no-usage")
    client = workflow.routes.providers["openai"]
    prompt = compose(workflow.material)
    guessed = await client.complete(prompt)
    assert guessed.usage.estimated
    assert guessed.usage.total == -(-prompt.characters // 4) + -(-len(guessed.text) // 4)
    counted = await client.complete(prompt)
    assert not counted.usage.estimated
    assert counted.usage.total == 1_200


async def test_error_classification(workflow: Workflow) -> None:
    """Each failure is of one class, and what it is not is no answer."""
    server = workflow.servers["openai"]
    client = workflow.routes.providers["openai"]
    classes: list[tuple[int, str]] = [
        (400, "validation"), (401, "auth"), (403, "auth"), (404, "validation"), (408, "timeout"),
        (422, "validation"), (429, "rate_limit"), (500, "unknown"), (503, "unknown"),
    ]  # fmt: skip
    for status, _ in classes:
        server.status(status)
    server.then("filter-prompt", category="jailbreak")
    server.then("filter-answer", category="sexual")
    found: list[str] = []
    for _ in range(len(classes) + 2):
        with pytest.raises(ProviderFailed) as raised:
            await client.complete(compose(workflow.material))
        found.append(raised.value.code)
    assert found == [code for _, code in classes] + ["content_filter"] * 2
    outcomes: list[tuple[Behaviour, type]] = [("refusal", Refused), ("length", CutShort)]
    for behaviour, kind in outcomes:
        server.then(behaviour)
        done = await client.complete(compose(workflow.material))
        assert type(outcome("message_generation", done)) is kind


async def test_data_sanitization(workflow: Workflow, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens, no log line as we write them has a key, an id, a prompt or a word."""
    caplog.set_level(logging.DEBUG)
    server = workflow.servers["openai"]
    for behaviour in ("malformed", "reset", "wrong-shape", "no-json"):
        server.then(behaviour)
    step = await workflow.run(forced="openai")
    server.status(401)
    assert await workflow.run(forced="openai") == GiveUp("auth")
    written = "\n".join(JsonLines("llm").format(line) for line in caplog.records)
    canary = compose(workflow.material).canary
    for secret in (KEY, SENTINEL, canary, FAN, CREATOR, "sentinel-of-the-model", "Sure! Here"):
        assert secret not in written
        assert secret not in repr(step)


async def test_timeout_management(servers: dict[str, ModelServer]) -> None:
    """The whole attempt has one deadline, per provider, and its cut is counted at the most."""
    workflow = Workflow(servers, seconds_max=0.2)
    for server in servers.values():
        server.then("drip", times=4)
    step = await workflow.run()
    assert step == GiveUp("timeout")
    assert [who for who, _ in workflow.said()] == ["openai"] * 4 + ["azure"] * 4
    prompt = compose(workflow.material)
    most = [
        workflow.prices.upper_bound(prompt, provider=name).amount for name in ("openai", "azure")
    ]
    assert workflow.cost == 4 * sum(most)
    assert (Settings().openai_seconds_max, Settings().azure_seconds_max) == (30, 45)
    await workflow.routes.close()


async def test_fallback_strategy(workflow: Workflow) -> None:
    """After the last attempt, or at once for a refused key or an open circuit; never if forced."""
    workflow.servers["openai"].status(503, times=4)
    found = await workflow.run()
    assert isinstance(found, Reply)
    assert workflow.said() == [("openai", "unknown")] * 4 + [("azure", "Answered")]
    workflow.attempts.clear()
    workflow.servers["openai"].status(500)
    with pytest.raises(ProviderFailed):  # the fifth failure within 30 s
        client = workflow.routes.providers["openai"]
        await workflow.routes.call("openai", lambda: client.complete(compose(workflow.material)))
    began = workflow.clock.now
    assert isinstance(await workflow.run(), Reply)
    assert workflow.said() == [("azure", "Answered")]
    assert workflow.clock.now == began
    workflow.attempts.clear()
    assert isinstance(await workflow.run(forced="openai"), Reply)
    assert workflow.said() == [("openai", "Answered")]
    assert workflow.clock.now == began + 60.0, "forced: it waits for the probe"
    workflow.attempts.clear()
    workflow.servers["openai"].status(401)
    assert isinstance(await workflow.run(), Reply)
    assert workflow.said() == [("openai", "auth"), ("azure", "Answered")]
    assert workflow.parked == {"openai"}


async def test_a_filter_sends_the_fan_to_a_person_at_once(workflow: Workflow) -> None:
    workflow.servers["openai"].then("filter-prompt", category="self_harm")
    assert await workflow.run() == ToPerson("self_harm")
    assert workflow.said() == [("openai", "content_filter")]
    assert workflow.routes.breakers()["openai"].failures == 0


async def test_an_invalid_answer_is_asked_for_once_more_with_what_was_wrong(
    workflow: Workflow,
) -> None:
    server = workflow.servers["openai"]
    server.then("wrong-shape", times=2)
    assert await workflow.run() == GiveUp("Invalid")
    first, second = (request.body["messages"][1]["content"] for request in server.requests)
    assert "action: literal_error" in second
    assert "action: literal_error" not in first
    assert "sentinel-of-the-model" not in second


async def test_an_answer_that_does_as_a_hostile_fan_says_is_flagged(workflow: Workflow) -> None:
    def obey(body: dict[str, object]) -> str:
        return json.dumps(
            {
                "action": "send",
                "messages": [str(body["messages"])[:600]],
                "language": "en",
                "claims": [],
                "reason": "told to",
            }
        )

    workflow.servers["openai"].answer = obey
    found = await workflow.run()
    assert isinstance(found, Reply)
    asked = workflow.material
    assert "prompt" in {flag.code for flag in check(found, asked, compose(asked))}
