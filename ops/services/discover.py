"""Find the running system of a data directory, so that every command needs only its name."""

import shlex
from pathlib import Path
from typing import Final

from infra.postgres import Role, address, url_of
from infra.settings import Settings
from ops.services.endpoints import Endpoints, load
from ops.services.lock import is_held
from schemas.errors import NotRunning

POSTGRES_URLS: Final = ("postgres_url", "postgres_owner_url", "postgres_reader_url")


def endpoints(data: Path, settings: Settings) -> Endpoints:
    """Where the system listens: what the settings name, else what runs on `data`.

    Raises NotRunning when an address is missing and no live process holds the directory.
    """
    named = Endpoints("", "", "").under(settings)
    found = load(data) if is_held(data) else None
    if found is None:
        if named.kafka and named.postgres_url and named.redis_url:
            return named
        raise NotRunning(f"No Fan Memory runs on {data.absolute()}.")
    return found.under(settings)


def with_kafka(data: Path, settings: Settings) -> Settings:
    """For what needs Kafka alone: settings with the address they name, else what runs on `data`."""
    if settings.kafka_url:
        return settings
    kept = {name: getattr(settings, name) for name in ("redis_url", *POSTGRES_URLS)}
    return endpoints(data, settings).reached_by(settings).model_copy(update=kept)


def postgres_url(data: Path, settings: Settings, role: Role = "writer") -> str:
    """The same of PostgreSQL, for one of its roles."""
    named = address(settings, role) or address(settings)
    return named or url_of(endpoints(data, settings).reached_by(settings), role)


def data_words(directory: Path) -> str:
    """What a command that is shown for copying needs to find this directory."""
    default = Settings().data.absolute()
    return "" if directory.absolute() == default else f" --data {shlex.quote(str(directory))}"
