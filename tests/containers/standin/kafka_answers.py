#!/usr/local/bin/python
"""In the place of kafka-broker-api-versions.sh: does the broker list itself?"""

import socket
import struct
import sys

host, _, port = sys.argv[sys.argv.index("--bootstrap-server") + 1].rpartition(":")
request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
with socket.create_connection((host, int(port)), 5) as connection:
    connection.sendall(struct.pack(">i", len(request)) + request)
    answer = connection.recv(4096)
sys.exit(len(answer) < 12 or struct.unpack(">i", answer[8:12])[0] < 1)
