"""The one error tree. Each class knows what a client may be told and what to do next.

A docstring's first line *is* the default message, so it names no fan, no text and no key. Every
class says its HTTP `status`, its wire `type` (`MemoryServiceError` of the public API contract),
whether a retry can help (`retryable`), and in `hint` what the reader should do.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from schemas.usage import Usage

ErrorType = Literal["CACHE_ERROR", "DATABASE_ERROR", "VALIDATION_ERROR", "NOT_FOUND", "TIMEOUT"]
FailureCode = Literal[
    "timeout", "rate_limit", "auth", "validation", "content_filter", "network", "unknown"
]
"""Why a call of a language model failed; `unknown` is the provider's own fault (5xx, a malformed
answer) and whatever fits no other class."""


class FanMemoryError(Exception):
    """Something went wrong inside Fan Memory."""

    status: ClassVar[int] = 500
    type: ClassVar[ErrorType | None] = None
    retryable: ClassVar[bool] = False
    hint: ClassVar[str] = "See the service log for this correlation id."

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        self.advice = hint or self.hint


class InvalidInput(FanMemoryError):
    """The input does not fit its contract.

    `field` is the public path of the offending field (`amount`, `metadata.contentType`), or `$`
    for the input as a whole; `reason` says what is wrong and what would be right, without
    repeating the value.
    """

    status = 400
    type = "VALIDATION_ERROR"
    hint = "Correct the named field and send again."

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Unauthenticated(FanMemoryError):
    """Unauthorized"""

    status = 401
    hint = "Send a valid bearer token: `fanmemory token --creator ID` prints one for development."


class KeysUnavailable(FanMemoryError):
    """The keys that tokens are signed with can't be fetched."""

    status = 503
    retryable = True
    hint = "Try again; check FANMEMORY_JWT_JWKS_URL, and the way to it."


class KeyServiceUnavailable(FanMemoryError):
    """The key service did not answer."""

    status = 503
    retryable = True
    hint = "Try again; check FANMEMORY_KEY_SERVICE_URL, and the way to it."


class DeliveryRefused(FanMemoryError):
    """The delivery does not come from this connection's platform."""

    status = 401
    hint = "Check the connection's secret, and the clocks where the platform signs the time."


class DeliveryUnfit(FanMemoryError):
    """The delivery holds something that can't be taken."""

    status = 422
    type = "VALIDATION_ERROR"
    hint = "docs/platforms.md says what is taken; what is refused is kept as a dead letter."


class ConnectionTaken(FanMemoryError):
    """This connection can't be made."""

    status = 409
    type = "VALIDATION_ERROR"
    hint = "Choose another random id; a creator may make 100 connections."


class WorkflowNotFound(FanMemoryError):
    """Workflow not found"""

    status = 404
    type = "NOT_FOUND"
    hint = "GET /api/workflows lists the creator's own."


class WorkflowConflict(FanMemoryError):
    """The workflow is not where this can be done to it."""

    status = 409
    type = "VALIDATION_ERROR"
    hint = "Read the workflow again: it has moved, or something stands in the way."


class DraftStale(WorkflowConflict):
    """The draft is stale: there is something newer than what it was made from."""

    hint = "Read what is new; then edit the draft, have it composed again, or reject it."

    def __init__(self, fresh: Sequence[str] = ()) -> None:
        """`fresh` are the ids of the newer messages."""
        super().__init__()
        self.fresh = tuple(fresh)


class BudgetExceeded(FanMemoryError):
    """The budget does not allow this call."""

    status = 402
    hint = "Raise the budget, or wait for the next day or month."

    def __init__(self, scope: str, period: str | None = None) -> None:
        """Whose budget: a `user`'s or a `creator`'s of a `day` or `month`, or a `campaign`'s."""
        super().__init__()
        self.scope = scope
        self.period = period


class Forbidden(FanMemoryError):
    """Creator access required"""

    status = 403
    hint = "Use a token whose creatorId claim is the creator asked for."


class FanSuppressed(FanMemoryError):
    """This fan asked that nothing more be remembered."""

    status = 403
    hint = "Nothing was accepted. DELETE /api/of-memory/suppression lifts it, if the fan agrees."


class ScopeMissing(FanMemoryError):
    """The token's scope does not allow this."""

    status = 403
    hint = "Use a token whose scope claim has the one that WWW-Authenticate names, or none at all."

    def __init__(self, scope: str = "") -> None:
        super().__init__()
        self.scope = scope


class FanNotFound(FanMemoryError):
    """Fan not found"""

    status = 404
    type = "NOT_FOUND"
    hint = "No interaction of this fan with this creator is remembered."


class ErasureNotFound(FanMemoryError):
    """Erasure not found"""

    status = 404
    type = "NOT_FOUND"
    hint = "Use the id that DELETE /api/of-memory/clear answered to this creator."


class ForgettingNotFound(FanMemoryError):
    """Forgetting not found"""

    status = 404
    type = "NOT_FOUND"
    hint = "Use the id that DELETE /api/of-memory/messages/{eventId} answered to this creator."


class MessageNotFound(FanMemoryError):
    """Message not found"""

    status = 404
    type = "NOT_FOUND"
    hint = "No message with this id is remembered of this fan with this creator."


class RouteNotFound(FanMemoryError):
    """No such route"""

    status = 404
    hint = "docs/api.md lists the routes."


class MethodNotAllowed(FanMemoryError):
    """Method not allowed"""

    status = 405
    hint = "The Allow header names the methods of this route."


class BodyTooLarge(FanMemoryError):
    """The request body is too large."""

    status = 413
    type = "VALIDATION_ERROR"
    hint = "Send less at once."


class Overloaded(FanMemoryError):
    """Too many requests are in flight."""

    status = 503
    retryable = True
    hint = "Try again after the seconds in Retry-After, or add API processes."


class RateLimited(FanMemoryError):
    """Too many requests"""

    status = 429
    hint = "Wait for the seconds in Retry-After; RateLimit says whose quota is used up."

    def __init__(self, policy: str = "", retry_seconds: int = 1, left: int = 0) -> None:
        """`policy` is the quota's name, of which `left` requests are left."""
        super().__init__()
        self.policy = policy
        self.retry_seconds = retry_seconds
        self.left = left


class DeadlineExceeded(FanMemoryError):
    """Request timeout"""

    status = 504
    type = "TIMEOUT"
    retryable = True
    hint = "Try again; if it persists, `fanmemory doctor` says what is slow."


class CacheUnavailable(FanMemoryError):
    """The cache did not answer."""

    status = 503
    type = "CACHE_ERROR"
    retryable = True
    hint = "Reads go to Postgres meanwhile; check Redis."


class CacheFull(CacheUnavailable):
    """The cache has no room left."""

    retryable = False
    hint = "Give it a maxmemory-policy that evicts (allkeys-lru): nothing in it is the only copy."


class DatabaseUnavailable(FanMemoryError):
    """The database did not answer."""

    status = 503
    type = "DATABASE_ERROR"
    retryable = True
    hint = "Try again; check Postgres."


class FansUnindexed(FanMemoryError):
    """Fans can't be found yet: they are still being indexed."""

    status = 503
    type = "DATABASE_ERROR"
    retryable = True
    hint = "Try again in a minute: after an update the workers of the new release index all fans."


class BrokerUnavailable(FanMemoryError):
    """The broker did not acknowledge."""

    status = 503
    retryable = True
    hint = "Nothing was accepted; send again with the same eventId. Check Kafka."


class Misconfigured(FanMemoryError):
    """A setting, a topic or the database schema is not what this version expects."""

    hint = "Run `fanmemory doctor`."


class OtherViews(Misconfigured):
    """The live views were folded by code of another version.

    `where` is what the command to run needs besides, to find the system.
    """

    hint = (
        "After an update of this code run `fanmemory rebuild`, which builds the new views beside"
        " the live ones; after a rebuild by other code run that code."
    )

    def __init__(self, message: str | None = None, where: str = "") -> None:
        super().__init__(message, hint=self.hint.replace(" rebuild`", f" rebuild{where}`"))


class ServiceFailed(FanMemoryError):
    """An embedded service did not start or stopped by itself."""

    hint = "Run `fanmemory doctor`; the service's own log is in the data directory."


class DataDirectoryInUse(FanMemoryError):
    """Another Fan Memory runs on this data directory."""

    hint = "Stop it, or give another directory with --data."


class NotRunning(FanMemoryError):
    """No Fan Memory runs on this data directory."""

    hint = "Start one with `fanmemory up`, or set the FANMEMORY_*_URL variables."


class Fenced(FanMemoryError):
    """Another owner moved this position; what was prepared must be dropped."""

    retryable = True
    hint = "Nothing to do: the worker reloads its positions."


class SealBroken(FanMemoryError):
    """A sealed record could not be opened with its subject's key."""

    hint = "The record was altered, or the keyring lacks the key that sealed it."


class DataLost(FanMemoryError):
    """The log no longer reaches back to the stored position, or the topic was recreated."""

    hint = "Restore the topic, or give up what is missing with `fanmemory accept-loss`."


class BackupUnusable(FanMemoryError):
    """The backup is damaged, incomplete, or sealed under a key that this keyring lacks."""

    hint = "Copy it again from where it was kept, or take another one."


class ProviderFailed(FanMemoryError):
    """A provider of language models gave no answer.

    `str()` of it names the provider, the class and the HTTP status, never the request, the answer
    or a key. `name` is what records and clients are told as its type.
    """

    status = 502
    hint = "docs/workflows.md says which failures are tried again, and where."
    name: ClassVar[str] = "ProviderFailed"

    def __init__(
        self,
        code: FailureCode,
        *,
        provider: str,
        http_status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        usage: Usage | None = None,
        category: str | None = None,
        sent: bool = True,
        attempt: int = 1,
        cause: str | None = None,
    ) -> None:
        """`retry_after` is what the provider asked for, seconds; `category` what its filter found.

        `usage` is what it says it will bill; `sent` is False if the request surely never reached
        it. `cause` is the class of the error below.
        """
        said = f"{provider}: {code}" + (f" ({http_status})" if http_status else "")
        super().__init__(f"{said}.")
        self.code: FailureCode = code
        self.provider = provider
        self.http_status = http_status
        self.can_retry = retryable
        self.retry_after = retry_after
        self.usage = usage
        self.category = category
        self.sent = sent
        self.attempt = attempt
        self.cause = cause


class OpenAIExecutionError(ProviderFailed):
    """OpenAI gave no answer."""

    name = "OpenAIExecutionError"


class AzureExecutionError(ProviderFailed):
    """Azure OpenAI gave no answer."""

    name = "AzureExecutionError"


class ProviderTimeout(ProviderFailed):
    """A provider of language models did not answer in time."""

    status = 504
    name = "TimeoutError"


class CircuitOpen(ProviderFailed):
    """The provider's circuit is open: it is not asked."""

    status = 503
    name = "CircuitOpen"


class InvalidAnswer(FanMemoryError):
    """The model's answer is not of the form that was asked for.

    `problems` says what is wrong with which field, and repeats no word of the answer.
    """

    status = 502
    hint = "It is asked once more with what was wrong; then the workflow fails."

    def __init__(self, problems: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.problems = problems
