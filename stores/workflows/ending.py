"""The end of a workflow: its result is told once, and the row is done with."""

from dataclasses import replace

from infra.postgres import Connection
from schemas.errors import SealBroken
from schemas.intents import Intent
from schemas.workflows import State
from stores.workflows import telling
from stores.workflows.rows import Workflow, save
from stores.workflows.sealed import Body, Vault, open_intent


async def end(
    connection: Connection,
    vault: Vault,
    workflow: Workflow,
    state: State,
    reason: str | None = None,
    *,
    body: Body | None = None,
    scrub: bool = False,
) -> Workflow:
    """End the workflow, whose row the caller has locked. `body` is what was written or sent.

    `scrub` keeps nothing of the intent: it was about somebody of whom nothing is known.
    """
    ended = workflow.moved(state, reason, told=True)
    await telling.result(connection, ended, await intent_of(connection, vault, workflow), body)
    await save(connection, replace(ended, intent=None, subject=None) if scrub else ended)
    return ended


async def intent_of(connection: Connection, vault: Vault, workflow: Workflow) -> Intent | None:
    """None when it can't be opened any more: its fan was erased, or the row altered."""
    if workflow.intent is None:
        return None
    try:
        sealer = await vault.sealer(connection, workflow.creator_id, workflow.subject)
        return None if sealer is None else open_intent(sealer, workflow.workflow, workflow.intent)
    except SealBroken:
        return None
