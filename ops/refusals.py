"""Why a store that answers does not let us in: one sentence that names the setting, for people."""

from infra import kafka, postgres, redis
from schemas.errors import (
    BrokerUnavailable,
    CacheUnavailable,
    DatabaseUnavailable,
    FanMemoryError,
)


def refusal(error: BaseException) -> FanMemoryError | None:
    """What to say instead of an error of ours or a driver's; None when it was something else."""
    if isinstance(error, BrokerUnavailable):
        return kafka.refusal(error)
    if isinstance(error, (CacheUnavailable, redis.ErrorReply)):
        return redis.refusal(error)
    if isinstance(error, (DatabaseUnavailable, OSError, *postgres.REFUSALS)):
        return postgres.refusal(error)
    return None
