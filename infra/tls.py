"""TLS from files: one context for every store, and what went wrong in words that name a setting.

The settings of a store share a prefix (`FANMEMORY_KAFKA`, `FANMEMORY_POSTGRES`,
`FANMEMORY_REDIS`) and these endings: `_CA_FILE`, `_CERT_FILE`, `_KEY_FILE`, `_KEY_PASSWORD`.
The server's certificate and its host name are always checked: there is no setting to skip that.
"""

import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas.errors import Misconfigured

HOST_MISMATCH: Final = frozenset((62, 64))
"""`X509_V_ERR_HOSTNAME_MISMATCH` and `…_IP_ADDRESS_MISMATCH`."""
EXPIRED: Final = frozenset((9, 10))
"""`X509_V_ERR_CERT_NOT_YET_VALID` and `…_HAS_EXPIRED`."""
_WANTS_CERTIFICATE: Final = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE")
_UNKNOWN_CLIENT: Final = ("UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "CERTIFICATE_EXPIRED")
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


class Files(NamedTuple):
    """What a client shows and whom it trusts; empty: the system's authorities, no certificate."""

    prefix: str
    """The settings' common prefix, for messages."""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    """Empty: the key stands in the certificate's file."""
    password: str = ""


def client_context(files: Files) -> ssl.SSLContext:
    """A context that checks certificate and host name; raises `Misconfigured` for a bad file."""
    prefix = files.prefix
    try:
        context = ssl.create_default_context(cafile=files.ca or None)
    except OSError as error:
        raise Misconfigured(
            f"{prefix}_CA_FILE: {_fault(error)}.",
            hint="Name a PEM file with the certificate of the authority that signs the servers'.",
        ) from None
    if files.key and not files.certificate:
        raise Misconfigured(
            f"{prefix}_KEY_FILE is set without {prefix}_CERT_FILE.",
            hint="Name the PEM file of the certificate that belongs to the key.",
        )
    if files.certificate:
        try:
            context.load_cert_chain(
                # A function, also for no password: without one OpenSSL asks on the terminal.
                files.certificate,
                files.key or None,
                password=lambda: files.password,
            )
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"{prefix}_CERT_FILE, _KEY_FILE or _KEY_PASSWORD: {_fault(error)}.",
                hint="Name PEM files of a certificate and its own key; the password in"
                f" {prefix}_KEY_PASSWORD_FILE, if the key has one.",
            ) from None
    return context


def _fault(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "this user may not read the file"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return "the file can't be used, or its password is another"


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from, outermost first."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def refusal(error: BaseException, prefix: str, server: str, switch: str) -> Misconfigured | None:
    """What a failed handshake means; None when it was no question of TLS.

    `server` is the product's name, `switch` names the setting that turns TLS on.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in HOST_MISMATCH:
            return Misconfigured(
                f"The certificate of {server} is not for the host that {prefix}_URL names.",
                hint="Use a host name that stands in the certificate, or have one made for this"
                " name.",
            )
        if error.verify_code in EXPIRED:
            return Misconfigured(
                f"The certificate of {server} is not valid today.",
                hint="Renew it, and look at this machine's clock.",
            )
        return Misconfigured(
            f"The certificate of {server} is signed by an authority that {prefix}_CA_FILE does"
            " not have.",
            hint=f"Put that authority's certificate into the file that {prefix}_CA_FILE names.",
        )
    if not isinstance(error, ssl.SSLError):
        return None
    reason = error.reason or ""
    if any(part in reason for part in (*_WANTS_CERTIFICATE, *_UNKNOWN_CLIENT)):
        return Misconfigured(
            f"{server} does not accept the certificate of {prefix}_CERT_FILE, or wants one.",
            hint=f"Set {prefix}_CERT_FILE and {prefix}_KEY_FILE to what its authority signed for"
            " this client.",
        )
    if any(part in reason for part in _NO_TLS):
        return Misconfigured(
            f"{server} speaks no TLS at the address in {prefix}_URL.",
            hint=f"Name its TLS port, or set {switch} otherwise.",
        )
    return Misconfigured(
        f"The TLS handshake with {server} failed: {reason or type(error).__name__}.",
        hint=f"Check {prefix}_URL, {prefix}_CA_FILE and {prefix}_CERT_FILE.",
    )
