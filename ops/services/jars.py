"""Kafka's jars: fetched once into this environment, by coordinate and sha256.

PostgreSQL, Valkey and the Java runtime are Python packages with hashes in our lock. Kafka is not
on PyPI; its jars come from Maven Central by the coordinates in `kafka.lock`, and nothing is used
whose sha256 is not the one written there. A jar is verified beside its place and then moved into
it, so that an interrupted run leaves only whole jars and the next one continues from there.
"""

import hashlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from infra.retry import Backoff, retried_blocking
from schemas.errors import Misconfigured, ServiceFailed

KAFKA_VERSION = "4.3.1"
LOCK = Path(__file__).with_name("kafka.lock")
DOWNLOADS_AT_ONCE = 6
ATTEMPTS_MAX = 4
BACKOFF = Backoff(1.0, 5.0, low=0.5, high=1.5)
HASH_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Jar:
    """One line of `kafka.lock`."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def jars(lock: Path = LOCK) -> list[Jar]:
    """What a lock names, in its order; `kafka.lock` is the broker's class path."""
    found = []
    for line in lock.read_text("ascii").splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            found.append(Jar(group, artifact, version, sha256))
    return found


def kafka_home() -> Path:
    """Where this environment keeps the jars; they go when the environment goes."""
    return Path(sys.prefix) / "share" / "fanmemory" / f"kafka-{KAFKA_VERSION}"


def sha256_of(path: Path) -> str:
    """The hex sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def damaged(home: Path, lock: Path = LOCK) -> list[Jar]:
    """The jars that are missing in `home` or are not what the lock says."""
    return [
        jar
        for jar in jars(lock)
        if not (home / jar.file_name).is_file() or sha256_of(home / jar.file_name) != jar.sha256
    ]


def install(
    home: Path,
    lock: Path = LOCK,
    *,
    maven_url: str = "",
    on_jar: Callable[[Jar], None] | None = None,
) -> int:
    """Fetch into `home` what is missing or damaged there; returns how many jars that was.

    `maven_url` names a mirror of Maven Central. Needs no network when everything is there.
    Raises ServiceFailed when a jar can't be fetched and Misconfigured when it is not the one
    that was pinned.
    """
    wanted = damaged(home, lock)
    if not wanted:
        return 0
    if importlib.util.find_spec("jgo") is None:
        raise Misconfigured(
            "The package jgo, which fetches Kafka, is not installed.",
            hint="Run `make install`, or install fan-memory[embedded].",
        )
    home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=home.parent) as scratch,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        work = {pool.submit(_fetch, jar, home, Path(scratch), maven_url): jar for jar in wanted}
        try:
            for done in as_completed(work):
                done.result()
                if on_jar is not None:
                    on_jar(work[done])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(wanted)


def _fetch(jar: Jar, home: Path, scratch: Path, maven_url: str) -> None:
    from jgo.maven import MavenContext  # slow to import, and only installing needs it

    remotes = {"mirror": maven_url.rstrip("/")} if maven_url else None
    maven = MavenContext(repo_cache=scratch, remote_repos=remotes, timeout=30)
    component = maven.project(jar.group, jar.artifact).at_version(jar.version)
    try:
        found = retried_blocking(
            lambda: component.artifact().resolve(),
            BACKOFF,
            on=Exception,
            attempts_max=ATTEMPTS_MAX,
        )
    except Exception as error:  # jgo raises RuntimeError, requests' errors and OSError alike
        raise ServiceFailed(
            f"{jar.file_name} could not be fetched: {type(error).__name__}.",
            hint="Check the network and run `fanmemory services install` again;"
            " it continues from here.",
        ) from error
    if sha256_of(Path(found)) != jar.sha256:
        raise Misconfigured(
            f"{jar.file_name} is not the file that its lock pins.",
            hint="Someone altered it on the way, or the mirror is broken. Use another one.",
        )
    shutil.move(found, home / jar.file_name)
