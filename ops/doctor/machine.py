"""Checks of the machine: this Python, and what the embedded services are made of."""

import os
import subprocess
import sys
from pathlib import Path

from ops.doctor.findings import Note, Problem
from ops.services import kafka, postgres, valkey
from ops.services.jars import damaged, jars, kafka_home
from ops.services.launch import UNPRIVILEGED

PYTHON_OLDEST = (3, 11)


def python_version() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_OLDEST:
        raise Problem(f"Python {version}", "Install Python 3.11 or newer and `make install`.")
    return f"Python {version}"


def _output(*words: str) -> str:
    try:
        ran = subprocess.run(words, capture_output=True, timeout=10, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Problem(
            f"{words[0]} does not run.",
            "Run `make install` again, or install fan-memory[embedded].",
        ) from error
    if ran.returncode != 0:
        raise Problem(
            f"{words[0]} ends with code {ran.returncode}.",
            "Run `make install` again, or install fan-memory[embedded].",
        )
    return (ran.stdout or ran.stderr).splitlines()[0].strip()


def java() -> str:
    return _output(str(kafka.java()), "-version")


def kafka_jars() -> str:
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


def postgres_binary() -> str:
    return _output(str(postgres.binary("postgres")), "-V")


def valkey_binary() -> str:
    return _output(str(valkey.binary()), "--version")


def postgres_user(data: Path) -> str:
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
