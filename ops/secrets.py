"""Secrets for development: made once in the data directory, never when the settings name them.

Losing `keyring` makes everything sealed unreadable, as it is meant to; back it up apart from the
database. In production both come from the settings.
"""

import base64
import secrets
from pathlib import Path

from pydantic import SecretStr

from infra.settings import Settings
from ops.services import discover
from ops.services.endpoints import Endpoints, create_private

KEY_BYTES = 32  # AES-256
KEYRING_FILE = "keyring"
JWT_SECRET_FILE = "jwt_secret"  # noqa: S105 - a file name


def _new_keyring() -> str:
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
    return f"dev-{secrets.token_hex(4)}:{key}"


def _once(path: Path, text: str) -> str:
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_private(path, text + "\n")
    return path.read_text("ascii").strip()


def with_secrets(settings: Settings, data: Path, endpoints: Endpoints | None = None) -> Settings:
    """A copy of the settings with every URL and secret filled in.

    Without `endpoints` the system that runs on `data` is looked up; raises NotRunning.
    """
    found = endpoints or discover.endpoints(data, settings)
    update: dict[str, object] = {
        "kafka_url": found.kafka,
        "postgres_url": found.postgres_url,
        "redis_url": found.redis_url,
    }
    if not settings.keyring.get_secret_value():
        update["keyring"] = SecretStr(_once(data / KEYRING_FILE, _new_keyring()))
    if not settings.jwt_secret.get_secret_value():
        update["jwt_secret"] = SecretStr(
            _once(data / JWT_SECRET_FILE, secrets.token_hex(KEY_BYTES))
        )
    return settings.model_copy(update=update)


def with_jwt_secret(settings: Settings, data: Path) -> Settings:
    """With what signs tokens, and that needs no running system once it is there."""
    if settings.jwt_secret.get_secret_value():
        return settings
    if (data / JWT_SECRET_FILE).exists():
        made = _once(data / JWT_SECRET_FILE, "")
        return settings.model_copy(update={"jwt_secret": SecretStr(made)})
    return with_secrets(settings, data)
