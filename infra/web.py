"""One small document from the web: what an issuer of tokens publishes.

Python's own client in a thread, so that nothing is added for a request every few minutes. It
follows no redirect: whoever may answer for an address is who was named.
"""

import asyncio
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any, Final

SECONDS_MAX: Final = 4.0
"""Below a request's deadline, which may wait for it."""


class Unfetched(Exception):
    """A document can't be fetched."""


class _Straight(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


async def fetch(url: str, bytes_max: int) -> bytes:
    """What an http(s) address answers with 200; raises `Unfetched`, which says only why."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return await asyncio.to_thread(_fetch, url, bytes_max)
    except (OSError, HTTPException, ValueError) as error:
        raise Unfetched(f"A document can't be fetched ({type(error).__name__}).") from None


def _fetch(url: str, bytes_max: int) -> bytes:
    opener = urllib.request.build_opener(_Straight)
    with opener.open(url, timeout=SECONDS_MAX) as answer:
        if answer.status != 200:
            raise ValueError("another status")
        body: bytes = answer.read(bytes_max + 1)
    if len(body) > bytes_max:
        raise ValueError("too large")
    return body
