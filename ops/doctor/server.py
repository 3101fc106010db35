"""The check of our own API."""

from pathlib import Path

from api.table import PREFIX
from api.tokens import issue_token
from infra.settings import Settings
from ops.doctor.findings import Note, Problem
from ops.secrets import with_jwt_secret
from ops.services import discover
from ops.services.ports import is_free
from ops.system import answers_ready, http_status
from schemas.errors import Misconfigured, NotRunning

NOBODY = "doctor"
"""A creator and fan that no platform has."""


async def api(data: Path, settings: Settings) -> str:
    host, port = settings.api_host, settings.api_port
    try:
        url = discover.endpoints(data, settings).api_url
    except NotRunning:
        url = ""
    if url:
        host, _, text = url.removeprefix("http://").rpartition(":")
        port = int(text)
        if not await answers_ready(host, port):
            raise Problem(
                f"{url} is not ready.",
                "Read /health/ready on the metrics' address, and the API's log.",
            )
        await _takes_our_tokens(data, settings, host, port)
        return f"ready at {url}, and takes this system's tokens"
    if port == 0 or is_free(port, host):
        return f"port {port} is free" if port else "any free port will be taken"
    if await answers_ready(host, port):
        await _takes_our_tokens(data, settings, host, port)
        return f"ready at http://{host}:{port}, and takes this system's tokens"
    raise Note(f"Port {port} is in use by another program.", "Give another one with --api-port.")


async def _takes_our_tokens(data: Path, settings: Settings, host: str, port: int) -> None:
    """Ask for a fan that nobody has: 401 means that the API was given another secret."""
    try:
        token = issue_token(with_jwt_secret(settings, data), NOBODY, NOBODY, 60)
    except (Misconfigured, NotRunning) as error:
        raise Note(
            f"An API is ready at {host}:{port}; whether it is this system's can't be told: {error}",
            "Name the system with --data, or set FANMEMORY_JWT_SECRET as the API has it.",
        ) from None
    path = f"{PREFIX}/engagement-score?creatorId={NOBODY}&fanId={NOBODY}"
    if await http_status(host, port, path, token) == 401:
        raise Problem(
            f"The API at {host}:{port} refuses this system's tokens.",
            "Give it and doctor the same FANMEMORY_JWT_SECRET, FANMEMORY_JWT_ISSUER and"
            " FANMEMORY_JWT_AUDIENCE; or name its own system with --data.",
        )
