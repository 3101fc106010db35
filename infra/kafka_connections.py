"""aiokafka's connections on uvloop: one that is gone is a connection that is gone.

What is written to a transport of asyncio's own whose socket was closed is dropped, and the client
hears of the end a moment later. uvloop's transport raises `RuntimeError` in that moment, which
aiokafka does not expect: the task that asks for metadata, or the one that fetches, ends without a
word, and the consumer stands still. Here it is an error of the connection, like any other.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

WRITING: Final = ("send", "_send_sasl_token")
"""The methods of a connection that write to its transport."""


def mend() -> None:
    """For all connections of this process that are made from here on."""
    for name in WRITING:
        setattr(AIOKafkaConnection, name, _said(getattr(AIOKafkaConnection, name)))


def _said(write: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(write)
    def said(connection: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return write(connection, *arguments, **options)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
            raise KafkaConnectionError("The connection is closed.") from error

    return said
