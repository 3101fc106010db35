"""A relationship: one creator and one of their fans. All memory is kept per relationship."""

Relationship = tuple[str, str]
"""(creatorId, fanId). Never logged."""
