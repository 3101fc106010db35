"""GET erasures/{id}/receipt and forgettings/{id}/receipt, and the public keys to check one with."""

from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.envelopes import plain
from api.own_requests import asked, own
from infra.clock import now_ms
from privacy.receipts import Signer
from schemas.errors import ErasureNotFound, ForgettingNotFound
from stores import receipts


async def get_receipt(request: Request) -> Response:
    """The signed receipt of a completed erasure. 404 until it is complete."""
    response = await _signed(request, asked(request, "erasure", ErasureNotFound), "erase")
    if response is None:
        raise ErasureNotFound
    return response


async def get_forgetting_receipt(request: Request) -> Response:
    """The signed receipt of a completed forgetting. 404 until it is complete."""
    response = await _signed(request, asked(request, "forgetting", ForgettingNotFound), "forget")
    if response is None:
        raise ForgettingNotFound
    return response


async def _signed(request: Request, id: bytes, kind: str) -> Response | None:
    components = components_of(request)
    signer = Signer.of(components.settings)
    found = await receipts.made_of(components.pool, components.cache, id, now_ms(), signer.key_id)
    if found is None or found.receipt.kind != kind:
        return None
    return plain(signer.sign(found.receipt)) if own(request, found.creator_id) else None


async def get_keys(request: Request) -> Response:
    """The public keys of receipts, the one of today first."""
    return plain(Signer.of(components_of(request).settings).public)
