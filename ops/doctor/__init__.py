"""`fanmemory doctor`: look at everything a system stands on, and say what to do about it.

Every check answers for itself and none can stop the others. A check looks, it changes nothing.

machine       this Python, and what the embedded services are made of
directory     the data directory and its secrets
certificates  files that the settings name
models        who drafts, and what that costs
server        our own API
broker        Kafka and our topics
database      PostgreSQL, its roles, and what it says about keys, logs, the outbox and the time
cache         Redis
findings      what a check can say
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from infra.settings import Settings
from ops.doctor import broker, cache, database, directory, machine, models, server
from ops.doctor.certificates import certificates
from ops.doctor.findings import Finding, Note, Problem
from ops.refusals import refusal
from ops.services import discover, kafka, postgres, valkey
from ops.system import embedded_names
from schemas.errors import FanMemoryError, NotRunning

CHECK_SECONDS_MAX = 15.0


async def examine(data: Path, settings: Settings) -> list[Finding]:
    """Run every check; the findings come in the order in which one would mend things."""
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("python", _in_thread(machine.python_version)),
        *_embedded_checks(data, settings),
        ("data directory", _in_thread(partial(directory.data_directory, data, settings))),
        ("lock", _in_thread(partial(directory.lock, data))),
        ("secrets", _in_thread(partial(directory.secrets, data, settings))),
        ("certificates", _in_thread(partial(certificates, settings))),
        ("models", _in_thread(partial(models.models, settings))),
        ("api", partial(server.api, data, settings)),
    ]
    try:
        found = discover.endpoints(data, settings)
    except NotRunning as error:
        findings = await _run(checks)
        return [*findings, Finding("services", "note", str(error), error.advice)]
    reachable = found.reached_by(settings)
    checks += [
        ("kafka", partial(broker.brokers, reachable)),
        ("topics", partial(broker.our_topics, reachable)),
        ("postgres", partial(database.server, reachable)),
        ("schema", partial(database.schema, reachable)),
        ("roles", partial(database.roles, reachable)),
        ("logs", partial(database.logs, reachable)),
        ("keyring", partial(database.keyring, data, reachable)),
        ("outbox", partial(database.untold, reachable)),
        ("erased", partial(database.erased, reachable)),
        ("redis", partial(cache.redis, reachable)),
        ("clock", partial(database.clock, reachable)),
    ]
    return await _run(checks)


async def _run(checks: list[tuple[str, Callable[[], Awaitable[str]]]]) -> list[Finding]:
    return list(await asyncio.gather(*(_finding(name, check) for name, check in checks)))


async def _finding(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            return Finding(name, "ok", await check())
    except Note as note:
        return Finding(name, "note", str(note), note.advice)
    except Problem as problem:
        return Finding(name, "problem", str(problem), problem.advice)
    except FanMemoryError as error:
        told = refusal(error) or error
        return Finding(name, "problem", str(told), told.advice)
    except TimeoutError:
        return Finding(name, "problem", "No answer in time.", "Look at the machine's load.")
    except Exception as error:  # noqa: BLE001 - whatever a driver raises is an answer here
        refused = refusal(error)
        if refused is not None:
            return Finding(name, "problem", str(refused), refused.advice)
        # Its text may carry an address with its password, so the class has to do.
        return Finding(
            name,
            "problem",
            f"It failed with {type(error).__name__}.",
            "Check that the address is right, that the service runs and lets this client in.",
        )


def _in_thread(check: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    return partial(asyncio.to_thread, check)


def _embedded_checks(
    data: Path, settings: Settings
) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
    needed = embedded_names(settings)
    checks: list[tuple[str, Callable[[], str]]] = []
    if kafka.NAME in needed:
        checks += [("java", machine.java), ("kafka jars", machine.kafka_jars)]
    if postgres.NAME in needed:
        checks += [
            ("postgres binary", machine.postgres_binary),
            ("postgres user", partial(machine.postgres_user, data)),
        ]
    if valkey.NAME in needed:
        checks.append(("valkey binary", machine.valkey_binary))
    return [(name, _in_thread(check)) for name, check in checks]
