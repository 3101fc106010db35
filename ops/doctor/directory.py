"""Checks of the data directory, and of the secrets that it or the settings hold."""

import os
import shutil
import stat
from pathlib import Path

from infra.settings import Settings
from ops.doctor.findings import Problem
from ops.restoring import require_whole
from ops.secrets import JWT_SECRET_FILE, KEYRING_FILE
from ops.services.endpoints import FILE_NAME
from ops.services.lock import holder, is_held
from ops.system import embedded_names
from privacy.keys import newest_of, parse_ring
from schemas.errors import Misconfigured

FREE_BYTES_MIN = 1 << 30


def data_directory(data: Path, settings: Settings) -> str:
    secrets = (settings.keyring, settings.jwt_secret)
    if not embedded_names(settings) and all(secret.get_secret_value() for secret in secrets):
        return "not needed: every service has an address, and the secrets are named"
    shown = data.absolute()
    nearest = next(path for path in (shown, *shown.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise Problem(
            f"{nearest} can't be written.", "Give another directory with --data or FANMEMORY_DATA."
        )
    try:
        require_whole(data)
    except Misconfigured as error:
        raise Problem(str(error), error.advice) from None
    free = shutil.disk_usage(nearest).free
    if free < FREE_BYTES_MIN:
        raise Problem(f"{nearest} has {free >> 20} MB free.", "Free some space: 1 GB at least.")
    for name in (KEYRING_FILE, JWT_SECRET_FILE, FILE_NAME):
        path = shown / name
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Problem(f"Others may read {path}.", f"Run `chmod 600 {path}`.")
    state = "there" if nearest == shown else "not made yet"
    return f"{shown} ({state}), {free >> 30} GB free"


def lock(data: Path) -> str:
    if is_held(data):
        return f"held by pid {holder(data)}"
    return "free: nothing runs on this directory"


def secrets(data: Path, settings: Settings) -> str:
    """That what is configured can be read; `keyring` looks at whether it fits the database."""
    text = keyring_text(data, settings)
    if not text:
        return "will be made at the first start"
    return f"the keyring's newest key is {newest_of(parse_ring(text))}"


def keyring_text(data: Path, settings: Settings) -> str:
    named = settings.keyring.get_secret_value()
    path = data / KEYRING_FILE
    return named or (path.read_text("ascii").strip() if path.exists() else "")
