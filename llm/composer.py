"""Composing one workflow: memory, prompt, provider, checks, and what is written of each.

The steps of a call, and what a crash after each costs:

1. What it can cost at the most is reserved, and the call written. [it counts as made, and unknown]
2. The provider is asked, unless it answered the same in the last day. [the same]
3. What it took is written. [the workflow is composed once more, and that costs again]
4. Draft, result, or what is to be tried again, is written, if the workflow is still ours. [done]

Nothing here sleeps: what has to wait is a row that is due later.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec

from infra.failpoints import fail_point
from infra.postgres import Pool
from infra.retry import outage, retried
from infra.settings import Settings
from llm.checks import Flag, check
from llm.material import Material, Spend
from llm.metrics import AgentMetrics
from llm.outcomes import Answered, CutShort, Invalid, Refused, name_of, outcome
from llm.prices import NOTHING, Cost, Prices, most
from llm.prompts import Prompt, compose
from llm.providers import Completion, ProviderName
from llm.results import AnyResult, Reply, content_of, sanitised
from llm.retrying import (
    ATTEMPTS_MAX,
    GiveUp,
    OtherProvider,
    RetryAt,
    ToPerson,
    after_invalid,
    cooldown,
    next_step,
    parks,
)
from llm.routing import Routing
from llm.sharing import Flights, answer_key
from schemas.errors import (
    BudgetExceeded,
    DatabaseUnavailable,
    FanNotFound,
    InvalidInput,
    ProviderFailed,
    SealBroken,
)
from schemas.positions import parse_position
from schemas.usage import NO_USAGE, Usage
from schemas.workflows import TraceEvent
from stores.reader import FanMemory
from stores.workflows import pauses
from stores.workflows.answers import Answer, Answers
from stores.workflows.composing import Begun, Composing, Draft
from stores.workflows.rows import Workflow
from stores.workflows.sealed import Body
from stores.workflows.usage import Accounts, Call, Made, Spent

log = logging.getLogger(__name__)

SETTLE_ATTEMPTS_MAX: Final = 10
"""Then the lease is about to run out, and the call counts as lost, with the most it can cost."""
MEMORY_SECONDS: Final = 5.0
"""Between looks for a memory that can't be read."""
FINAL: Final = frozenset(("auth", "validation", "content_filter"))
"""Failures after which the same provider is not asked again."""
ANSWERS: Final = frozenset(("answered", "refused", "length", "invalid"))
LEAKS: Final = frozenset(("prompt", "ids"))
"""Flags of what must not be shown to anybody."""


class Progress(NamedTuple):
    """What the calls that were made say of the next one."""

    current: str | None
    """The provider that was asked last."""
    attempts: int
    """Failed attempts at it."""
    tried: tuple[str, ...]
    """Providers that have used up their attempts."""
    invalid: int


def progress(made: Sequence[Made]) -> Progress:
    """From the calls in order. A call whose answer was lost is a failed attempt."""
    failed: dict[str, int] = {}
    tried: list[str] = []
    invalid = 0
    for one in made:
        if one.outcome in ANSWERS:
            invalid += one.outcome == "invalid"
            continue
        failed[one.provider] = failed.get(one.provider, 0) + 1
        used_up = failed[one.provider] >= ATTEMPTS_MAX or one.outcome in FINAL
        if used_up and one.provider not in tried:
            tried.append(one.provider)
    current = made[-1].provider if made else None
    return Progress(current, failed.get(current or "", 0), tuple(tried), invalid)


class _Asked(NamedTuple):
    """What a call came back with."""

    completion: Completion
    number: int
    """Of the call."""
    took: int
    """Milliseconds."""
    free: Literal["shared", "kept"] | None = None
    """Another workflow's equal call was under way, or answered in the last day."""


class _Ended(Exception):
    """What had to be written is written."""


class Composer:
    """Composes for one process."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        composing: Composing,
        accounts: Accounts,
        answers: Answers,
        memory: FanMemory,
        routing: Routing,
        prices: Prices,
        metrics: AgentMetrics,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pool = pool
        self._composing = composing
        self._accounts = accounts
        self._answers = answers
        self._memory = memory
        self._routing = routing
        self._prices = prices
        self._metrics = metrics
        self._chance = chance
        self._flights: Flights[Completion | ProviderFailed] = Flights()
        self._fingerprint = fingerprint(settings)
        self._backoff = outage(settings.retry_seconds_max)

    async def compose(self, claimed: Workflow) -> None:
        """Do what is next for a workflow. Raises `Fenced` and `DatabaseUnavailable`."""
        begun = await self._composing.begin(claimed)
        if begun is None:
            return
        try:
            material = await self._material(claimed, begun)
            await self._ask(claimed, begun, material)
        except _Ended:
            return

    async def _material(self, claimed: Workflow, begun: Begun) -> Material:
        intent = begun.intent
        context = None
        if intent.recipient_id is not None:
            try:
                context = await self._memory.context(intent.creator_id, intent.recipient_id)
            except (DatabaseUnavailable, SealBroken):
                await self._composing.wait(claimed, "memory", MEMORY_SECONDS)
                raise _Ended from None
            except FanNotFound:  # nothing of this fan is in the views yet
                await self._composing.failed_once(claimed)
                raise _Ended from None
        data: dict[str, Any] = msgspec.json.decode(intent.data)
        return Material(
            intent.type,
            intent.creator_id,
            data,
            intent.recipient_id,
            context,
            begun.sent,
            spend=None if begun.paid is None else Spend(*begun.paid),
        )

    async def _ask(self, claimed: Workflow, begun: Begun, material: Material) -> None:
        past = progress(await self._accounts.made(claimed.workflow))
        tried, attempts, invalid = list(past.tried), past.attempts, past.invalid
        current = past.current
        while True:
            name = await self._choose(claimed, begun, tried, current)
            if name != current:
                current, attempts = name, 0
            prompt = await self._prompt(claimed, material)
            try:
                again = attempts > 0
                asked = await self._call(claimed, begun, material, name, prompt, again=again)
            except ProviderFailed as failure:
                attempts += 1
                if not await self._go_on(claimed, begun, failure, attempts, tried):
                    return
                tried.append(name)
                continue
            found = outcome(material.type, asked.completion)
            spent = self._spent_on(asked, name, name_of(found))
            result = found.result if isinstance(found, Answered) else None
            told = asked.free or name_of(found)
            self._metrics.called(material.type, name, prompt.version, told, spent, again=again)
            await self._settle(
                claimed,
                asked.number,
                spent,
                _event(name, "execution_completed"),
                prompt=prompt.version,
                result=sanitised(result),
                cacheHit=asked.free is not None,
            )
            if isinstance(found, Answered):
                flags = check(found.result, material, prompt)
                if asked.free != "kept" and not _leaks(flags):
                    await self._keep(begun, material, name, prompt, asked.completion)
                await self._write(claimed, begun, material, found.result, flags, name)
                return
            if isinstance(found, Refused):
                await self._composing.hand_over(claimed, "refused")
                return
            if isinstance(found, CutShort):
                await self._composing.fail(claimed, "length")
                return
            invalid += 1
            if after_invalid(invalid) == "fail":
                await self._composing.fail(claimed, "invalid_answer")
                return
            material = _with_problems(material, found)

    async def _choose(
        self, claimed: Workflow, begun: Begun, tried: Sequence[str], current: str | None
    ) -> ProviderName:
        left = await pauses.pauses(self._pool, self._fingerprint)
        route = self._routing.route(
            begun.intent.type,
            forced=begun.intent.force_provider,
            cooling=left.cooling,
            parked=left.parked,
            tried=tried,
        )
        for name in route.providers:
            if name == current:
                return name
        if route.providers:
            return route.providers[0]
        if route.wait_seconds > 0:
            await self._composing.wait(claimed, "provider", route.wait_seconds)
        else:
            await self._composing.fail(claimed, "no_provider")
        raise _Ended

    async def _prompt(self, claimed: Workflow, material: Material) -> Prompt:
        try:
            return compose(material)
        except InvalidInput:
            await self._composing.fail(claimed, "data_too_large")
            raise _Ended from None

    async def _call(
        self,
        claimed: Workflow,
        begun: Begun,
        material: Material,
        name: ProviderName,
        prompt: Prompt,
        *,
        again: bool,
    ) -> "_Asked":
        """The answer. A failure is settled here. Equal calls under way are one, and one pays."""
        provider = self._routing.providers[name]
        bound = self._prices.upper_bound(prompt, provider=name)
        key = self._key(begun, material, name, prompt)
        kept = await self._kept(begun, name, key)
        call = Call(name, provider.model, bound.amount, most(prompt).total, bound.price_version)
        if kept is not None:
            call = call._replace(money=NOTHING.amount, tokens=0)
        try:
            number = await self._accounts.reserve(claimed, call, _event(name, "execution_started"))
        except BudgetExceeded as error:
            self._metrics.refused(material.type)
            await self._composing.out_of_budget(claimed, error)
            raise _Ended from None
        if kept is not None:
            return _Asked(kept, number, 0, "kept")
        fail_point("llm.before_call")
        began = time.monotonic()
        found, shared = await self._flights.call(key, lambda: self._attempt(name, prompt))
        took = int((time.monotonic() - began) * 1000)
        if isinstance(found, ProviderFailed):
            cost = NOTHING if shared else self._prices.of_failure(found, prompt, name)
            usage = (found.usage if not shared else None) or (
                most(prompt) if cost.unknown else NO_USAGE
            )
            spent = _spent(usage, cost, provider.model, found.code, took)
            told = "shared" if shared else found.code
            self._metrics.called(material.type, name, prompt.version, told, spent, again=again)
            await self._accounts.settle(
                claimed.workflow,
                number,
                spent,
                _event(name, "execution_failed"),
                prompt=prompt.version,
                category=found.category,
            )
            raise found
        fail_point("llm.after_call")
        return _Asked(found, number, took, "shared" if shared else None)

    def _key(self, begun: Begun, material: Material, name: ProviderName, prompt: Prompt) -> bytes:
        whose = begun.subject or begun.intent.creator_id.encode()
        model = f"{name}/{self._routing.providers[name].model}"
        return answer_key(whose, material.memory_version, prompt, model)

    async def _kept(self, begun: Begun, name: ProviderName, key: bytes) -> Completion | None:
        """What was answered to the same in the last day; a template is as quick."""
        if name == "template":
            return None
        found = await self._answers.find(begun.intent.creator_id, begun.subject, key)
        return (
            None if found is None else Completion(found.text, found.model, NO_USAGE, "stop", None)
        )

    async def _keep(
        self,
        begun: Begun,
        material: Material,
        name: ProviderName,
        prompt: Prompt,
        completion: Completion,
    ) -> None:
        if name != "template":
            key = self._key(begun, material, name, prompt)
            answer = Answer(completion.text, completion.model)
            await self._answers.keep(begun.intent.creator_id, begun.subject, key, answer)

    async def _attempt(self, name: ProviderName, prompt: Prompt) -> Completion | ProviderFailed:
        """A failure is an answer, too: whoever shares the call has to know whose it is."""
        try:
            provider = self._routing.providers[name]
            return await self._routing.call(name, lambda: provider.complete(prompt))
        except ProviderFailed as failure:
            return failure

    def _spent_on(self, asked: "_Asked", name: ProviderName, outcome_name: str) -> Spent:
        """What a call took that has an answer; another's answer costs nothing."""
        completion = asked.completion
        if asked.free is not None:
            free = _spent(NO_USAGE, NOTHING, completion.model, outcome_name, asked.took)
            return free._replace(cache_hit=True)
        cost = self._prices.of_completion(completion, name)
        return _spent(completion.usage, cost, completion.model, outcome_name, asked.took)

    async def _settle(
        self, claimed: Workflow, number: int, spent: Spent, event: TraceEvent, **data: Any
    ) -> None:
        """It was spent: while Postgres is away for a moment, that is not forgotten."""
        await retried(
            lambda: self._accounts.settle(claimed.workflow, number, spent, event, **data),
            self._backoff,
            on=(DatabaseUnavailable,),
            attempts_max=SETTLE_ATTEMPTS_MAX,
        )

    async def _go_on(
        self,
        claimed: Workflow,
        begun: Begun,
        failure: ProviderFailed,
        attempts: int,
        tried: Sequence[str],
    ) -> bool:
        """Whether another provider is asked, now; else what follows is written."""
        name = failure.provider
        pause = cooldown(failure, attempts)
        if pause is not None:
            await pauses.pause(self._pool, name, pause, "rate_limit", "")
        if parks(failure):
            log.error("a provider refuses the key: it is parked until the settings change")
            parked = pauses.PARKED_SECONDS
            await pauses.pause(self._pool, name, parked, "auth", self._fingerprint)
        left = await pauses.pauses(self._pool, self._fingerprint)
        others = self._routing.route(
            begun.intent.type,
            forced=begun.intent.force_provider,
            cooling=left.cooling,
            parked=left.parked,
            tried=(*tried, name),
        )
        step = next_step(
            failure,
            attempts,
            self._chance(),
            other=bool(others.providers),
            wait=self._wait_seconds(name),
        )
        if isinstance(step, OtherProvider):
            return True
        if isinstance(step, RetryAt):
            await self._composing.wait(
                claimed, "retry", step.seconds, _event(name, "retry_scheduled")
            )
        elif isinstance(step, ToPerson):
            await self._composing.hand_over(claimed, "content_filter")
        elif isinstance(step, GiveUp):
            await self._composing.fail(claimed, step.reason, _event(name, "execution_error"))
        return False

    def _wait_seconds(self, name: str) -> float:
        return next(
            (self._routing.wait_seconds(one) for one in self._routing.providers if one == name), 0.0
        )

    async def _write(
        self,
        claimed: Workflow,
        begun: Begun,
        material: Material,
        result: AnyResult,
        flags: Sequence[Flag],
        name: ProviderName,
    ) -> None:
        if _leaks(flags):
            await self._composing.fail(claimed, "leak")
            return
        body = _body(result, name)
        draft = Draft(body, codes(flags), _offset(material.memory_version))
        if not isinstance(result, Reply):
            await self._composing.complete(claimed, draft)
            return
        if result.action == "handoff" or any(flag.hands_off for flag in flags):
            await self._composing.hand_over(claimed, "handoff", body)
        elif result.action == "send" and begun.intent.send:
            await self._composing.propose(claimed, draft)
        else:
            await self._composing.complete(claimed, draft)


def _leaks(flags: Sequence[Flag]) -> bool:
    return any(flag.code in LEAKS for flag in flags)


def codes(flags: Sequence[Flag]) -> tuple[str, ...]:
    """Each kind of finding once."""
    return tuple(dict.fromkeys(flag.code for flag in flags))


def fingerprint(settings: Settings) -> str:
    """Stands for the keys and addresses of the providers, and tells nothing of them."""
    parts = (
        settings.openai_api_key.get_secret_value(),
        settings.openai_base_url,
        settings.azure_api_key.get_secret_value(),
        settings.azure_endpoint,
        settings.azure_deployment,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _event(provider: str, what: str) -> TraceEvent:
    """Each provider has events of its own."""
    return cast("TraceEvent", f"{provider}_{what}")


def _body(result: AnyResult, name: str) -> Body:
    messages = result.messages if isinstance(result, Reply) else ()
    return Body(tuple(messages), result.model_dump(mode="json"), content_of(result), name)


def _spent(usage: Usage, cost: Cost, model: str, outcome_name: str, took: int) -> Spent:
    return Spent(usage, cost.amount, model, outcome_name, took, cost.price_version, cost.unknown)


def _offset(version: str | None) -> int | None:
    return None if version is None else parse_position(version).offset


def _with_problems(material: Material, found: Invalid) -> Material:
    return replace(material, problems=found.problems)
