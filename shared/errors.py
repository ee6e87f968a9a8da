"""Every error that users and operators may see, each with a stable code.

The first line of a docstring is the error's message, and `code` is the contract; both appear in the API's description.
HTTP status codes live in `api.http.problems`, exit codes in `api.cli.errors`.

Invariant: a released code keeps its meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class AtelierError(Exception):
    """Something went wrong inside Atelier."""

    code: ClassVar[str] = "internal"
    #: Whether the same request or job may succeed later, unchanged.
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", **fields: Any) -> None:
        """Set `detail` for people and `fields` (bounds, ids, sizes) for programs; both are sent to the client."""
        self.message = (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail or self.message
        self.fields = fields
        super().__init__(self.detail)


class InvalidRequest(AtelierError):
    """The request is malformed."""

    code = "invalid_request"


class UnsupportedMediaType(AtelierError):
    """The request's media type is not supported by this path."""

    code = "unsupported_media_type"


class MethodNotAllowed(AtelierError):
    """The method is not allowed for this path."""

    code = "method_not_allowed"


class Unauthorized(AtelierError):
    """A valid API key is required."""

    code = "unauthorized"


class Forbidden(AtelierError):
    """The key's role does not allow this."""

    code = "forbidden"


class RateLimited(AtelierError):
    """The key has reached its limit of requests per minute."""

    code = "rate_limited"
    retryable = True


class QuotaExceeded(AtelierError):
    """The key has reached its limit of waiting jobs or of work per day."""

    code = "quota_exceeded"
    retryable = True


class IdempotencyConflict(AtelierError):
    """The idempotency key was used for a different request."""

    code = "idempotency_conflict"


class IdTaken(AtelierError):
    """The id is already in use."""

    code = "id_taken"


class AlreadyMade(AtelierError):
    """The request was already carried out, and its response is shown only once."""

    code = "already_made"


class BodyTooLarge(AtelierError):
    """The body is larger than this path accepts."""

    code = "body_too_large"


class RangeNotSatisfiable(AtelierError):
    """The requested range of bytes does not exist."""

    code = "range_not_satisfiable"


class ForbiddenUrl(AtelierError):
    """Webhooks may not be sent to this address."""

    code = "forbidden_url"


class TooManyStreams(AtelierError):
    """Too many event streams are open."""

    code = "too_many_streams"
    retryable = True


class InvalidParams(AtelierError):
    """A parameter is unknown, out of range or of the wrong type."""

    code = "invalid_params"


class BatchFull(AtelierError):
    """The batch has reached its maximum number of items."""

    code = "batch_full"


class DuplicateKey(AtelierError):
    """Another item of the batch already has this key."""

    code = "duplicate_key"


class UnsafePath(AtelierError):
    """The name is not a safe relative path."""

    code = "unsafe_path"


class ArchiveTooLarge(AtelierError):
    """The archive or its content is too large."""

    code = "archive_too_large"


class CorruptArchive(AtelierError):
    """The archive is damaged or its format is not supported."""

    code = "corrupt_archive"


class ForbiddenSource(AtelierError):
    """Images may not be imported from this source."""

    code = "forbidden_source"


class NotFound(AtelierError):
    """Nothing has this id."""

    code = "not_found"


class UnknownImage(AtelierError):
    """No image with this id has been uploaded."""

    code = "unknown_image"


class NotFinished(AtelierError):
    """The job has no result yet."""

    code = "not_finished"
    retryable = True


class NoResult(AtelierError):
    """The job ended without a result."""

    code = "no_result"


class ResultExpired(AtelierError):
    """The job's files were deleted after their retention time."""

    code = "result_expired"


class IllegalTransition(AtelierError):
    """The current state does not allow this."""

    code = "illegal_transition"


class InvalidMask(AtelierError):
    """The mask is empty or its shape differs from the content image's."""

    code = "invalid_mask"


class TooLarge(AtelierError):
    """The picture does not fit any worker's memory, even when painted in tiles."""

    code = "too_large"


class UnsupportedImage(AtelierError):
    """The file is not a JPEG, PNG, WebP or TIFF image."""

    code = "unsupported_image"


class CorruptImage(AtelierError):
    """The image is damaged or incomplete."""

    code = "corrupt_image"


class ImageTooLarge(AtelierError):
    """The image has more bytes or pixels than are allowed."""

    code = "image_too_large"


class WeightsUnavailable(AtelierError):
    """The requested VGG19 weights are not available."""

    code = "weights_unavailable"


class Diverged(AtelierError):
    """The optimisation diverged: a value is infinite or not a number."""

    code = "diverged"


class OutOfMemory(AtelierError):
    """The picture needs more memory than the device has."""

    code = "out_of_memory"


class TimedOut(AtelierError):
    """The job exceeded its time limit."""

    code = "timed_out"


class WorkerLost(AtelierError):
    """Several workers in a row were lost while painting the job."""

    code = "worker_lost"


class StorageFull(AtelierError):
    """The storage is full."""

    code = "storage_full"
    retryable = True


class StorageUnavailable(AtelierError):
    """The storage cannot be reached."""

    code = "storage_unavailable"
    retryable = True


class DatabaseUnavailable(AtelierError):
    """The database cannot be reached."""

    code = "database_unavailable"
    retryable = True


class BrokerUnavailable(AtelierError):
    """The message broker cannot be reached."""

    code = "broker_unavailable"
    retryable = True


class Misconfigured(AtelierError):
    """The installation or its settings prevent Atelier from starting."""

    code = "misconfigured"


def subclasses(root: type[AtelierError] = AtelierError) -> list[type[AtelierError]]:
    """List every error class, the root first."""
    return [root, *(c for child in root.__subclasses__() for c in subclasses(child))]
