"""Whether the counters add up, from the journal's frames alone. Pure.

Each accepted event stands in the journal under the place in `interactions` that it came from, so
counting the distinct places counts the accepted events without asking anybody who counted them:

    accepted = distinct places below ingest's position
    applied + duplicates + conflicts + forgotten + quarantined = distinct places projected
    accepted = applied + duplicates + conflicts + forgotten + quarantined + unprojected

Two things make these a little longer. A frame that can't be read has no place, though its event was
accepted and is counted as quarantined. And after a restore of the database ingest writes again,
under new subjects, what belonged to subjects that the restore has lost: then both records are
counted, the lost one as forgotten. Those are `rewritten`. What a producer had sent twice is written
again as a repeat, which is no event of its own: so each of the rewritten ones may be missing here.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from admin.places import Places
from admin.verify.differences import Difference

SETTLED: Final = ("applied", "duplicates", "conflicts", "forgotten", "quarantined")
"""What an accepted event can become; `repeats` are records, but no events of their own."""


@dataclass(slots=True)
class SourcePlaces:
    """The places in `interactions` that the journal's records came from."""

    projected: Places = field(default_factory=Places)
    """Of every record below projection's position."""
    waiting: Places = field(default_factory=Places)
    """Of every record beyond it."""
    living: Places | None = None
    """Of the projected ones whose subject still exists; None when not every subject was looked
    up."""
    gone: Places = field(default_factory=Places)
    """Of the projected ones whose subject does not."""
    gone_again: int = 0
    """How often a place is in `gone` for a second subject."""
    unreadable: int = 0
    """Projected records whose frame could not be read."""
    unreadable_waiting: int = 0

    def update(self, other: "SourcePlaces") -> None:
        """Add those of another partition of the journal."""
        self.projected.update(other.projected)
        self.waiting.update(other.waiting)
        if other.living is not None:
            self.living = Places() if self.living is None else self.living
            self.living.update(other.living)
        self.gone_again += other.gone_again + self.gone.common(other.gone)
        self.gone.update(other.gone)
        self.unreadable += other.unreadable
        self.unreadable_waiting += other.unreadable_waiting

    @property
    def rewritten(self) -> int:
        """Records of lost subjects whose events stand in the journal once more."""
        again = 0 if self.living is None else self.gone.common(self.living)
        return self.gone_again + again


def countable(intake: Mapping[int, Any], folded: Iterable[Mapping[str, Any]]) -> bool:
    """Whether each place of `interactions` has had one record only, and the counters are exact."""
    return not any(row["boundaries"] for row in intake.values()) and not any(
        row["broken"] for row in folded
    )


def accounting_differences(
    places: SourcePlaces,
    intake: Mapping[int, Any],
    folded: Collection[Mapping[str, Any]],
    suppressed: Iterable[tuple[int, int]] = (),
) -> list[Difference]:
    """The counters of the position rows against the places; `intake` by partition, and
    `suppressed` the places that ingest dropped.

    Needs every subject looked up, so a sample can't be held against it. Once `interactions` was cut
    or made again a place has had several records, and counting places proves nothing; and once the
    journal was, repeats may have become duplicates (`stores.rollback`).
    """
    if not countable(intake, folded):
        return []
    every = Places()
    every.update(places.projected)
    every.update(places.waiting)
    found = []
    settled = sum(row[name] for row in folded for name in SETTLED)
    least = len(places.projected) + places.unreadable
    if not least <= settled <= least + places.rewritten:
        expected = least + places.rewritten
        found.append(Difference("accounting", -1, "", "+".join(SETTLED), expected, settled))
    # Produced by a worker that died before it counted them, and suppressed when the next one came.
    dropped = Places()
    for place in suppressed:
        if place in every:
            dropped.add(*place)
    counted = {
        partition: every.below(partition, row["next"]) - dropped.below(partition, row["next"])
        for partition, row in intake.items()
    }
    ahead = len(every) - sum(counted.values())
    unprojected = len(every) - len(places.projected) + places.unreadable_waiting
    accepted = sum(row["accepted"] for row in intake.values())
    # What ingest has produced and not yet counted is in the journal already.
    most = settled + unprojected - ahead
    if not most - places.rewritten <= accepted <= most:
        field = "+".join((*SETTLED, "unprojected"))
        total = most - places.rewritten
        found.append(Difference("accounting", -1, "", f"accepted={field}", total, accepted))
    if not places.unreadable and not places.unreadable_waiting:
        found += [
            Difference("accounting", partition, "", "accepted", counted[partition], row["accepted"])
            for partition, row in intake.items()
            if row["accepted"] != counted[partition]
        ]
    return found
