"""Stores behind TLS and passwords: certificates made here, a broker, a front for the rest.

Kafka speaks TLS and SASL itself. The packages' PostgreSQL and Valkey are built without TLS, so a
front of ours ends it before them, as a provider's balancer does: what is tried is our client's
side, and PostgreSQL's own SCRAM and Valkey's own ACL behind it.
"""

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.services import kafka
from ops.services.jars import kafka_home
from ops.services.ports import HOST, free_port
from ops.services.process import Command, run
from ops.services.service import Service

USER, PASSWORD = "maya", "s3cret of maya"
KEY_PASSWORD = "of the key"
SSL_REQUEST = struct.pack(">ii", 8, 80877103)


class Made(NamedTuple):
    """Files of one certificate: itself, its key, both in one."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Signs certificates; its own is `file`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._signed(
            self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0)
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def make(
        self, name: str, *hosts: str, password: str = "", days: tuple[int, int] = (-1, 30)
    ) -> Made:
        """A certificate for these hosts, or for a client; a password locks its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        extensions = [x509.SubjectAlternativeName(names)] if names else []
        signed = self._signed(subject, key.public_key(), *extensions, days=days)
        lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            lock = serialization.BestAvailableEncryption(password.encode())
        pem = signed.public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock
        )
        made = Made(*(self._folder / f"{name}.{end}" for end in ("crt", "key", "pem")))
        made.certificate.write_bytes(pem)
        for path, content in ((made.key, private), (made.both, private + pem)):
            path.touch(0o600)
            path.write_bytes(content)
        return made

    def _signed(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        *extensions: x509.ExtensionType,
        days: tuple[int, int] = (-1, 30),
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Broker(NamedTuple):
    """Where each kind of listener stands."""

    sasl_tls: str
    sasl: str
    mutual: str
    plain: str


class _SecuredKafka:
    """The embedded broker with listeners that let nobody in for nothing."""

    NAME = kafka.NAME
    PORTS: tuple[str, ...] = ("kafka", "kafka_controller", "sasl_tls", "sasl", "mutual")
    READY_SECONDS_MAX = kafka.READY_SECONDS_MAX
    url = staticmethod(kafka.url)

    def __init__(self, authority: Authority, server: Made) -> None:
        self._authority = authority
        self._server = server

    def _write(self, home: Path, ports: Mapping[str, int], log_dirs: str) -> Path:
        listeners = {
            "PLAINTEXT": ("PLAINTEXT", ports["kafka"]),
            "SASLTLS": ("SASL_SSL", ports["sasl_tls"]),
            "SASL": ("SASL_PLAINTEXT", ports["sasl"]),
            "MUTUAL": ("SSL", ports["mutual"]),
        }
        shown = ",".join(f"{name}://localhost:{port}" for name, (_, port) in listeners.items())
        map_ = ",".join(f"{name}:{protocol}" for name, (protocol, _) in listeners.items())
        lines = kafka.PROPERTIES | {
            "log.dirs": log_dirs,
            "controller.quorum.voters": f"1@{HOST}:{ports['kafka_controller']}",
            "listeners": f"{shown},CONTROLLER://{HOST}:{ports['kafka_controller']}",
            "advertised.listeners": shown,
            "listener.security.protocol.map": f"{map_},CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._server.both),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._authority.file),
            "listener.name.mutual.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        }
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        plain = (
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            f' user_{USER}="{PASSWORD}";'
        )
        for listener in ("sasltls", "sasl"):
            lines[f"listener.name.{listener}.plain.sasl.jaas.config"] = plain
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                lines[f"listener.name.{listener}.{mechanism}.sasl.jaas.config"] = scram
        path = home / ("server.properties" if log_dirs == "log" else "format.properties")
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()), "ascii")
        (home / "log4j2.properties").write_text(kafka.LOG4J, "ascii")
        return path

    @staticmethod
    def is_ready(home: Path, ports: Mapping[str, int], pid: int) -> bool:
        return kafka.lists_itself(ports["kafka"], "")

    def prepare(self, home: Path, inherited: int) -> None:
        ports = {name: number for number, name in enumerate(self.PORTS, 1)}
        self._write(home, ports, "log")  # not used by formatting
        words = ["kafka.tools.StorageTool", "format", "-t", kafka._cluster_id()]
        words += ["-c", self._write(home, ports, "log").name]
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            words += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        log = home.parent / "logs" / "kafka.out.log"
        command = Command(kafka._java(kafka_home(), *words), home=home, log=log)
        assert run(command, seconds_max=60, inherited=(inherited,)) == 0, log.read_text()

    def command(self, home: Path, ports: Mapping[str, int]) -> Command:
        self._write(home, ports, "log")
        return Command(
            arguments=kafka._java(kafka_home(), "kafka.Kafka", "server.properties"),
            home=home,
            log=home.parent / "logs" / "kafka.out.log",
            stop=kafka.STOP,
        )


@contextmanager
def secured_kafka(data: Path, authority: Authority, server: Made) -> Iterator[Broker]:
    """A broker that knows `USER` by PLAIN and SCRAM, and clients whom the authority has signed."""
    (data / "logs").mkdir(parents=True)
    adapter = _SecuredKafka(authority, server)
    ports: dict[str, int] = {}
    for name in adapter.PORTS:
        ports[name] = free_port(frozenset(ports.values()))
    service = Service(adapter, data, ports)
    service.start()
    try:
        yield Broker(
            *(f"localhost:{ports[name]}" for name in ("sasl_tls", "sasl", "mutual", "kafka"))
        )
    finally:
        service.stop()


@contextmanager
def tls_front(
    url: str, server: Made, authority: Authority | None = None, *, postgres: bool = False
) -> Iterator[int]:
    """A port that speaks TLS and passes on to the server of `url`.

    With an `authority` it asks for a client's certificate. `postgres`: TLS begins after the
    request for it, as PostgreSQL has it.
    """
    to = urlsplit(url)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server.certificate, server.key)
    if authority is not None:
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if postgres:
                assert await reader.readexactly(8) == SSL_REQUEST
                writer.write(b"S")
                await writer.start_tls(context)
            behind = await asyncio.open_connection(to.hostname, to.port)
            await asyncio.gather(_pass(reader, behind[1]), _pass(behind[0], writer))

    async def start() -> asyncio.Server:
        return await asyncio.start_server(serve, HOST, 0, ssl=None if postgres else context)

    listening = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            loop.call_soon_threadsafe(task.cancel)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
