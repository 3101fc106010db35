"""The certificates and secrets that the settings name as files, looked at by `doctor`."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from infra import kafka, postgres
from infra.settings import PREFIX, Settings
from ops.doctor.findings import Note, Problem

RENEW: Final = timedelta(days=14)
"""Before its end a certificate is worth a note: time enough to have another made."""
STORES: Final = ("kafka", "postgres", "redis")


def certificates(settings: Settings) -> str:
    """That they are there, fit, are valid today, and that keys are for their owner alone."""
    kafka.client_options(settings)  # each raises, and names the file
    postgres.address(settings)
    ends: list[tuple[datetime, str]] = []
    for store in STORES:
        for kind in ("ca_file", "cert_file"):
            path = getattr(settings, f"{store}_{kind}")
            if path:
                variable = f"{PREFIX}{store}_{kind}".upper()
                ends.append((_end(Path(path), variable), variable))
        key = getattr(settings, f"{store}_key_file")
        if key and Path(key).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IRGRP:
            raise Problem(f"Others may read {key}.", f"Run `chmod 600 {key}`.")
    if not ends:
        return "none are named"
    first, variable = min(ends)
    if first < datetime.now(UTC) + RENEW:
        raise Note(f"{variable} ends on {first:%Y-%m-%d}.", "Have a new one made in time.")
    return f"{len(ends)} files, the first ends on {first:%Y-%m-%d}"


def _end(path: Path, variable: str) -> datetime:
    """When the first certificate of a file ends to be valid."""
    try:
        held = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Problem(
            f"{variable}: no certificate can be read ({type(error).__name__}).",
            "Name a PEM file that this user may read.",
        ) from None
    end = min(one.not_valid_after_utc for one in held)
    if end < datetime.now(UTC):
        raise Problem(f"{variable} has ended on {end:%Y-%m-%d}.", "Have a new one made.")
    return end
