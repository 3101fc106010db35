"""/api/workflows…: what the LLM agent is asked, what came of it, and what people decide.

A creator sees and decides about their own only. An intent goes to the log, as an event does; the
answer says under which id it will be found. Nothing here asks a model, and nothing here sends.
"""

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api import idempotency
from api.auth import principal_of
from api.components import components_of
from api.envelopes import correlation_id, data, told
from api.parameters import Query, creator_of, moment, optional, query_of
from infra.clock import now_ms
from infra.postgres import database_errors
from schemas.answers import Body
from schemas.errors import FanMemoryError, Forbidden, InvalidInput, WorkflowNotFound
from schemas.intents import VALUE_BYTES_MAX, parse_intent
from schemas.positions import parse_position
from schemas.relationship import check_id
from schemas.sending import PARTS_MAX
from schemas.times import Time, from_datetime, render_time, to_datetime
from schemas.topics import INTENTS
from schemas.workflows import STATES, RejectReason, State, WorkflowSummary
from stores import wall
from stores.earned import earned
from stores.store import Store
from stores.workflows import holds
from stores.workflows.approving import TOGETHER_MAX, Approvals, Named
from stores.workflows.intake import workflow_id
from stores.workflows.reading import PAGE_MAX, Reading, Version, Whole, summary_of
from stores.workflows.rows import Workflow
from stores.workflows.sealed import Vault
from stores.workflows.sending import Sending
from stores.workflows.telling import money
from stores.workflows.usage import Accounts

COST_PERIOD: Final = timedelta(days=30)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_id: Final = re.compile("[0-9a-f]{32}").fullmatch
_encode: Final = msgspec.json.Encoder().encode
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
T = TypeVar("T")

_WorkflowId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Version = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Accepted(Body, frozen=True):
    """The brokers have the intent."""

    success: Literal[True]
    timestamp: Time
    workflow_id: _WorkflowId
    position: str
    """Where it is in the log."""


class DraftVersion(msgspec.Struct, frozen=True, rename="camel"):
    """One version of a draft; what was erased is null."""

    version: int
    edited_by: str | None
    """Null: it was composed."""
    messages: list[str] | None
    content: str | None
    result: dict[str, Any] | None
    """The whole typed result."""
    provider: str | None
    flags: list[str]
    """What the checks found; whoever approves has to look at it."""
    distance: int | None
    """Characters changed since the version before."""
    made_at: Time


class DecisionMade(msgspec.Struct, frozen=True, rename="camel"):
    """Who decided what."""

    version: int
    decision: str
    user_id: str
    reason: str | None
    text: str | None
    decided_at: Time


class WholeWorkflow(msgspec.Struct, frozen=True, rename="camel"):
    """Everything that is kept of a workflow."""

    workflow: WorkflowSummary
    data: dict[str, Any] | None
    """The intent's own."""
    drafts: list[DraftVersion]
    decisions: list[DecisionMade]


class Page(msgspec.Struct, frozen=True, rename="camel"):
    """Workflows, the newest first."""

    workflows: list[WorkflowSummary]
    next_cursor: str | None
    """Null: there are no more."""


class NamedDraft(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    workflow_id: _WorkflowId
    version: _Version


class ApproveSeveral(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each is judged by itself."""

    drafts: Annotated[list[NamedDraft], msgspec.Meta(min_length=1, max_length=TOGETHER_MAX)]


class Approve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: _Version


class Reject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: _Version
    reason: RejectReason
    text: str | None = None
    """Required when the reason is `other`."""


class Edit(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    version: _Version
    messages: Annotated[list[str], msgspec.Meta(min_length=1, max_length=PARTS_MAX)]
    memory_version: str | None = None
    """`version` of the context that the editor has read; without it the draft stays as old."""


class Resolve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sent: bool
    """What a person has found out about an unknown message."""
    text: str | None = None


class Hold(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    fan_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    hold: bool
    """False: the AI may speak to this fan again."""


class Halt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    halt: bool
    """False: sends go on."""


class Judged(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What became of one of several."""

    workflow_id: str
    state: State | None = None
    error: str | None = None


class Cost(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    calls: int
    tokens: int
    cost: str
    """US dollars, a decimal number."""
    unknown: int
    """Calls of which only the most that they can have cost is known."""


class FanCost(Cost, frozen=True, rename="camel", kw_only=True):
    """Of one fan; `name` is the fan's id."""

    revenue: dict[str, float] | None
    """What the fan has paid so far, less refunds, by currency; null while no view knows the fan."""


class CostReport(msgspec.Struct, frozen=True, rename="camel"):
    """What a creator's calls cost."""

    since: Time
    until: Time
    total: list[Cost]
    by_type: list[Cost]
    by_provider: list[Cost]
    by_fan: list[FanCost]
    """Of the 1,000 dearest sums, without those who were erased."""
    by_campaign: list[Cost]
    """`name` is the campaign's id; with what its report cost."""


async def create_workflow(request: Request) -> Response:
    """Ask the LLM agent for something; answered when the brokers have it.

    Without an `intentId` it gets one, or that of `Idempotency-Key`: what is sent again with the
    same one is the same workflow. Raises `InvalidInput`, and `Forbidden` for another creator, or
    another user than the token's.
    """
    return await accept(request, await request.body())


async def accept(request: Request, value: bytes) -> Response:
    """Put an intent on the log, of a body or made of one."""
    arrived = now_ms()
    key = idempotency.key_of(request.scope["headers_by_name"])
    principal, components = principal_of(request), components_of(request)
    intent = parse_intent(value, arrived)
    principal.require(intent.creator_id)
    wall.require(intent.creator_id)
    if intent.user_id != principal.user_id:
        raise Forbidden("userId must be the token's sub", hint="Ask in your own name.")
    intent_id = intent.intent_id
    if intent_id is None:
        intent_id = uuid.uuid4().hex if key is None else idempotency.event_id(key)
        value = _encode({**_fields(value), "intentId": intent_id})
        if len(value) > VALUE_BYTES_MAX:
            raise InvalidInput("$", f"must be at most {VALUE_BYTES_MAX} bytes")
    written = await components.publisher.publish(
        intent.creator_id.encode(), value, arrived, correlation_id(request.scope), INTENTS.name
    )
    answer = Accepted(
        correlation_id(request.scope),
        True,
        render_time(now_ms()),
        workflow_id(intent.creator_id, intent_id).hex(),
        str(written),
    )
    return Response(
        _encode(answer),
        202,
        {"location": f"/api/workflows/{answer.workflow_id}", "x-position": str(written)},
        "application/json",
    )


async def list_workflows(request: Request) -> Response:
    """The creator's workflows, the newest first, without any text."""
    query = query_of(request)
    state = optional(query, "state")
    if state is not None and state not in STATES:
        raise InvalidInput("state", "must be one of " + ", ".join(STATES))
    found, cursor = await _reading(request).page(
        creator_of(request),
        () if state is None else tuple(one for one in STATES if one == state),
        optional(query, "cursor"),
        limit_of(query),
    )
    return data(request.scope, Page(found, cursor))


def limit_of(query: Query) -> int:
    """How many a page has at the most. Raises `InvalidInput`."""
    count = optional(query, "limit")
    if count is None:
        return 50
    if not (count.isascii() and count.isdigit() and int(count[:9]) > 0):
        raise InvalidInput("limit", f"must be 1 to {PAGE_MAX}")
    return int(count[:9])


async def get_workflow(request: Request) -> Response:
    """One with its drafts and decisions. Raises `WorkflowNotFound`."""
    whole = await _reading(request).whole(creator_of(request), _asked(request))
    fan_id = whole.intent.recipient_id if whole.intent is not None else None
    return data(request.scope, _shown(whole, fan_id))


async def approve_workflow(request: Request) -> Response:
    """Let a draft be sent, by its version. Raises `WorkflowConflict`, `DraftStale`."""
    draft = Named(_asked(request), (await body_of(request, Approve)).version)
    user = principal_of(request).user_id
    return _moved(request, await _approvals(request).approve(creator_of(request), draft, user))


async def approve_workflows(request: Request) -> Response:
    """Let several drafts be sent: what became of each, in order."""
    given = await body_of(request, ApproveSeveral)
    drafts = [Named(bytes.fromhex(one.workflow_id), one.version) for one in given.drafts]
    found = await _approvals(request).approve_several(
        creator_of(request), drafts, principal_of(request).user_id
    )
    judged = [_judged(draft, one) for draft, one in zip(drafts, found, strict=True)]
    return data(request.scope, judged)


async def reject_workflow(request: Request) -> Response:
    """End a draft unsent, with a reason."""
    given = await body_of(request, Reject)
    return _moved(
        request,
        await _approvals(request).reject(
            creator_of(request),
            Named(_asked(request), given.version),
            principal_of(request).user_id,
            given.reason,
            given.text,
        ),
    )


async def edit_workflow(request: Request) -> Response:
    """Put a person's words in a draft's place: the next version, to be approved by it."""
    given = await body_of(request, Edit)
    memory = None
    if given.memory_version is not None:
        memory = parse_position(given.memory_version, "memoryVersion").offset
    return _moved(
        request,
        await _approvals(request).edit(
            creator_of(request),
            Named(_asked(request), given.version),
            principal_of(request).user_id,
            given.messages,
            memory,
        ),
    )


async def cancel_workflow(request: Request) -> Response:
    """End a workflow, unless it is being sent."""
    user = principal_of(request).user_id
    return _moved(
        request, await _approvals(request).cancel(creator_of(request), _asked(request), user)
    )


async def retry_workflow(request: Request) -> Response:
    """Compose it again, from the memory of then."""
    user = principal_of(request).user_id
    return _moved(
        request, await _approvals(request).retry(creator_of(request), _asked(request), user)
    )


async def resolve_workflow(request: Request) -> Response:
    """Say what became of a message of which nobody knew whether it was sent."""
    given = await body_of(request, Resolve)
    components, creator = components_of(request), creator_of(request)
    sending = Sending(components.writing_for(creator), Vault(components.keyring), "person")
    user = principal_of(request).user_id
    row = await sending.resolve(creator, _asked(request), user, sent=given.sent, text=given.text)
    return _moved(request, row)


async def hold_fan(request: Request) -> Response:
    """Keep the AI silent for a fan for 12 hours, or let it speak again."""
    given = await body_of(request, Hold)
    components, creator = components_of(request), creator_of(request)
    vault, user = Vault(components.keyring), principal_of(request).user_id
    fan_id = check_id("fanId", given.fan_id)
    async with database_errors(), components.writing_for(creator).acquire() as connection:
        subject = await vault.find(connection, creator, fan_id)
        if subject is None:
            raise WorkflowNotFound("Fan not found")
        put = holds.hold if given.hold else holds.release
        if not await put(connection, subject.id, user):
            raise WorkflowNotFound("Fan not found")
    return data(request.scope, given)


async def halt_sends(request: Request) -> Response:
    """Stop all sends of the creator, or let them go on."""
    given = await body_of(request, Halt)
    components, creator = components_of(request), creator_of(request)
    async with database_errors(), components.writing_for(creator).acquire() as connection:
        if given.halt:
            await holds.halt(connection, creator, principal_of(request).user_id)
        else:
            await holds.resume(connection, creator)
    return data(request.scope, given)


async def get_costs(request: Request) -> Response:
    """What the creator's calls cost, in the last 30 days unless `from` and `to` say else; beside
    the costs of a fan stands what the fan has paid so far."""
    query, components = query_of(request), components_of(request)
    since, until = moment(query, "from"), moment(query, "to")
    last = datetime.now(UTC) if until is None else to_datetime(until)
    first = last - min(COST_PERIOD, last - _EARLIEST) if since is None else to_datetime(since)
    creator = creator_of(request)
    found = await Accounts(components.settings, components.reading).costs(creator, first, last)
    subjects = [bytes.fromhex(one.name) for one in found["fan"]]
    store = Store(components.reading, components.keyring, components.settings.journal_partitions)
    fans = await earned(store, components.reading, creator, subjects, components.settings.currency)

    def shown(kind: str) -> list[Cost]:
        return [
            Cost(one.name, one.calls, one.tokens, money(one.cost), one.unknown)
            for one in found[kind]
        ]

    report = CostReport(
        render_time(from_datetime(first)),
        render_time(from_datetime(last)),
        shown("total"),
        shown("type"),
        shown("provider"),
        [
            FanCost(
                fan.fan_id,
                one.calls,
                one.tokens,
                money(one.cost),
                one.unknown,
                revenue=fan.revenue,
            )
            for one in found["fan"]
            if (fan := fans.get(bytes.fromhex(one.name))) is not None
        ],
        shown("campaign"),
    )
    return data(request.scope, report)


def _asked(request: Request) -> bytes:
    """Raises `WorkflowNotFound` for what can't be an id."""
    id: str = request.path_params["workflow"]
    if not _id(id):
        raise WorkflowNotFound
    return bytes.fromhex(id)


def _approvals(request: Request) -> Approvals:
    components = components_of(request)
    return Approvals(components.writing_for(creator_of(request)), Vault(components.keyring))


def _reading(request: Request) -> Reading:
    components = components_of(request)
    return Reading(components.reading, Vault(components.keyring))


async def body_of(request: Request, kind: type[T]) -> T:
    """The body. Raises `InvalidInput`."""
    body = await request.body()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        names = {field.encode_name for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
        named = re.findall(r"[`.](\w+)", str(error))
        field = next((one for one in named if one in names), "$")
        raise InvalidInput(field, "is missing, or not what it must be") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("$", "must be a JSON object") from None


def _moved(request: Request, row: Workflow) -> Response:
    return data(request.scope, summary_of(row, None, ()))


def _judged(draft: Named, outcome: Workflow | FanMemoryError) -> Judged:
    if isinstance(outcome, Workflow):
        return Judged(outcome.name, outcome.state)
    return Judged(draft.workflow.hex(), None, told(outcome)["error"])


def draft_of(one: Version) -> DraftVersion:
    """A version as it is shown."""
    return DraftVersion(
        one.version,
        one.user_id,
        None if one.body is None else list(one.body.messages),
        None if one.body is None else one.body.content,
        None if one.body is None else one.body.result,
        None if one.body is None else one.body.provider,
        list(one.flags),
        one.distance,
        render_time(from_datetime(one.made_at)),
    )


def _shown(whole: Whole, fan_id: str | None) -> WholeWorkflow:
    flags: Sequence[str] = whole.drafts[-1].flags if whole.drafts else ()
    return WholeWorkflow(
        summary_of(whole.row, fan_id, tuple(flags)),
        None if whole.intent is None else msgspec.json.decode(whole.intent.data),
        [draft_of(one) for one in whole.drafts],
        [
            DecisionMade(
                one.version,
                one.kind,
                one.user_id,
                one.reason,
                one.text,
                render_time(from_datetime(one.decided_at)),
            )
            for one in whole.decisions
        ],
    )
