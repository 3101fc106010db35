"""What a worker does with one workflow, call by call, with a store that only remembers."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from lab.model_server import ANSWERS, KEY, ModelServer, running
from llm import composer as composer_module
from llm.composer import Composer
from llm.metrics import AgentMetrics
from llm.prices import Prices
from llm.providers import open_providers
from llm.routing import Routing
from schemas.context import MemoryContext
from schemas.errors import BudgetExceeded, DatabaseUnavailable, FanNotFound
from schemas.intents import Intent, IntentType
from stores.workflows.answers import Answer
from stores.workflows.composing import Begun
from stores.workflows.pauses import Pauses
from stores.workflows.rows import Workflow
from stores.workflows.usage import Call, Made, Spent
from tests.clock import Clock
from tests.llm.material import CREATOR, FAN, context

ONE_COST = Decimal("0.00024")
SENTINEL = "Zaubernuss"


class Remembering:
    """Stands for the stores: what was written, in order."""

    def __init__(self, intent: Intent) -> None:
        self.begun: Begun | None = Begun(intent, b"s" * 16, ())
        self.calls: list[Made] = []
        self.spent: list[Spent] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.ended: list[tuple[Any, ...]] = []
        self.broke = False
        self.error: Exception | None = None
        self.paused: dict[str, tuple[float, str]] = {}
        self.keeps = False
        self.kept: dict[tuple[str, bytes | None, bytes], Answer] = {}

    async def begin(self, claimed: Workflow) -> Begun | None:
        return self.begun

    async def find(self, creator_id: str, subject: bytes | None, key: bytes) -> Answer | None:
        return self.kept.get((creator_id, subject, key))

    async def keep(
        self, creator_id: str, subject: bytes | None, key: bytes, answer: Answer
    ) -> None:
        if self.keeps:
            self.kept[creator_id, subject, key] = answer

    async def made(self, workflow: bytes) -> list[Made]:
        return list(self.calls)

    async def reserve(self, workflow: Workflow, call: Call, event: str) -> int:
        if self.broke:
            raise BudgetExceeded("user", "day")
        assert call.money > 0 or self.kept
        self.told.append((event, {}))
        self.calls.append(Made(call.provider, None))
        return len(self.calls)

    async def settle(
        self, workflow: bytes, number: int, spent: Spent, event: str, **data: Any
    ) -> bool:
        self.calls[number - 1] = Made(self.calls[number - 1].provider, spent.outcome)
        self.spent.append(spent)
        self.told.append((event, data))
        return True

    async def context(self, creator_id: str, fan_id: str) -> MemoryContext:
        if self.error is not None:
            raise self.error
        return context(("fan", f"Hello, do you like {SENTINEL}?"))

    def __getattr__(self, name: str) -> Any:
        """How a workflow went on: wait, fail, hand_over, complete, propose, failed_once."""

        async def note(claimed: Workflow, *words: Any) -> None:
            self.ended.append((name, *words))

        return note

    async def pauses(self, pool: object, settings: str) -> Pauses:
        cooling = {name: left for name, (left, cause) in self.paused.items() if cause != "auth"}
        parked = frozenset(name for name, (_, cause) in self.paused.items() if cause == "auth")
        return Pauses(cooling, parked)

    async def pause(
        self, pool: object, provider: str, seconds: float, cause: str, settings: str
    ) -> None:
        self.paused[provider] = (seconds, cause)


class Bench:
    """A composer of OpenAI and Azure, with what it wrote."""

    def __init__(self, servers: dict[str, ModelServer], intent: Intent) -> None:
        settings = Settings(
            openai_api_key=SecretStr(KEY),
            openai_base_url=f"{servers['openai'].origin}/v1",
            azure_api_key=SecretStr(KEY),
            azure_endpoint=servers["azure"].origin,
            azure_deployment="drafts",
            azure_deployments="drafts=gpt-4o-mini*1.1",
        )
        self.openai, self.azure = servers["openai"], servers["azure"]
        prices = Prices(settings)
        self.routing = Routing(open_providers(settings), prices, settings, Clock())
        self.wrote = Remembering(intent)
        self.metrics = AgentMetrics(("openai", "azure"))
        stores = cast("Any", self.wrote)
        self.composer = Composer(
            settings,
            *(stores, stores, stores, stores, stores),
            self.routing,
            prices,
            self.metrics,
            lambda: 0.0,
        )
        self.claimed = cast("Workflow", _Claimed())

    async def compose(self, times: int = 1) -> tuple[Any, ...]:
        for _ in range(times):
            await self.composer.compose(self.claimed)
        return self.wrote.ended[-1] if self.wrote.ended else ()


class _Claimed:
    workflow = b"w" * 16


def intent(kind: IntentType = "message_generation", **more: Any) -> Intent:
    data = json.dumps({"content": "Hello!"}).encode()
    return Intent(kind, "user", CREATOR, data, recipient_id=FAN, send=True, **more)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with running() as openai, running() as azure:
        made = Bench({"openai": openai, "azure": azure}, intent())
        monkeypatch.setattr(composer_module, "pauses", made.wrote)
        yield made
        await made.routing.close()


def use(bench: Bench, other: Intent, subject: bytes | None = b"s" * 16) -> None:
    bench.wrote.begun = Begun(other, subject, ())


async def test_a_reply_becomes_a_draft_and_its_call_is_told_without_a_word_of_it(
    bench: Bench,
) -> None:
    name, draft = await bench.compose()
    assert (name, draft.body.messages) == ("propose", ("So good to hear from you today!",))
    assert (draft.flags, draft.body.provider, draft.memory) == ((), "openai", 42)
    (spent,) = bench.wrote.spent
    assert (spent.cost, spent.outcome, spent.unknown, spent.cache_hit) == (
        ONE_COST, "answered", False, False,
    )  # fmt: skip
    (_, _), (event, data) = bench.wrote.told
    assert event == "openai_execution_completed"
    assert data["prompt"].startswith("message_generation-")
    assert data["result"] == {
        "hasData": True,
        "dataType": "object",
        "dataKeys": ["version", "madeBy", "action", "messages", "language"],
        "success": True,
    }
    assert SENTINEL not in repr(bench.wrote.told)


@pytest.mark.parametrize("kind", ["content_validation", "content_planning"])
async def test_other_results_are_complete_without_anybodys_approval(
    bench: Bench, kind: IntentType
) -> None:
    use(bench, intent(kind))
    name, draft = await bench.compose()
    assert name == "complete"
    assert draft.body.messages == ()


async def test_a_failed_attempt_is_written_and_tried_again_when_its_row_is_due(
    bench: Bench,
) -> None:
    bench.openai.status(503, times=4)
    for seconds in (1.0, 2.0, 5.0):
        assert await bench.compose() == ("wait", "retry", seconds, "openai_retry_scheduled")
    assert (await bench.compose())[0] == "propose"
    assert [one.provider for one in bench.wrote.calls] == ["openai"] * 4 + ["azure"]
    assert [one.cost for one in bench.wrote.spent[:4]] == [0] * 4


async def test_a_forced_provider_fails_after_its_four_attempts(bench: Bench) -> None:
    use(bench, intent(force_provider="azure"))
    bench.azure.status(500, times=4)
    assert await bench.compose(4) == ("fail", "unknown", "azure_execution_error")
    assert len(bench.azure.requests) == 4
    assert not bench.openai.requests


async def test_a_429_pauses_the_provider_for_all_and_a_refused_key_parks_it(bench: Bench) -> None:
    bench.openai.status(429, retry_after="30")
    assert (await bench.compose())[1:3] == ("retry", 30.0)
    assert bench.wrote.paused == {"openai": (30.0, "rate_limit")}
    bench.azure.status(401)
    bench.wrote.paused["openai"] = (12.0, "rate_limit")
    bench.wrote.calls.clear()
    await bench.compose()
    assert bench.wrote.paused["azure"][1] == "auth"
    assert bench.wrote.ended[-1][0] == "fail"
    bench.wrote.calls.clear()
    assert await bench.compose() == ("wait", "provider", 12.0)
    bench.wrote.paused["openai"] = (9.0, "auth")
    assert await bench.compose() == ("fail", "no_provider")


@pytest.mark.parametrize("behaviour", ["filter-prompt", "filter-answer"])
async def test_a_filter_hands_the_fan_to_a_person_and_keeps_category_and_prompt(
    bench: Bench, behaviour: Any
) -> None:
    bench.openai.then(behaviour, category="jailbreak")
    assert await bench.compose() == ("hand_over", "content_filter")
    event, data = bench.wrote.told[-1]
    assert event == "openai_execution_failed"
    assert data["category"] == "jailbreak"
    assert data["prompt"].startswith("message_generation-")
    assert bench.wrote.spent[0].cost == (0 if behaviour == "filter-prompt" else ONE_COST)
    assert not bench.azure.requests


async def test_refused_cut_and_twice_invalid_answers_end_it_and_cost(bench: Bench) -> None:
    bench.openai.then("refusal")
    assert await bench.compose() == ("hand_over", "refused")
    bench.openai.then("length")
    assert await bench.compose() == ("fail", "length")
    bench.openai.then("no-json", times=2)
    assert await bench.compose() == ("fail", "invalid_answer")
    assert [one.cost for one in bench.wrote.spent] == [ONE_COST] * 4


async def test_what_gives_something_away_is_shown_to_nobody(bench: Bench) -> None:
    def obey(body: dict[str, Any]) -> str:
        system = body["messages"][0]["content"]
        return json.dumps(ANSWERS["message_generation"] | {"messages": [system[:500]]})

    bench.openai.answer = obey
    assert await bench.compose() == ("fail", "leak")


async def test_a_handoff_is_one_even_if_the_model_would_answer(bench: Bench) -> None:
    handed = ANSWERS["message_generation"] | {"action": "handoff", "messages": []}
    bench.openai.answer = lambda body: json.dumps(handed)
    assert (await bench.compose())[:2] == ("hand_over", "handoff")
    nothing = ANSWERS["message_generation"] | {"action": "nothing", "messages": []}
    bench.openai.answer = lambda body: json.dumps(nothing)
    assert (await bench.compose())[0] == "complete"


async def test_without_memory_it_waits_and_nobody_is_asked(bench: Bench) -> None:
    bench.wrote.error = DatabaseUnavailable()
    assert await bench.compose() == ("wait", "memory", 5.0)
    bench.wrote.error = FanNotFound()
    assert await bench.compose() == ("failed_once",)
    bench.wrote.begun = None
    await bench.compose()
    assert not bench.openai.requests


async def test_without_budget_nobody_is_asked(bench: Bench) -> None:
    bench.wrote.broke = True
    told, refused = await bench.compose()
    assert told == "out_of_budget"
    assert (refused.scope, refused.period) == ("user", "day")
    assert not bench.openai.requests


async def test_data_too_large_to_ask_about_fails(bench: Bench) -> None:
    data = json.dumps({f"n{n}": "y" * 4_000 for n in range(20)}).encode()
    use(bench, Intent("message_generation", "user", CREATOR, data, recipient_id=FAN))
    assert await bench.compose() == ("fail", "data_too_large")


async def test_equal_calls_under_way_are_one_and_one_of_them_pays(bench: Bench) -> None:
    bench.openai.then("slow")
    begun = [asyncio.create_task(bench.composer.compose(bench.claimed)) for _ in range(4)]
    await asyncio.gather(*begun)
    assert len(bench.openai.requests) == 1
    assert [word[0] for word in bench.wrote.ended] == ["propose"] * 4
    assert sorted(one.cost for one in bench.wrote.spent) == [0, 0, 0, ONE_COST]
    assert sorted(one.cache_hit for one in bench.wrote.spent) == [False, True, True, True]
    assert sum(one.usage.total for one in bench.wrote.spent) == 1_200


async def test_a_failure_of_a_shared_call_is_everybodys_and_is_paid_once(bench: Bench) -> None:
    bench.openai.then("reset-late")
    begun = [asyncio.create_task(bench.composer.compose(bench.claimed)) for _ in range(3)]
    await asyncio.gather(*begun)
    assert len(bench.openai.requests) == 1
    assert [word[:2] for word in bench.wrote.ended] == [("wait", "retry")] * 3
    assert sorted(one.unknown for one in bench.wrote.spent) == [False, False, True]
    assert bench.routing.breakers()["openai"].failures == 1


async def test_calls_about_different_fans_are_never_shared(bench: Bench) -> None:
    bench.openai.then("slow", times=2)
    first = asyncio.create_task(bench.composer.compose(bench.claimed))
    await asyncio.sleep(0.05)
    use(bench, intent(), b"t" * 16)
    await asyncio.gather(first, bench.composer.compose(bench.claimed))
    assert len(bench.openai.requests) == 2


async def test_who_asks_the_same_again_gets_the_answer_at_no_cost(bench: Bench) -> None:
    bench.wrote.keeps = True
    (first, again) = (await bench.compose(), await bench.compose())
    assert first == again
    assert len(bench.openai.requests) == 1
    assert [(one.cost, one.cache_hit) for one in bench.wrote.spent] == [
        (ONE_COST, False),
        (0, True),
    ]
    assert bench.wrote.spent[1].usage.total == 0
    assert [data.get("cacheHit") for event, data in bench.wrote.told if "completed" in event] == [
        False,
        True,
    ]
    labels = {"provider": "openai", "type": "message_generation", "outcome": "kept"}
    assert bench.metrics.registry.get_sample_value("memory_llm_calls_total", labels) == 1


async def test_another_fan_creator_or_question_is_another_call(bench: Bench) -> None:
    bench.wrote.keeps = True
    await bench.compose()
    use(bench, intent(), b"t" * 16)
    await bench.compose()
    use(bench, intent("content_validation"))
    await bench.compose()
    assert len(bench.openai.requests) == 3
    assert not any(one.cache_hit for one in bench.wrote.spent)


async def test_an_answer_that_tells_a_secret_or_is_none_is_not_kept(bench: Bench) -> None:
    bench.wrote.keeps = True
    bench.openai.then("refusal")
    assert await bench.compose() == ("hand_over", "refused")
    bench.openai.then("no-json", times=2)
    assert await bench.compose() == ("fail", "invalid_answer")

    def obey(body: dict[str, Any]) -> str:
        system = body["messages"][0]["content"]
        return json.dumps(ANSWERS["message_generation"] | {"messages": [system[:500]]})

    bench.openai.answer = obey
    assert await bench.compose() == ("fail", "leak")
    assert bench.wrote.kept == {}
