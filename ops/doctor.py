"""`fanmemory doctor`: look at everything a system stands on, and say what to do about it.

Every check answers for itself and none can stop the others. A check looks, it changes nothing.
"""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from admin import log_state, topics
from api.app import PREFIX
from api.tokens import issue_token
from infra.kafka import admin
from infra.postgres import Connection, UndefinedTableError, connecting
from infra.redis import open_redis
from infra.settings import Settings
from infra.sql import load_queries
from ops.certificates import certificates
from ops.findings import Finding, Note, Problem
from ops.refusals import refusal
from ops.secrets import JWT_SECRET_FILE, KEYRING_FILE, with_jwt_secret
from ops.services import discover, kafka, postgres, valkey
from ops.services.endpoints import FILE_NAME, without_password
from ops.services.jars import damaged, jars, kafka_home
from ops.services.launch import UNPRIVILEGED
from ops.services.lock import holder, is_held
from ops.services.ports import is_free
from ops.system import answers_ready, embedded_names, http_status
from privacy.binding import binding_state
from privacy.keys import Keyring
from schemas.errors import FanMemoryError, Misconfigured, NotRunning
from stores import migrate, outbox

SQL = load_queries(Path(__file__).with_name("doctor.sql"))
PYTHON_OLDEST = (3, 11)
FREE_BYTES_MIN = 1 << 30
CHECK_SECONDS_MAX = 15.0
ANSWER_SECONDS_MAX = 5.0
OUTBOX_SECONDS_MAX = 60.0
CLOCK_SECONDS_MAX = 2.0
"""Events more than 5 minutes ahead are refused; half a percent of that is time to look."""

NOBODY = "doctor"
"""A creator and fan that no platform has."""


async def examine(data: Path, settings: Settings) -> list[Finding]:
    """Run every check; the findings come in the order in which one would mend things."""
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("python", _in_thread(_python)),
        *_embedded_checks(data, settings),
        ("data directory", _in_thread(partial(_data_directory, data, settings))),
        ("lock", _in_thread(partial(_lock, data))),
        ("secrets", _in_thread(partial(_secrets, data, settings))),
        ("certificates", _in_thread(partial(certificates, settings))),
        ("api", partial(_api, data, settings)),
    ]
    try:
        found = discover.endpoints(data, settings)
    except NotRunning as error:
        findings = await _run(checks)
        return [*findings, Finding("services", "note", str(error), error.advice)]
    reachable = settings.model_copy(
        update={
            "kafka_url": found.kafka,
            "postgres_url": found.postgres_url,
            "redis_url": found.redis_url,
        }
    )
    checks += [
        ("kafka", partial(_kafka, reachable)),
        ("topics", partial(_topics, reachable)),
        ("postgres", partial(_postgres, reachable)),
        ("schema", partial(_schema, reachable)),
        ("logs", partial(_logs, reachable)),
        ("keyring", partial(_keyring, data, reachable)),
        ("outbox", partial(_outbox, reachable)),
        ("redis", partial(_redis, reachable)),
        ("clock", partial(_clock, reachable)),
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
        checks += [("java", _java), ("kafka jars", _jars)]
    if postgres.NAME in needed:
        checks += [("postgres binary", _postgres_binary), ("postgres user", partial(_user, data))]
    if valkey.NAME in needed:
        checks.append(("valkey binary", _valkey_binary))
    return [(name, _in_thread(check)) for name, check in checks]


def _python() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_OLDEST:
        raise Problem(f"Python {version}", "Install Python 3.11 or newer and `make install`.")
    return f"Python {version}"


def _output(*words: str) -> str:
    try:
        ran = subprocess.run(words, capture_output=True, timeout=10, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Problem(f"{words[0]} does not run.", "Run `make install` again.") from error
    if ran.returncode != 0:
        raise Problem(f"{words[0]} ends with code {ran.returncode}.", "Run `make install` again.")
    return (ran.stdout or ran.stderr).splitlines()[0].strip()


def _java() -> str:
    return _output(str(kafka.java()), "-version")


def _jars() -> str:
    bad = damaged(kafka_home())
    if bad:
        raise Problem(
            f"{len(bad)} of {len(jars())} jars are missing or damaged, first {bad[0].file_name}.",
            "Run `fanmemory services install`.",
        )
    if not (kafka_home() / kafka.AOT_CACHE).is_file():
        raise Note(
            "The jars are as pinned; Kafka starts a second slower than it could.",
            "Run `fanmemory services install`.",
        )
    return f"{len(jars())} jars are as pinned"


def _postgres_binary() -> str:
    return _output(str(postgres.binary("postgres")), "-V")


def _valkey_binary() -> str:
    return _output(str(valkey.binary()), "--version")


def _user(data: Path) -> str:
    if os.geteuid() != 0:
        return f"runs as uid {os.geteuid()}"
    home = data / postgres.NAME
    if home.exists() and home.stat().st_uid != 0:
        return f"root becomes uid {home.stat().st_uid}, who owns {home}"
    if postgres.namespaces_allowed():
        return "root runs it in a user namespace"
    nearest = next(path for path in (home, *home.absolute().parents) if path.exists())
    for path in (nearest / "below", postgres.binary("postgres")):
        blocked = postgres.untraversable(path, UNPRIVILEGED, UNPRIVILEGED)
        if blocked is not None:
            raise Problem(
                f"Root can't run it: no user namespaces, and nobody may not enter {blocked}.",
                "Run as an ordinary user, or allow others to pass through that directory.",
            )
    return "root becomes nobody"


def _data_directory(data: Path, settings: Settings) -> str:
    secrets = (settings.keyring, settings.jwt_secret)
    if not embedded_names(settings) and all(secret.get_secret_value() for secret in secrets):
        return "not needed: every service has an address, and the secrets are named"
    shown = data.absolute()
    nearest = next(path for path in (shown, *shown.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise Problem(
            f"{nearest} can't be written.", "Give another directory with --data or FANMEMORY_DATA."
        )
    free = shutil.disk_usage(nearest).free
    if free < FREE_BYTES_MIN:
        raise Problem(f"{nearest} has {free >> 20} MB free.", "Free some space: 1 GB at least.")
    for name in (KEYRING_FILE, JWT_SECRET_FILE, FILE_NAME):
        path = shown / name
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Problem(f"Others may read {path}.", f"Run `chmod 600 {path}`.")
    state = "there" if nearest == shown else "not made yet"
    return f"{shown} ({state}), {free >> 30} GB free"


def _lock(data: Path) -> str:
    if is_held(data):
        return f"held by pid {holder(data)}"
    return "free: nothing runs on this directory"


def _secrets(data: Path, settings: Settings) -> str:
    """That what is configured can be read; `keyring` looks at whether it fits the database."""
    text = _keyring_text(data, settings)
    if not text:
        return "will be made at the first start"
    return f"the keyring's newest key is {Keyring.parse(text).newest}"


def _keyring_text(data: Path, settings: Settings) -> str:
    named = settings.keyring.get_secret_value()
    path = data / KEYRING_FILE
    return named or (path.read_text("ascii").strip() if path.exists() else "")


async def _api(data: Path, settings: Settings) -> str:
    host, port = settings.api_host, settings.api_port
    try:
        url = discover.endpoints(data, settings).api_url
    except NotRunning:
        url = ""
    if url:
        host, _, text = url.removeprefix("http://").rpartition(":")
        port = int(text)
        if not await answers_ready(host, port):
            raise Problem(f"{url} is not ready.", f"Read {url}/health/ready and the API's log.")
        await _takes_our_tokens(data, settings, host, port)
        return f"ready at {url}, and takes this system's tokens"
    if port == 0 or is_free(port, host):
        return f"port {port} is free" if port else "any free port will be taken"
    if await answers_ready(host, port):
        await _takes_our_tokens(data, settings, host, port)
        return f"ready at http://{host}:{port}, and takes this system's tokens"
    raise Note(f"Port {port} is in use by another program.", "Give another one with --api-port.")


async def _takes_our_tokens(data: Path, settings: Settings, host: str, port: int) -> None:
    """Ask for a fan that nobody has: 401 means that the API was given another secret."""
    try:
        token = issue_token(with_jwt_secret(settings, data), NOBODY, NOBODY, 60)
    except (Misconfigured, NotRunning) as error:
        raise Note(
            f"An API is ready at {host}:{port}; whether it is this system's can't be told: {error}",
            "Name the system with --data, or set FANMEMORY_JWT_SECRET as the API has it.",
        ) from None
    path = f"{PREFIX}/engagement-score?creatorId={NOBODY}&fanId={NOBODY}"
    if await http_status(host, port, path, token) == 401:
        raise Problem(
            f"The API at {host}:{port} refuses this system's tokens.",
            "Give it and doctor the same FANMEMORY_JWT_SECRET, FANMEMORY_JWT_ISSUER and"
            " FANMEMORY_JWT_AUDIENCE; or name its own system with --data.",
        )


async def _kafka(settings: Settings) -> str:
    async with admin(settings) as client:
        cluster = await client.describe_cluster()
    how: str = settings.kafka_security
    if how.startswith("SASL"):
        how += f" with {settings.kafka_sasl_mechanism} as {settings.kafka_user}"
    return f"{len(cluster['brokers'])} broker(s) at {settings.kafka_url}, {how}"


async def _topics(settings: Settings) -> str:
    states = await topics.check(settings)
    different = [difference for state in states for difference in state.differences]
    if different:
        first = different[0]
        raise Problem(
            f"{len(different)} difference(s): {first.topic}: {first.what} is {first.is_},"
            f" should be {first.should_be}.",
            first.advice,
        )
    return f"{len(states)} topics are as they must be"


def _connecting(settings: Settings) -> AbstractAsyncContextManager[Connection]:
    return connecting(
        settings.postgres_url, timeout=ANSWER_SECONDS_MAX, command_timeout=ANSWER_SECONDS_MAX
    )


async def _postgres(settings: Settings) -> str:
    async with _connecting(settings) as connection:
        (row,) = await connection.fetch(SQL.server)
    version, *durable = row
    where = without_password(settings.postgres_url)
    if "off" in durable:
        raise Problem(
            f"PostgreSQL {version} at {where} may forget commits.",
            "Set fsync and synchronous_commit to on.",
        )
    return f"PostgreSQL {version} at {where}"


async def _schema(settings: Settings) -> str:
    async with _connecting(settings) as connection:
        await migrate.check(connection)
    return "is what this code expects"


async def _keyring(data: Path, settings: Settings) -> str:
    """Whether the keyring has every key under which the database's subjects are wrapped."""
    text = _keyring_text(data, settings)
    try:
        async with _connecting(settings) as connection:
            rows = await connection.fetch(SQL.keks)
            state = await binding_state(connection)
    except UndefinedTableError:
        return "no schema yet, nothing is sealed"
    if not text:
        if rows:
            raise Misconfigured(
                "There is no keyring, but the database has sealed subjects.",
                hint=f"Restore {data / KEYRING_FILE}, or set FANMEMORY_KEYRING.",
            )
        return "none yet, and nothing is sealed"
    ids = {part.strip().partition(":")[0] for part in text.split(",")}
    missing = {row["kek"]: row["subjects"] for row in rows if row["kek"] not in ids}
    if missing:
        raise Problem(
            f"Keys {', '.join(sorted(missing))} are missing; {sum(missing.values())} subjects"
            " can't be read.",
            "Add those keys to FANMEMORY_KEYRING, after the newest one.",
        )
    if state != "bound":
        raise Note(
            "The fans' keys are not all bound to who they belong to.",
            "Run `fanmemory keys bind` once no process of the former release is left.",
        )
    return f"opens all {sum(row['subjects'] for row in rows)} subjects' keys"


async def _logs(settings: Settings) -> str:
    """Whether the logs still have what was read of them."""
    try:
        async with _connecting(settings) as connection:
            waiting = await log_state.stopped(connection)
            ahead = await log_state.ahead(connection, settings)
    except UndefinedTableError:
        return "no schema yet, nothing was read"
    if waiting:
        raise Problem(f"{len(waiting)} partition(s) stand still. {waiting[0]}.", waiting[0].advice)
    if ahead:
        name, count = next(iter(ahead.items()))
        raise Problem(
            f"{name} ends {count} records before the position that was read.",
            "A worker heals it or stops that partition: check that one runs, and look at its log.",
        )
    return "they have everything that was read"


async def _outbox(settings: Settings) -> str:
    """Whether what is to be told on Kafka is told."""
    try:
        async with _connecting(settings) as connection:
            found = await outbox.waiting(connection)
    except UndefinedTableError:
        return "no schema yet, nothing to tell"
    for one in found:
        if one.oldest_seconds > OUTBOX_SECONDS_MAX:
            raise Problem(
                f"{one.waiting} records for {one.topic} wait for {one.oldest_seconds:.0f} s.",
                "Check that a worker runs, and the topic with `fanmemory topics check`.",
            )
        if one.refused:
            raise Problem(
                f"{one.refused} records for {one.topic} are refused by the broker for good.",
                "See `refused` in the table outbox_record; set it to NULL to try again.",
            )
    return f"{sum(one.waiting for one in found)} records wait to be published"


async def _redis(settings: Settings) -> str:
    client = open_redis(settings, ANSWER_SECONDS_MAX)
    try:
        server, memory = await client.info("server"), await client.info("memory")
    finally:
        await client.close()
    name = "Valkey" if "valkey_version" in server else "Redis"
    version = server.get("valkey_version") or server["redis_version"]
    where = without_password(settings.redis_url)
    policy, bounded = memory.get("maxmemory_policy", ""), memory.get("maxmemory", "0") != "0"
    if bounded and (policy == "noeviction" or policy.endswith("-random")):
        does = "refuses writes" if policy == "noeviction" else "forgets what is read most"
        raise Note(
            f"{name} {version} at {where} {does} when it is full.",
            "Set maxmemory-policy to allkeys-lru: everything in it can be read again.",
        )
    return f"{name} {version} at {where}"


async def _clock(settings: Settings) -> str:
    """Our clock against the database's, with the answer's travelling time as the doubt."""
    async with _connecting(settings) as connection:
        before = time.time()
        theirs = float(await connection.fetchval(SQL.clock))
        after = time.time()
    apart = max(before - theirs, theirs - after, 0.0)
    if apart > CLOCK_SECONDS_MAX:
        raise Problem(
            f"This clock and PostgreSQL's are {apart:.1f} s apart.",
            "Let both machines follow a time server: what is from the future is refused.",
        )
    return f"agrees with PostgreSQL's within {apart + after - before:.3f} s"
