"""GET erasures/{id}/receipt, and the public keys that receipts are checked with."""

from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.envelopes import plain
from api.erasures import asked_erasure
from infra.clock import now_ms
from privacy.receipts import Signer
from schemas.errors import ErasureNotFound
from stores import receipts
from stores.wall import sees


async def get_receipt(request: Request) -> Response:
    """The signed receipt of a completed erasure. 404 until it is complete."""
    components, erasure = components_of(request), asked_erasure(request)
    signer = Signer.of(components.settings)
    found = await receipts.made_of(components.pool, erasure, now_ms(), signer.key_id)
    if found is None or not principal_of(request).speaks_for(found[0]) or not sees(found[0]):
        raise ErasureNotFound
    return plain(signer.sign(found[1]))


async def get_keys(request: Request) -> Response:
    """The public keys of receipts, the one of today first."""
    return plain(Signer.of(components_of(request).settings).public)
