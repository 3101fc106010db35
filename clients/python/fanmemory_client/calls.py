"""What each call is, once for the client that waits and for the one that doesn't.

A function here describes a call; nothing is sent by it. One that needs several requests is a
generator: it yields a call, gets its result, and returns the whole.
"""

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from fanmemory_client import models
from fanmemory_client.errors import ServerFailed, error_of

T = TypeVar("T")
D = TypeVar("D")

Consistency = Literal["own-writes", "eventual"]
RejectReason = Literal[
    "wrong_tone", "wrong_facts", "wrong_language", "too_pushy", "unsafe", "not_needed", "other"
]
Sort = Literal["score", "revenue", "lastInteraction", "waitingSince"]
MEMORY: Final = "/api/of-memory"
WORKFLOWS: Final = "/api/workflows"
CAMPAIGNS: Final = f"{WORKFLOWS}/campaigns"
CONNECTIONS: Final = "/api/webhooks/connections"
FANS_MAX: Final = 100
"""Of one bulk read."""
EVENTS_MAX: Final = 500
"""Of one batch."""
KEY: Final = "idempotency-key"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and what its answer means."""

    method: str
    path: str
    read: Callable[[Answer], T]
    """Of an answer of 2xx or 304."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    counts_once: bool = False
    """Carried out twice it does what it does once."""

    @property
    def repeatable(self) -> bool:
        return self.counts_once or self.method != "POST"

    def result(self, answer: Answer) -> T:
        """Raises `FanMemoryError`."""
        if not 200 <= answer.status < 300 and answer.status != 304:
            raise error_of(answer.status, answer.headers, answer.body)
        try:
            return self.read(answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            said = f"The answer is not what the contract says: {error}"
            known = answer.headers.get("x-correlation-id")
            raise ServerFailed(said, status=answer.status, correlation_id=known) from error


Steps: TypeAlias = Generator[Call[Any], Any, T]
"""Several calls, one after another."""


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """What was read of a fan."""

    data: T
    correlation_id: str
    etag: str | None = None
    """Names this state of the memory; give the whole as `known` to the next read."""
    pending: str | None = None
    """The position of an own write that is not in it yet; `min_position` waits for it."""
    degraded: bool = False
    """Less than what it should be: cached while the database is away, or nothing but a form."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a stream said: a fan's memory moved, or was erased, or something was not told; or a
    budget for calls of models is nearly or wholly spent."""

    kind: Literal["update", "erased", "reset", "budget"]
    id: str
    """Where in the stream that is: as `last` the stream goes on behind it."""
    update: models.MemoryUpdate | None = None
    reason: str | None = None
    """Of a `reset`, after which all that is shown must be read again."""
    budget: models.BudgetAlert | None = None


@dataclass(slots=True)
class Contexts:
    """The memories of several fans."""

    data: dict[str, models.MemoryContext] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)
    """Of whom nothing is remembered."""
    errors: dict[str, models.FanError] = field(default_factory=dict)
    """Who could not be read now."""


# Memory.


def context(
    creator_id: str,
    fan_id: str,
    *,
    min_position: str | None = None,
    as_of: datetime | None = None,
    consistency: Consistency | None = None,
    strict: bool | None = None,
    known: Read[models.MemoryContext] | None = None,
) -> Call[Read[models.MemoryContext]]:
    """The whole memory of a fan. Raises `NotFound` for one of whom nothing is remembered.

    `min_position` waits until what was accepted there is in it; `as_of` is the memory of that
    moment; `strict` rather raises `Unavailable` than to give a context without memories. What is
    `known` is returned again when nothing has changed.
    """
    return Call(
        "GET",
        f"{MEMORY}/context",
        _read_fan(models.DataOfMemoryContext, known),
        query=_query(
            creatorId=creator_id,
            fanId=fan_id,
            minPosition=min_position,
            asOf=as_of,
            consistency=consistency,
            strict=strict,
        ),
        headers=_if_none_match(known),
    )


def engagement_score(
    creator_id: str,
    fan_id: str,
    *,
    min_position: str | None = None,
    consistency: Consistency | None = None,
    known: Read[models.EngagementScore] | None = None,
) -> Call[Read[models.EngagementScore]]:
    """One number between 0 and 1, decayed to now."""
    return Call(
        "GET",
        f"{MEMORY}/engagement-score",
        _read_fan(models.DataOfEngagementScore, known),
        query=_query(
            creatorId=creator_id,
            fanId=fan_id,
            minPosition=min_position,
            consistency=consistency,
        ),
        headers=_if_none_match(known),
    )


def explain(
    creator_id: str,
    fan_id: str,
    field: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Call[models.Explanation]:
    """Which events moved a number between two moments; by default ever, until now."""
    query = _query(creatorId=creator_id, fanId=fan_id, field=field, to=until)
    query |= _query(**{"from": since})
    read = _data(models.DataOfExplanation)
    return Call("GET", f"{MEMORY}/explain", read, query=query)


def contexts(
    creator_id: str,
    fan_ids: Iterable[str],
    *,
    consistency: Consistency | None = None,
    strict: bool | None = None,
) -> Steps[Contexts]:
    """The memories of any number of fans, a hundred at a time."""
    found = Contexts()
    for some in _chunks(fan_ids, FANS_MAX):
        body = models.BulkRequest(creator_id=creator_id, fan_ids=list(some))
        answered = yield Call(
            "POST",
            f"{MEMORY}/bulk",
            _whole(models.Contexts),
            query=_query(consistency=consistency, strict=strict),
            body=_encode(body),
            counts_once=True,
        )
        found.data.update(answered.data)
        found.not_found.extend(answered.not_found)
        found.errors.update(answered.errors)
    return found


def changes(creator_id: str, fan_id: str, since: str | datetime) -> Call[models.Changes]:
    """What happened since a position or a time, and what each field was and is."""
    query = _query(creatorId=creator_id, fanId=fan_id, since=since)
    return Call("GET", f"{MEMORY}/changes", _data(models.DataOfChanges), query=query)


def fans(
    creator_id: str,
    *,
    sort: Sort | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **conditions: str | float | bool | datetime | None,
) -> Call[models.FansPage]:
    """A page of the fans who meet all conditions, by the API's own names: `waiting`, `minScore`."""
    query = _query(creatorId=creator_id, sort=sort, limit=limit, cursor=cursor, **conditions)
    return Call("GET", f"{MEMORY}/fans", _data(models.DataOfFansPage), query=query)


def messages(
    creator_id: str,
    fan_id: str,
    *,
    q: str | None = None,
    before: datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[models.MessagesPage]:
    """A page of what was said, the newest first; with `q`, of what of it has these words."""
    query = _query(
        creatorId=creator_id, fanId=fan_id, q=q, before=before, limit=limit, cursor=cursor
    )
    return Call("GET", f"{MEMORY}/messages", _data(models.DataOfMessagesPage), query=query)


def purchases(
    creator_id: str, fan_id: str, *, limit: int | None = None, cursor: str | None = None
) -> Call[models.PurchasesPage]:
    """A page of what a fan has paid, the newest first, each less what was refunded of it."""
    query = _query(creatorId=creator_id, fanId=fan_id, limit=limit, cursor=cursor)
    return Call("GET", f"{MEMORY}/purchases", _data(models.DataOfPurchasesPage), query=query)


def what_if(
    creator_id: str, fan_id: str, events: Iterable[models.InteractionEvent]
) -> Call[models.MemoryContext]:
    """The context as it would be after up to 50 events; nothing is stored."""
    body = models.WhatIf(creator_id=creator_id, fan_id=fan_id, events=list(events))
    read = _data(models.DataOfMemoryContext)
    return Call("POST", f"{MEMORY}/what-if", read, body=_encode(body), counts_once=True)


def stream_ticket(creator_id: str, fan_id: str | None = None) -> Call[models.StreamTicket]:
    """Opens one stream, where no header can be sent: for a browser."""
    body = _encode(models.TicketRequest(creator_id=creator_id, fan_id=fan_id))
    read = _data(models.DataOfStreamTicket)
    return Call("POST", f"{MEMORY}/stream/ticket", read, body=body, counts_once=True)


# Writes.


def save(event: models.InteractionEvent) -> Call[str]:
    """Append an interaction; its position. Without an `event_id` it gets one, so it counts once."""
    return Call(
        "POST",
        f"{MEMORY}/interaction",
        lambda answer: _whole(models.Written)(answer).position,
        headers=_key_unless(event.event_id),
        body=_encode(event),
        counts_once=True,
    )


def save_all(events: Iterable[models.InteractionEvent]) -> Steps[list[models.Outcome]]:
    """Append any number, 500 at a time; one outcome for each, in order."""
    outcomes: list[models.Outcome] = []
    for some in _chunks(map(_identified, events), EVENTS_MAX):
        outcomes += yield Call(
            "POST",
            f"{MEMORY}/interactions",
            lambda answer: _whole(models.Results)(answer).data,
            body=_encode(some),
            counts_once=True,
        )
    return outcomes


def event(
    creator_id: str,
    fan_id: str,
    event_id: str,
    *,
    type: str | None = None,
    position: str | None = None,
) -> Call[models.EventFate]:
    """What became of an event: of its id, or of the record at the position that its write told."""
    query = _query(creatorId=creator_id, fanId=fan_id, type=type, position=position)
    path = f"{MEMORY}/events/{quote(event_id, safe='')}"
    return Call("GET", path, _data(models.DataOfEventFate), query=query)


def refused(
    creator_id: str, *, cursor: str | None = None, limit: int | None = None
) -> Call[models.RefusedPage]:
    """What of a creator's was refused, or conflicts, the newest first."""
    query = _query(creatorId=creator_id, cursor=cursor, limit=limit)
    return Call("GET", f"{MEMORY}/refused", _data(models.DataOfRefusedPage), query=query)


# A fan's rights.


def clear(creator_id: str, fan_id: str) -> Call[models.Cleared | models.DataOfErasure]:
    """Erase everything that is held of a fan: `Cleared` when all is gone, else how far it is."""

    def read(answer: Answer) -> models.Cleared | models.DataOfErasure:
        if answer.status == 200:
            return _whole(models.Cleared)(answer)
        return _whole(models.DataOfErasure)(answer)

    return Call("DELETE", f"{MEMORY}/clear", read, query=_query(creatorId=creator_id, fanId=fan_id))


def erasure(erasure_id: str) -> Call[models.Erasure]:
    """How far an erasure is."""
    path = f"{MEMORY}/erasures/{quote(erasure_id, safe='')}"
    return Call("GET", path, _data(models.DataOfErasure))


def receipt(erasure_id: str) -> Call[models.SignedReceipt]:
    """A signed proof of an erasure."""
    path = f"{MEMORY}/erasures/{quote(erasure_id, safe='')}/receipt"
    return Call("GET", path, _whole(models.SignedReceipt))


def forget(
    creator_id: str, fan_id: str, event_id: str
) -> Call[models.Forgotten | models.DataOfForgetting]:
    """Forget one message: `Forgotten` when it is gone, else how far it is."""

    def read(answer: Answer) -> models.Forgotten | models.DataOfForgetting:
        if answer.status == 200:
            return _whole(models.Forgotten)(answer)
        return _whole(models.DataOfForgetting)(answer)

    path = f"{MEMORY}/messages/{quote(event_id, safe='')}"
    return Call("DELETE", path, read, query=_query(creatorId=creator_id, fanId=fan_id))


def forgetting(forgetting_id: str) -> Call[models.Forgetting]:
    """How far the forgetting of a message is."""
    path = f"{MEMORY}/forgettings/{quote(forgetting_id, safe='')}"
    return Call("GET", path, _data(models.DataOfForgetting))


def forgetting_receipt(forgetting_id: str) -> Call[models.SignedReceipt]:
    """A signed proof of it."""
    path = f"{MEMORY}/forgettings/{quote(forgetting_id, safe='')}/receipt"
    return Call("GET", path, _whole(models.SignedReceipt))


def receipt_keys() -> Call[models.ReceiptKeys]:
    """The public keys to check receipts with."""
    return Call("GET", "/.well-known/fanmemory-receipt-keys", _whole(models.ReceiptKeys))


def retention(creator_id: str) -> Call[models.Retention]:
    """How long a silent fan is kept."""
    read, query = _data(models.DataOfRetention), _query(creatorId=creator_id)
    return Call("GET", f"{MEMORY}/retention", read, query=query)


def set_retention(creator_id: str, value: models.Retention) -> Call[models.Retention]:
    read, query = _data(models.DataOfRetention), _query(creatorId=creator_id)
    return Call("PUT", f"{MEMORY}/retention", read, query=query, body=_encode(value))


def suppression(creator_id: str, fan_id: str) -> Call[models.Suppression]:
    """Whether anything more is remembered of a fan."""
    return _suppression("GET", creator_id, fan_id)


def suppress(creator_id: str, fan_id: str) -> Call[models.Suppression]:
    """Remember nothing more of a fan."""
    return _suppression("PUT", creator_id, fan_id)


def unsuppress(creator_id: str, fan_id: str) -> Call[models.Suppression]:
    return _suppression("DELETE", creator_id, fan_id)


def _suppression(method: str, creator_id: str, fan_id: str) -> Call[models.Suppression]:
    read, query = _data(models.DataOfSuppression), _query(creatorId=creator_id, fanId=fan_id)
    return Call(method, f"{MEMORY}/suppression", read, query=query)


# Workflows.


def start_workflow(intent: models.ProductionWorkflowIntent) -> Call[models.Accepted]:
    """Ask the agent for something; without an `intent_id` it gets one, so it is asked once."""
    return Call(
        "POST",
        WORKFLOWS,
        _whole(models.Accepted),
        headers=_key_unless(intent.intent_id),
        body=_encode(intent),
        counts_once=True,
    )


def workflows(
    *,
    creator_id: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[models.Page]:
    """A page of workflows, the newest first; `next_cursor` of it gives the next."""
    query = _query(creatorId=creator_id, state=state, cursor=cursor, limit=limit)
    return Call("GET", WORKFLOWS, _data(models.DataOfPage), query=query)


def workflow(workflow_id: str, *, creator_id: str | None = None) -> Call[models.WholeWorkflow]:
    """A workflow with its drafts and decisions."""
    query = _query(creatorId=creator_id)
    return Call("GET", _path(workflow_id), _data(models.DataOfWholeWorkflow), query=query)


def approve(
    workflow_id: str, version: int, *, creator_id: str | None = None
) -> Call[models.WorkflowSummary]:
    """Approve one version of a draft. Raises `Conflict` when there is something newer."""
    return _judge(workflow_id, "approve", creator_id, models.Approve(version=version))


def reject(
    workflow_id: str,
    version: int,
    reason: RejectReason,
    *,
    text: str | None = None,
    creator_id: str | None = None,
) -> Call[models.WorkflowSummary]:
    """Reject one version of a draft; `other` needs a text."""
    body = models.Reject(version=version, reason=reason, text=text)
    return _judge(workflow_id, "reject", creator_id, body)


def edit(
    workflow_id: str,
    version: int,
    messages: Sequence[str],
    *,
    memory_version: str | None = None,
    creator_id: str | None = None,
) -> Call[models.WorkflowSummary]:
    """Make another version of a draft. `memory_version` is of the context that the editor has
    read; without it the draft stays as old."""
    body = models.Edit(version=version, messages=list(messages), memory_version=memory_version)
    return _judge(workflow_id, "edit", creator_id, body)


def cancel(workflow_id: str, *, creator_id: str | None = None) -> Call[models.WorkflowSummary]:
    return _judge(workflow_id, "cancel", creator_id, None)


def recompose(workflow_id: str, *, creator_id: str | None = None) -> Call[models.WorkflowSummary]:
    """Compose it again."""
    return _judge(workflow_id, "retry", creator_id, None)


def resolve(
    workflow_id: str, *, sent: bool, text: str | None = None, creator_id: str | None = None
) -> Call[models.WorkflowSummary]:
    """Say what became of a message of which nobody knows whether it was sent."""
    return _judge(workflow_id, "resolve", creator_id, models.Resolve(sent=sent, text=text))


def _judge(
    workflow_id: str, verb: str, creator_id: str | None, body: msgspec.Struct | None
) -> Call[models.WorkflowSummary]:
    return Call(
        "POST",
        f"{_path(workflow_id)}/{verb}",
        _data(models.DataOfWorkflowSummary),
        query=_query(creatorId=creator_id),
        body=None if body is None else _encode(body),
    )


def approve_several(
    drafts: Sequence[models.NamedDraft], *, creator_id: str | None = None
) -> Call[list[models.Judged]]:
    """Up to 50 drafts, each judged by itself."""
    body = _encode(models.ApproveSeveral(drafts=list(drafts)))
    read, query = _data(models.DataOfJudgedList), _query(creatorId=creator_id)
    return Call("POST", f"{WORKFLOWS}/approve", read, query=query, body=body)


def hold(fan_id: str, *, hold: bool = True, creator_id: str | None = None) -> Call[models.Hold]:
    """The AI is silent for a fan, or speaks again."""
    body = _encode(models.Hold(fan_id=fan_id, hold=hold))
    read, query = _data(models.DataOfHold), _query(creatorId=creator_id)
    return Call("POST", f"{WORKFLOWS}/hold", read, query=query, body=body, counts_once=True)


def halt(*, halt: bool = True, creator_id: str | None = None) -> Call[models.Halt]:
    """All sends stand still, or go on."""
    body = _encode(models.Halt(halt=halt))
    read, query = _data(models.DataOfHalt), _query(creatorId=creator_id)
    return Call("POST", f"{WORKFLOWS}/halt", read, query=query, body=body, counts_once=True)


def costs(
    *,
    creator_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Call[models.CostReport]:
    """What calls of models cost."""
    query = _query(creatorId=creator_id, to=until) | _query(**{"from": since})
    return Call("GET", f"{WORKFLOWS}/costs", _data(models.DataOfCostReport), query=query)


def preview_campaign(
    campaign: models.PreviewCampaign, *, creator_id: str | None = None
) -> Call[models.Accepted]:
    """Ask for five drafts of a campaign and for what it may cost; it waits for `start_campaign`.

    Without an `intent_id` it gets one, so it is asked once."""
    return Call(
        "POST",
        f"{CAMPAIGNS}/preview",
        _whole(models.Accepted),
        query=_query(creatorId=creator_id),
        headers=_key_unless(campaign.intent_id),
        body=_encode(campaign),
        counts_once=True,
    )


def campaigns(
    *, creator_id: str | None = None, cursor: str | None = None, limit: int | None = None
) -> Call[models.CampaignPage]:
    """A page of campaigns, the newest first; `next_cursor` of it gives the next."""
    query = _query(creatorId=creator_id, cursor=cursor, limit=limit)
    return Call("GET", CAMPAIGNS, _data(models.DataOfCampaignPage), query=query)


def campaign(campaign_id: str, *, creator_id: str | None = None) -> Call[models.CampaignDetails]:
    """How a campaign stands, its estimate and its previews."""
    read, query = _data(models.DataOfCampaignDetails), _query(creatorId=creator_id)
    return Call("GET", _campaign(campaign_id), read, query=query)


def start_campaign(
    campaign_id: str, *, creator_id: str | None = None
) -> Call[models.CampaignSummary]:
    """Let a previewed campaign write to its members."""
    return _steer(campaign_id, "start", creator_id)


def pause_campaign(
    campaign_id: str, *, creator_id: str | None = None
) -> Call[models.CampaignSummary]:
    """Nothing more is composed or sent until `resume_campaign`."""
    return _steer(campaign_id, "pause", creator_id)


def resume_campaign(
    campaign_id: str,
    *,
    budget: models.CampaignBudget | None = None,
    creator_id: str | None = None,
) -> Call[models.CampaignSummary]:
    """It goes on, with another budget where one is given."""
    return _steer(campaign_id, "resume", creator_id, models.ResumeCampaign(budget=budget))


def stop_campaign(
    campaign_id: str, *, creator_id: str | None = None
) -> Call[models.CampaignSummary]:
    """End it for good: what was not sent is not sent any more."""
    return _steer(campaign_id, "stop", creator_id)


def _steer(
    campaign_id: str, does: str, creator_id: str | None, body: models.ResumeCampaign | None = None
) -> Call[models.CampaignSummary]:
    return Call(
        "POST",
        f"{_campaign(campaign_id)}/{does}",
        _data(models.DataOfCampaignSummary),
        query=_query(creatorId=creator_id),
        body=None if body is None else _encode(body),
    )


# Connections to platforms, and the service itself.


def connections(*, creator_id: str | None = None) -> Call[list[models.Connection]]:
    """A creator's connections to platforms."""
    return Call(
        "GET",
        CONNECTIONS,
        lambda answer: _data(models.DataOfConnections)(answer).connections,
        query=_query(creatorId=creator_id),
    )


def connection(connection_id: str, *, creator_id: str | None = None) -> Call[models.Connection]:
    read, query = _data(models.DataOfConnection), _query(creatorId=creator_id)
    return Call("GET", f"{CONNECTIONS}/{quote(connection_id, safe='')}", read, query=query)


def connect(
    connection_id: str, value: models.NewConnection, *, creator_id: str | None = None
) -> Call[models.Connection]:
    """Make a connection, or put another in its place."""
    path, read = f"{CONNECTIONS}/{quote(connection_id, safe='')}", _data(models.DataOfConnection)
    return Call("PUT", path, read, query=_query(creatorId=creator_id), body=_encode(value))


def disconnect(connection_id: str, *, creator_id: str | None = None) -> Call[models.Done]:
    path, read = f"{CONNECTIONS}/{quote(connection_id, safe='')}", _whole(models.Done)
    return Call("DELETE", path, read, query=_query(creatorId=creator_id))


def stats() -> Call[models.Circuits]:
    """The circuits around database, cache and broker."""
    return Call("GET", f"{MEMORY}/stats", _data(models.DataOfCircuits))


# What they are made of.


def _whole(model: type[T]) -> Callable[[Answer], T]:
    decode = msgspec.json.Decoder(model).decode
    return lambda answer: decode(answer.body)


def _data(model: type[models.Enveloped[D]]) -> Callable[[Answer], D]:
    decode = msgspec.json.Decoder(model).decode
    return lambda answer: decode(answer.body).data


def _read_fan(
    model: type[models.Enveloped[D]], known: Read[D] | None
) -> Callable[[Answer], Read[D]]:
    def read(answer: Answer) -> Read[D]:
        if answer.status == 304 and known is not None:
            return known
        body: Any = msgspec.json.decode(answer.body, type=model)
        return Read(
            body.data,
            body.correlation_id,
            etag=answer.headers.get("etag"),
            pending=answer.headers.get("x-memory-pending"),
            degraded=bool(body.degraded),
        )

    return read


def _query(**given: str | float | bool | datetime | None) -> dict[str, str]:
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: str | float | bool | datetime) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs a zone")
        return value.isoformat()
    return str(value)


def _path(workflow_id: str) -> str:
    return f"{WORKFLOWS}/{quote(workflow_id, safe='')}"


def _campaign(campaign_id: str) -> str:
    return f"{CAMPAIGNS}/{quote(campaign_id, safe='')}"


def _if_none_match(known: Read[Any] | None) -> dict[str, str]:
    return {} if known is None or known.etag is None else {"if-none-match": known.etag}


def _key_unless(own: str | None) -> dict[str, str]:
    return {} if own is not None else {KEY: str(uuid.uuid4())}


def _identified(event: models.InteractionEvent) -> models.InteractionEvent:
    if event.event_id is not None:
        return event
    return msgspec.structs.replace(event, event_id=str(uuid.uuid4()))


def _chunks(all_: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    left = iter(all_)
    while some := tuple(islice(left, size)):
        yield some
