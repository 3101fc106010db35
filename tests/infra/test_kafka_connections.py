"""A connection that the other side has reset, on the loop that workers and API run on."""

import asyncio
import socket
import struct

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.protocol.metadata import MetadataRequest

from infra import kafka

AT_ONCE = struct.pack("ii", 1, 0)
"""Of SO_LINGER: a close is a reset."""


def test_what_is_written_to_a_connection_that_was_reset_fails_as_the_client_expects() -> None:
    async def write() -> None:
        closed: list[CloseReason] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            host, port = server.getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            connection = AIOKafkaConnection(
                host, port, on_close=lambda _, reason: closed.append(reason)
            )
            connection._reader, connection._writer = reader, writer
            connection._read_task = asyncio.create_task(asyncio.sleep(0))
            connection._versions = {MetadataRequest.API_KEY: (0, 5)}
            broker, _ = server.accept()
            broker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            broker.close()
            writer.write(b"into the void")  # from this the transport learns of it
            await asyncio.sleep(0)
            assert connection.connected()  # nobody has said otherwise yet
            with pytest.raises(kafka.KafkaConnectionError):
                await connection.send(MetadataRequest(["log"]))
        assert closed == [CloseReason.CONNECTION_BROKEN]
        assert not connection.connected()

    uvloop.run(write())
