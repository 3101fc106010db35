"""Where a running system listens, and how it is written down for the next command."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import SecretStr

from infra.postgres import address
from infra.settings import Settings

FILE_NAME = "endpoints.json"
KAFKA_USER = "fanmemory"
"""Whom the embedded broker lets in."""


@dataclass(frozen=True)
class Endpoints:
    """Addresses of one system. They carry passwords: show `public()` to people."""

    kafka: str
    postgres_url: str
    redis_url: str
    api_url: str = ""
    postgres_owner_url: str = ""
    postgres_reader_url: str = ""
    kafka_password: str = field(default="", repr=False)
    """Of `KAFKA_USER`, where the broker is an embedded one."""

    def public(self) -> dict[str, str]:
        """The same without passwords, empty ones left out."""
        urls = {name: url for name, url in asdict(self).items() if name != "kafka_password"}
        return {name: without_password(url) for name, url in urls.items() if url}

    def reached_by(self, settings: Settings) -> Settings:
        """Settings that reach all of them: with an embedded broker, also how it lets us in."""
        found: dict[str, object] = {
            "kafka_url": self.kafka,
            "postgres_url": self.postgres_url,
            "postgres_owner_url": self.postgres_owner_url,
            "postgres_reader_url": self.postgres_reader_url,
            "redis_url": self.redis_url,
        }
        if self.kafka_password:
            found |= {
                "kafka_security": "SASL_PLAINTEXT",
                "kafka_sasl_mechanism": "PLAIN",
                "kafka_user": KAFKA_USER,
                "kafka_password": SecretStr(self.kafka_password),
            }
        return settings.model_copy(update=found)

    def under(self, settings: Settings) -> "Endpoints":
        """These, but for those that the settings name."""
        return replace(
            self,
            kafka=settings.kafka_url or self.kafka,
            kafka_password="" if settings.kafka_url else self.kafka_password,
            **self._postgres(settings),
            redis_url=settings.redis_url or self.redis_url,
        )

    def _postgres(self, settings: Settings) -> dict[str, str]:
        """A server that the settings name has no roles but those that they name."""
        named = address(settings)
        return {
            "postgres_url": named or self.postgres_url,
            "postgres_owner_url": address(settings, "owner")
            or ("" if named else self.postgres_owner_url),
            "postgres_reader_url": address(settings, "reader")
            or ("" if named else self.postgres_reader_url),
        }


def without_password(url: str) -> str:
    """A URL as it may be shown: without what follows the user's name and what follows a `?`."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not separator or not at:
        return url.partition("?")[0]
    user, host = credentials.partition(":")[0], host.partition("?")[0]
    return f"{scheme}://{user}@{host}" if user else f"{scheme}://{host}"


def _write_beside(path: Path, text: str) -> Path:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return fresh


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; a crash leaves the former one or the new one."""
    _write_beside(path, text).replace(path)


def create_private(path: Path, text: str) -> None:
    """The same, but the first to write wins: a file that exists stays as it is."""
    fresh = _write_beside(path, text)
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(fresh)
    fresh.unlink()


def save(data: Path, endpoints: Endpoints) -> None:
    """Leave the endpoints for other commands."""
    write_private(data / FILE_NAME, json.dumps(asdict(endpoints), indent=1) + "\n")


def load(data: Path) -> Endpoints | None:
    """What `save` left, or None."""
    try:
        return Endpoints(**json.loads((data / FILE_NAME).read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
