"""The ASGI application: the table of endpoints, and the lifespan of what answers them."""

from collections.abc import Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from api import (
    bulk,
    changes,
    connections,
    contract,
    erasures,
    export,
    fans,
    forgettings,
    health,
    interactions,
    memory,
    receipts,
    retention,
    stats,
    stream,
    suppression,
    webhooks,
    what_if,
    workflows,
)
from api.auth import Authenticator
from api.components import Components, open_components
from api.dispatch import Dispatch
from api.endpoints import Access, Endpoint
from api.metrics import ApiMetrics
from api.parameters import (
    AS_OF,
    CONNECTION,
    CONSISTENCY,
    CREATOR_ID,
    CURSOR,
    ERASURE,
    EVENT_ID,
    FAN_ID,
    FIELD,
    FORGETTING,
    FROM,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    LAST_EVENT_ID,
    LAST_EVENT_ID_IN_QUERY,
    LIMIT,
    MIN_POSITION,
    ONE_FAN,
    PLATFORM,
    SINCE,
    STATE,
    STRICT,
    TICKET,
    TO,
    WHICH_CREATOR,
    WORKFLOW,
)
from api.watched import exposition_of
from infra.exposition import Exposition
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.log_ids import LogIds
from schemas.answers import (
    Cleared,
    Contexts,
    Data,
    Done,
    Erasure,
    Forgetting,
    Forgotten,
    Results,
    Suppression,
    Taken,
    Written,
)
from schemas.bulk import BulkRequest
from schemas.context import EngagementScore, MemoryContext
from schemas.errors import (
    BrokerUnavailable,
    CacheUnavailable,
    ConnectionTaken,
    DatabaseUnavailable,
    DeliveryRefused,
    DeliveryUnfit,
    DraftStale,
    ErasureNotFound,
    FanNotFound,
    FansUnindexed,
    FanSuppressed,
    ForgettingNotFound,
    MessageNotFound,
    Overloaded,
    RouteNotFound,
    WorkflowConflict,
    WorkflowNotFound,
)
from schemas.intents import IntentWire
from schemas.published_event import Batch, InteractionEvent
from schemas.receipts import ReceiptKeys, SignedReceipt
from schemas.workflows import WorkflowSummary
from views.changes import Changes
from views.explain import Explanation

PREFIX = "/api/of-memory"
WORKFLOWS = "/api/workflows"

_OF_FAN = (FAN_ID, CREATOR_ID)
_NEW_ENOUGH = (MIN_POSITION, CONSISTENCY)
_UNREAD = (DatabaseUnavailable, CacheUnavailable)

ENDPOINTS = (
    Endpoint(
        f"{PREFIX}/context",
        "GET",
        memory.get_context,
        "getMemoryContext",
        scope="memory:read",
        parameters=(*_OF_FAN, *_NEW_ENOUGH, AS_OF, STRICT, IF_NONE_MATCH),
        response=Data[MemoryContext],
        raises=(FanNotFound, *_UNREAD),
    ),
    Endpoint(
        f"{PREFIX}/engagement-score",
        "GET",
        memory.get_score,
        "getEngagementScore",
        scope="memory:read",
        parameters=(*_OF_FAN, *_NEW_ENOUGH, IF_NONE_MATCH),
        response=Data[EngagementScore],
        raises=(FanNotFound, *_UNREAD),
    ),
    Endpoint(
        f"{PREFIX}/explain",
        "GET",
        memory.get_explanation,
        "explain",
        scope="memory:read",
        parameters=(*_OF_FAN, FIELD, FROM, TO),
        response=Data[Explanation],
        raises=(FanNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/changes",
        "GET",
        changes.get_changes,
        "getChanges",
        scope="memory:read",
        parameters=(*_OF_FAN, SINCE),
        response=Data[Changes],
        raises=(FanNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/what-if",
        "POST",
        what_if.get_context_after,
        "whatIf",
        scope="memory:read",
        request=what_if.WhatIf,
        response=Data[MemoryContext],
        raises=(FanNotFound, FanSuppressed, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/bulk",
        "POST",
        bulk.get_contexts,
        "getMemoriesForFans",
        scope="memory:read",
        parameters=(CONSISTENCY, STRICT),
        request=BulkRequest,
        response=Contexts,
    ),
    Endpoint(
        f"{PREFIX}/fans",
        "GET",
        fans.list_fans,
        "listFans",
        scope="memory:read",
        parameters=fans.PARAMETERS,
        response=Data[fans.FansPage],
        raises=(FansUnindexed, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/interaction",
        "POST",
        interactions.save_interaction,
        "saveInteraction",
        scope="memory:write",
        parameters=(IDEMPOTENCY_KEY,),
        request=InteractionEvent,
        response=Written,
        raises=(FanSuppressed, BrokerUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/interactions",
        "POST",
        interactions.save_interactions,
        "saveInteractions",
        scope="memory:write",
        body_bytes_max=interactions.BATCH_BYTES_MAX,
        parameters=(IDEMPOTENCY_KEY,),
        request=Batch,
        response=Results,
        raises=(BrokerUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/stream",
        "GET",
        stream.get_stream,
        "streamUpdates",
        scope="memory:read",
        streams=True,
        ticket=True,
        parameters=(CREATOR_ID, ONE_FAN, LAST_EVENT_ID, LAST_EVENT_ID_IN_QUERY, TICKET),
        response_media="text/event-stream",
        raises=(BrokerUnavailable, CacheUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/stream/ticket",
        "POST",
        stream.create_ticket,
        "createStreamTicket",
        scope="memory:read",
        request=stream.TicketRequest,
        response=Data[stream.StreamTicket],
    ),
    Endpoint(
        f"{PREFIX}/export",
        "GET",
        export.get_export,
        "exportFan",
        scope="memory:read",
        streams=True,
        parameters=_OF_FAN,
        response=dict[str, Any],
        raises=(FanNotFound, DatabaseUnavailable, Overloaded),
    ),
    Endpoint(
        f"{PREFIX}/retention",
        "GET",
        retention.get_retention,
        "getRetention",
        scope="memory:read",
        parameters=(CREATOR_ID,),
        response=Data[retention.Retention],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/retention",
        "PUT",
        retention.put_retention,
        "putRetention",
        scope="memory:erase",
        parameters=(CREATOR_ID,),
        request=retention.Retention,
        response=Data[retention.Retention],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/suppression",
        "GET",
        suppression.get_suppression,
        "getSuppression",
        scope="memory:read",
        parameters=_OF_FAN,
        response=Data[Suppression],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/suppression",
        "PUT",
        suppression.put_suppression,
        "putSuppression",
        scope="memory:erase",
        parameters=_OF_FAN,
        response=Data[Suppression],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/suppression",
        "DELETE",
        suppression.delete_suppression,
        "deleteSuppression",
        scope="memory:erase",
        parameters=_OF_FAN,
        response=Data[Suppression],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/clear",
        "DELETE",
        erasures.clear,
        "clearMemory",
        scope="memory:erase",
        parameters=_OF_FAN,
        response=Cleared,
        response_later=Data[Erasure],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{PREFIX}/erasures/{{erasure}}",
        "GET",
        erasures.get_erasure,
        "getErasure",
        scope="memory:erase",
        parameters=(ERASURE,),
        response=Data[Erasure],
        raises=(ErasureNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/erasures/{{erasure}}/receipt",
        "GET",
        receipts.get_receipt,
        "getReceipt",
        scope="memory:erase",
        parameters=(ERASURE,),
        response=SignedReceipt,
        raises=(ErasureNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/messages/{{eventId}}",
        "DELETE",
        forgettings.forget_message,
        "forgetMessage",
        scope="memory:erase",
        parameters=(EVENT_ID, *_OF_FAN),
        response=Forgotten,
        response_later=Data[Forgetting],
        raises=(MessageNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/forgettings/{{forgetting}}",
        "GET",
        forgettings.get_forgetting,
        "getForgetting",
        scope="memory:erase",
        parameters=(FORGETTING,),
        response=Data[Forgetting],
        raises=(ForgettingNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{PREFIX}/forgettings/{{forgetting}}/receipt",
        "GET",
        receipts.get_forgetting_receipt,
        "getForgettingReceipt",
        scope="memory:erase",
        parameters=(FORGETTING,),
        response=SignedReceipt,
        raises=(ForgettingNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        "/.well-known/fanmemory-receipt-keys",
        "GET",
        receipts.get_keys,
        "getReceiptKeys",
        access=Access.PUBLIC,
        response=ReceiptKeys,
    ),
    Endpoint(
        f"{PREFIX}/stats",
        "GET",
        stats.get_stats,
        "getStats",
        scope="memory:read",
        response=Data[stats.Circuits],
    ),
    Endpoint(
        WORKFLOWS,
        "POST",
        workflows.create_workflow,
        "createWorkflow",
        parameters=(IDEMPOTENCY_KEY,),
        request=IntentWire,
        response=workflows.Accepted,
        response_later=workflows.Accepted,
        raises=(BrokerUnavailable,),
    ),
    Endpoint(
        WORKFLOWS,
        "GET",
        workflows.list_workflows,
        "listWorkflows",
        scope="memory:read",
        parameters=(WHICH_CREATOR, STATE, CURSOR, LIMIT),
        response=Data[workflows.Page],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{WORKFLOWS}/costs",
        "GET",
        workflows.get_costs,
        "getWorkflowCosts",
        scope="memory:read",
        parameters=(WHICH_CREATOR, FROM, TO),
        response=Data[workflows.CostReport],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{WORKFLOWS}/approve",
        "POST",
        workflows.approve_workflows,
        "approveWorkflows",
        parameters=(WHICH_CREATOR,),
        request=workflows.ApproveSeveral,
        response=Data[list[workflows.Judged]],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{WORKFLOWS}/hold",
        "POST",
        workflows.hold_fan,
        "holdFan",
        parameters=(WHICH_CREATOR,),
        request=workflows.Hold,
        response=Data[workflows.Hold],
        raises=(WorkflowNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        f"{WORKFLOWS}/halt",
        "POST",
        workflows.halt_sends,
        "haltSends",
        parameters=(WHICH_CREATOR,),
        request=workflows.Halt,
        response=Data[workflows.Halt],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        f"{WORKFLOWS}/{{workflow}}",
        "GET",
        workflows.get_workflow,
        "getWorkflow",
        scope="memory:read",
        parameters=(WORKFLOW, WHICH_CREATOR),
        response=Data[workflows.WholeWorkflow],
        raises=(WorkflowNotFound, DatabaseUnavailable),
    ),
    *(
        Endpoint(
            f"{WORKFLOWS}/{{workflow}}/{does}",
            "POST",
            handler,
            f"{does}Workflow",
            parameters=(WORKFLOW, WHICH_CREATOR),
            request=body,
            response=Data[WorkflowSummary],
            raises=(WorkflowNotFound, WorkflowConflict, DraftStale, DatabaseUnavailable),
        )
        for does, handler, body in (
            ("approve", workflows.approve_workflow, workflows.Approve),
            ("reject", workflows.reject_workflow, workflows.Reject),
            ("edit", workflows.edit_workflow, workflows.Edit),
            ("cancel", workflows.cancel_workflow, None),
            ("retry", workflows.retry_workflow, None),
            ("resolve", workflows.resolve_workflow, workflows.Resolve),
        )
    ),
    Endpoint(
        "/api/webhooks/connections",
        "GET",
        connections.list_connections,
        "listConnections",
        scope="memory:read",
        parameters=(WHICH_CREATOR,),
        response=Data[connections.Connections],
        raises=(DatabaseUnavailable,),
    ),
    Endpoint(
        "/api/webhooks/connections/{connection}",
        "GET",
        connections.get_connection,
        "getConnection",
        scope="memory:read",
        parameters=(CONNECTION, WHICH_CREATOR),
        response=Data[connections.Connection],
        raises=(RouteNotFound, DatabaseUnavailable),
    ),
    Endpoint(
        "/api/webhooks/connections/{connection}",
        "PUT",
        connections.put_connection,
        "putConnection",
        parameters=(CONNECTION, WHICH_CREATOR),
        request=connections.NewConnection,
        response=Data[connections.Connection],
        raises=(RouteNotFound, ConnectionTaken, DatabaseUnavailable),
    ),
    Endpoint(
        "/api/webhooks/connections/{connection}",
        "DELETE",
        connections.delete_connection,
        "deleteConnection",
        parameters=(CONNECTION, WHICH_CREATOR),
        response=Done,
        raises=(RouteNotFound, DatabaseUnavailable),
    ),
    # The platform's own signature says who asks, checked against the connection's secret.
    Endpoint(
        "/api/webhooks/{platform}/{connection}",
        "POST",
        webhooks.deliver,
        "deliver",
        access=Access.PUBLIC,
        parameters=(PLATFORM, CONNECTION),
        request=dict[str, Any],
        response=Taken,
        raises=(
            RouteNotFound,
            DeliveryRefused,
            DeliveryUnfit,
            BrokerUnavailable,
            DatabaseUnavailable,
        ),
    ),
    Endpoint(
        "/health/live",
        "GET",
        health.live,
        "live",
        access=Access.PUBLIC,
        quiet=True,
        response=dict[str, str],
    ),
    Endpoint(
        "/health/ready",
        "GET",
        health.ready,
        "ready",
        access=Access.PUBLIC,
        quiet=True,
        response=dict[str, str],
    ),
    Endpoint(
        "/openapi.json",
        "GET",
        contract.get_openapi,
        "openapi",
        access=Access.PUBLIC,
        response=dict[str, Any],
    ),
    Endpoint(
        "/docs",
        "GET",
        contract.get_page,
        "docs",
        access=Access.PUBLIC,
        response_media="text/html",
    ),
)
"""Everything that is answered. What says nothing about access asks for a creator's token."""


class App:
    """Opens the components when the server starts and closes them when it stops."""

    def __init__(self, settings: Settings, endpoints: Sequence[Endpoint] = ENDPOINTS) -> None:
        """Raises `Misconfigured` for a bad JWT secret or keyring.

        None of the services has to be up for starting.
        """
        self._settings = settings
        self._keyring = Keyring.of(settings)
        self._metrics = ApiMetrics()
        self._auth = Authenticator(settings)
        self._dispatch = Dispatch(
            endpoints, self._auth, settings, self._metrics, LogIds(self._keyring)
        )
        self._contract = contract.Contract(endpoints)
        self._components: Components | None = None
        self.exposition: Exposition | None = None
        """Where machines ask how it does, once it runs."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["components"] = self._components
            scope["contract"] = self._contract
            await self._dispatch(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    def stop_streams(self) -> None:
        """The server is about to stop: nobody waits for what never ends by itself."""
        if self._components is not None:
            self._components.feed.stop()

    async def _live(self, receive: Receive, send: Send) -> None:
        """What is raised while starting goes to the server, which logs it and does not start."""
        await receive()
        components = await open_components(self._settings, self._keyring, self._metrics)
        self._components = components
        self._auth.follow(components.revoked)
        self._auth.start()
        exposition = exposition_of(components)
        self.exposition = exposition
        await exposition.open()
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await exposition.close()
            await self._auth.close()
            await components.close()
        await send({"type": "lifespan.shutdown.complete"})
