"""What stops a run of chat requests as a whole; a failed row is a result, not an error."""

# ruff: noqa: N818  (the names say what happened)

from clarilm_kedro.errors import ClarilmError


class EndpointUnreachable(ClarilmError):
    """No connection to the endpoint could be made."""


class EndpointRefused(ClarilmError):
    """The endpoint answers, but will answer no request of this run: wrong key, unknown model, no credit left."""


class StoreUnusable(ClarilmError):
    """The response store is in use by another process, is not a store, or cannot be written."""


class TooManyFailures(ClarilmError):
    """More rows of a stage failed than its ``max_failed_share`` allows."""


class BudgetExceeded(ClarilmError):
    """The next request might cost more than is left of the budget."""


class BatchPending(ClarilmError):
    """Requests are written to files that someone must run; the next run reads the answers."""


class MissingOffline(ClarilmError):
    """A reply that the response store does not hold is needed, and the endpoint may not be asked."""
