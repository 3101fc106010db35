"""A relationship: one creator and one of their fans. All memory is kept per relationship."""

from typing import NamedTuple


class Relationship(NamedTuple):
    """Who talks to whom. Equal to the plain tuple `(creator_id, fan_id)`. Never logged."""

    creator_id: str
    fan_id: str

    @property
    def key(self) -> str:
        """`creatorId:fanId`: the Kafka key of what is sent about this relationship."""
        return f"{self.creator_id}:{self.fan_id}"
