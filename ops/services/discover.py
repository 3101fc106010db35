"""Find the running system of a data directory, so that every command needs only its name."""

from pathlib import Path

from infra.postgres import address
from infra.settings import Settings
from ops.services.endpoints import Endpoints, load
from ops.services.lock import is_held
from schemas.errors import NotRunning


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
    kept = {"postgres_url": settings.postgres_url, "redis_url": settings.redis_url}
    return endpoints(data, settings).reached_by(settings).model_copy(update=kept)


def postgres_url(data: Path, settings: Settings) -> str:
    """The same of PostgreSQL."""
    return address(settings) or endpoints(data, settings).postgres_url
