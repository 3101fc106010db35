"""What an answer says beside the memory in it: headers that come with whatever the answer becomes.

X-Memory-Pending   the position of something written lately that is not in the memory yet
"""

from typing import Final

from starlette.types import Scope

from stores.reader import Remarks

PENDING_HEADER: Final = "x-memory-pending"

_PENDING: Final = PENDING_HEADER.encode()


def remarks_of(scope: Scope) -> Remarks:
    """Those of this request, to be filled in by the reader."""
    remarks = scope["remarks"] = Remarks()
    return remarks


def headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    remarks: Remarks | None = scope.get("remarks")
    if remarks is None or remarks.pending is None:
        return []
    return [(_PENDING, str(remarks.pending).encode())]
