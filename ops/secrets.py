"""Secrets for development: `fanmemory up` makes them once in its data directory.

Every other command only reads them, there or from the settings. Losing `keyring` makes everything
sealed unreadable, as it is meant to; back it up apart from the database. In production both come
from the settings.
"""

import base64
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec
from pydantic import SecretStr

from infra.settings import Settings
from ops.services import discover, kafka, postgres
from ops.services.endpoints import Endpoints, create_private, write_private
from privacy.keys import Entry, parse_ring
from privacy.receipts import new_seed
from schemas.errors import Misconfigured

KEY_BYTES = 32  # AES-256
KEYRING_FILE = "keyring"
RECEIPT_KEY_FILE = "receipt_key"
JWT_SECRET_FILE = "jwt_secret"  # a file name # noqa: S105 # nosec B105


def _new_keyring() -> str:
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
    return f"dev-{secrets.token_hex(4)}:{key}"


def make_secrets(settings: Settings, data: Path) -> None:
    """Make what the settings don't name and a new data directory doesn't have yet.

    Raises `Misconfigured` for a malformed keyring, and where the directory's database is there
    and its keyring is not: a new one would open nothing, and hide that the old one is missing.
    """
    if not settings.keyring.get_secret_value() and not (data / KEYRING_FILE).exists():
        if not settings.postgres_url and (data / postgres.NAME / "PG_VERSION").exists():
            raise Misconfigured(
                f"{data} has a database, but its keyring is gone: nothing in it can be opened.",
                hint=f"Restore {data / KEYRING_FILE} from your backup, or set FANMEMORY_KEYRING. To"
                " start with nothing, name another directory with --data.",
            )
        _make(data / KEYRING_FILE, _new_keyring())
    parse_ring(settings.keyring.get_secret_value() or _read(data / KEYRING_FILE))
    if not settings.jwt_secret.get_secret_value() and not (data / JWT_SECRET_FILE).exists():
        _make(data / JWT_SECRET_FILE, secrets.token_hex(KEY_BYTES))
    if not settings.receipt_key.get_secret_value() and not (data / RECEIPT_KEY_FILE).exists():
        _make(data / RECEIPT_KEY_FILE, new_seed())


def with_secrets(settings: Settings, data: Path, endpoints: Endpoints | None = None) -> Settings:
    """A copy of the settings with every URL and the secrets that there are filled in.

    Without `endpoints` the system that runs on `data` is looked up; raises `NotRunning`. Raises
    `Misconfigured` where there is no keyring, or a malformed one.
    """
    found = endpoints or discover.endpoints(data, settings)
    return found.reached_by(with_keyring(settings, data)).model_copy(
        update={
            "jwt_secret": _secret(settings.jwt_secret, data / JWT_SECRET_FILE),
            "receipt_key": _secret(settings.receipt_key, data / RECEIPT_KEY_FILE),
        }
    )


def with_jwt_secret(settings: Settings, data: Path) -> Settings:
    """With what signs tokens; raises `Misconfigured` where there is none, unless the settings name
    an issuer's keys. Needs nothing running."""
    if settings.jwt_jwks_url:
        return settings
    secret = _secret(settings.jwt_secret, data / JWT_SECRET_FILE)
    if secret.get_secret_value():
        return settings.model_copy(update={"jwt_secret": secret})
    discover.endpoints(data, settings)  # that nothing runs on `data` says more
    raise _missing("secret for tokens", "JWT_SECRET")


def with_keyring(settings: Settings, data: Path) -> Settings:
    """With what opens everything. Needs nothing running; raises `Misconfigured` without it."""
    keyring = _secret(settings.keyring, data / KEYRING_FILE)
    if not keyring.get_secret_value():
        raise _missing("keyring", "KEYRING")
    parse_ring(keyring.get_secret_value())
    return settings.model_copy(update={"keyring": keyring})


def with_receipt_key(settings: Settings, data: Path) -> Settings:
    """With what signs receipts, if there is anything. Needs nothing running."""
    key = _secret(settings.receipt_key, data / RECEIPT_KEY_FILE)
    return settings.model_copy(update={"receipt_key": key})


def ring_file(data: Path) -> Path:
    """Where a development system's keyring stands."""
    return data / KEYRING_FILE


def write_ring(data: Path, entries: Iterable[Entry]) -> None:
    """Put another keyring in its place, whole or not at all."""
    path = ring_file(data)
    draft = path.with_name(f"{KEYRING_FILE}.{secrets.token_hex(4)}")
    create_private(draft, ",".join(map(str, entries)) + "\n")
    draft.replace(path)


class Kept(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a system needs beside its data: a file of its own, to be kept apart from the backup."""

    keyring: str
    jwt_secret: str = ""
    receipt_key: str = ""
    broker_password: str = ""
    """Of the embedded broker, whom producers of others may know."""

    def __repr__(self) -> str:
        return "Kept(…)"


def kept_of(settings: Settings, data: Path) -> Kept:
    """Of a system's complete settings, and what stands in its data directory."""
    return Kept(
        settings.keyring.get_secret_value(),
        settings.jwt_secret.get_secret_value(),
        settings.receipt_key.get_secret_value(),
        kafka.password(data),
    )


def write_kept(path: Path, kept: Kept) -> None:
    """A file that only its owner may read. Raises `Misconfigured` where it can't be written."""
    text = msgspec.json.format(msgspec.json.encode(kept), indent=1).decode()
    try:
        write_private(path, text + "\n")
    except OSError as error:
        raise Misconfigured(f"{path} can't be written ({type(error).__name__}).") from None


def read_kept(path: Path) -> Kept:
    """Raises `Misconfigured`, which repeats nothing of it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except OSError as error:
        raise Misconfigured(f"{path} can't be read ({type(error).__name__}).") from None
    except msgspec.MsgspecError:
        raise Misconfigured(
            f"{path} is no file that `fanmemory backup --secrets` wrote.",
        ) from None


def place_kept(kept: Kept, data: Path, *, broker: bool) -> None:
    """Put them where a new data directory has them. Raises `Misconfigured` where others are."""
    wanted = {
        data / KEYRING_FILE: kept.keyring,
        data / JWT_SECRET_FILE: kept.jwt_secret,
        data / RECEIPT_KEY_FILE: kept.receipt_key,
    }
    for path, text in wanted.items():
        if text and path.exists() and _read(path) != text:
            raise Misconfigured(
                f"{path} is there already, and another one.", hint="Name an empty directory."
            )
    for path, text in wanted.items():
        if text:
            _make(path, text)
    if broker and kept.broker_password:
        kafka.keep_password(data, kept.broker_password)


def _secret(named: SecretStr, path: Path) -> SecretStr:
    if named.get_secret_value() or not path.exists():
        return named
    return SecretStr(_read(path))


def _missing(what: str, variable: str) -> Misconfigured:
    return Misconfigured(
        f"There is no {what}.",
        hint=f"Set FANMEMORY_{variable}, the same for every process of a system; `fanmemory up`"
        " makes one for development.",
    )


def _make(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    create_private(path, text + "\n")


def _read(path: Path) -> str:
    return path.read_text("ascii").strip()
