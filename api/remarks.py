"""What an answer says beside the memory in it: headers that come with whatever the answer becomes.

X-Memory-Pending    the position of something written lately that is not in the memory yet
X-Memory-Degraded   `cache`: cached, while the database's circuit is open; `minimal`: no memory
"""

from typing import Final

from starlette.types import Scope

from stores.remarks import Remarks

PENDING_HEADER: Final = "x-memory-pending"
DEGRADED_HEADER: Final = "x-memory-degraded"

_PENDING: Final = PENDING_HEADER.encode()
_DEGRADED: Final = DEGRADED_HEADER.encode()


def remarks_of(scope: Scope) -> Remarks:
    """Those of this request, to be filled in by the reader."""
    remarks = scope["remarks"] = Remarks()
    return remarks


def headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    remarks: Remarks | None = scope.get("remarks")
    if remarks is None:
        return []
    said = []
    if remarks.pending is not None:
        said.append((_PENDING, str(remarks.pending).encode()))
    if remarks.degraded is not None:
        said.append((_DEGRADED, remarks.degraded.encode()))
    return said


def fields(scope: Scope) -> dict[str, object]:
    """What the body's envelope says of them."""
    remarks: Remarks | None = scope.get("remarks")
    return {} if remarks is None or remarks.degraded is None else {"degraded": True}
