"""One small document from the web: what an issuer of tokens publishes, what a key service answers.

Python's own client in a thread, so that nothing is added for a request every few minutes. It
follows no redirect: whoever may answer for an address is who was named.
"""

import asyncio
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final

SECONDS_MAX: Final = 4.0
"""Below a request's deadline, which may wait for it."""


class Unfetched(Exception):
    """A document can't be fetched."""


class Refused(Unfetched):
    """Somebody answers, and not with 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The answer is {status}.")
        self.status = status


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


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    bytes_max: int,
    context: ssl.SSLContext | None,
) -> bytes:
    """What an http(s) address answers to a POST with 200; blocks, so not for an event loop.

    Raises `Refused` for another status, and `Unfetched`; neither says what was sent or answered.
    """
    opener = urllib.request.build_opener(_Straight, urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(url, body, dict(headers))  # noqa: S310 (a setting's address)
    try:
        with opener.open(request, timeout=SECONDS_MAX) as answer:
            if answer.status != 200:
                raise Refused(answer.status)
            found: bytes = answer.read(bytes_max + 1)
    except urllib.error.HTTPError as error:
        raise Refused(error.code) from None
    except (OSError, HTTPException, ValueError) as error:
        raise Unfetched(f"Nothing answers ({type(error).__name__}).") from None
    if len(found) > bytes_max:
        raise Unfetched("The answer is too large.")
    return found
