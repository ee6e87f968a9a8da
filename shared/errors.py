"""Every error that a user or an operator may meet, each with a stable code.

The docstring's first line is the message and `code` is the contract; both are published in the docs.
HTTP numbers live in `api/http/problems.py` and exit codes in `api/cli.py`, never here.

Invariant: a code, once released, keeps its meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class AtelierError(Exception):
    """Something went wrong inside Atelier."""

    code: ClassVar[str] = "internal"
    #: Whether the same request or job may succeed later without being changed.
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", **fields: Any) -> None:
        """Keep `detail` for people and `fields` (bounds, ids, sizes) for programs; both reach the client."""
        self.message = (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail or self.message
        self.fields = fields
        super().__init__(self.detail)


class InvalidRequest(AtelierError):
    """The request cannot be read."""

    code = "invalid_request"


class UnsupportedMediaType(AtelierError):
    """The request's media type is not one that this path takes."""

    code = "unsupported_media_type"


class MethodNotAllowed(AtelierError):
    """This path does not take that method."""

    code = "method_not_allowed"


class Unauthorized(AtelierError):
    """A valid API key is needed."""

    code = "unauthorized"


class Forbidden(AtelierError):
    """This key's role does not allow that."""

    code = "forbidden"


class RateLimited(AtelierError):
    """This key has made as many requests as it may in a minute."""

    code = "rate_limited"
    retryable = True


class QuotaExceeded(AtelierError):
    """This key has as much work waiting, or has asked for as much today, as it may."""

    code = "quota_exceeded"
    retryable = True


class IdempotencyConflict(AtelierError):
    """This idempotency key was used for another request."""

    code = "idempotency_conflict"


class IdTaken(AtelierError):
    """Something else has this id."""

    code = "id_taken"


class AlreadyMade(AtelierError):
    """This request was carried out before, and its answer was shown that once."""

    code = "already_made"


class BodyTooLarge(AtelierError):
    """The body is larger than this path takes."""

    code = "body_too_large"


class RangeNotSatisfiable(AtelierError):
    """The bytes that were asked for are not there."""

    code = "range_not_satisfiable"


class ForbiddenUrl(AtelierError):
    """This address is not one that webhooks may be sent to."""

    code = "forbidden_url"


class TooManyStreams(AtelierError):
    """Too many event streams are open."""

    code = "too_many_streams"
    retryable = True


class InvalidParams(AtelierError):
    """A parameter is unknown, out of bounds or of the wrong type."""

    code = "invalid_params"


class BatchFull(AtelierError):
    """The batch has as many items as one may have."""

    code = "batch_full"


class DuplicateKey(AtelierError):
    """Another item of the batch has this key."""

    code = "duplicate_key"


class UnsafePath(AtelierError):
    """This is no name of a file below a folder."""

    code = "unsafe_path"


class ArchiveTooLarge(AtelierError):
    """The archive, or what is in it, is larger than one may be."""

    code = "archive_too_large"


class CorruptArchive(AtelierError):
    """The archive is damaged, or none that can be read."""

    code = "corrupt_archive"


class ForbiddenSource(AtelierError):
    """Pictures may not be imported from there."""

    code = "forbidden_source"


class NotFound(AtelierError):
    """There is nothing of that id."""

    code = "not_found"


class UnknownImage(AtelierError):
    """No image of that id has been uploaded."""

    code = "unknown_image"


class NotFinished(AtelierError):
    """The job has no result yet."""

    code = "not_finished"
    retryable = True


class NoResult(AtelierError):
    """The job ended without a result."""

    code = "no_result"


class ResultExpired(AtelierError):
    """The job's files were kept as long as its retention said, and are gone."""

    code = "result_expired"


class IllegalTransition(AtelierError):
    """The job's state does not allow that."""

    code = "illegal_transition"


class InvalidMask(AtelierError):
    """The mask is empty or of another shape than the content."""

    code = "invalid_mask"


class TooLarge(AtelierError):
    """The picture is larger than any worker's memory can hold, tiled or not."""

    code = "too_large"


class UnsupportedImage(AtelierError):
    """This is not a JPEG, PNG, WebP or TIFF image."""

    code = "unsupported_image"


class CorruptImage(AtelierError):
    """The image is damaged or incomplete."""

    code = "corrupt_image"


class ImageTooLarge(AtelierError):
    """The image has more bytes or pixels than allowed."""

    code = "image_too_large"


class WeightsUnavailable(AtelierError):
    """The VGG19 weights that were asked for cannot be had here."""

    code = "weights_unavailable"


class Diverged(AtelierError):
    """The optimisation left the finite numbers."""

    code = "diverged"


class OutOfMemory(AtelierError):
    """The picture needs more memory than the device has."""

    code = "out_of_memory"


class TimedOut(AtelierError):
    """The job ran longer than it may."""

    code = "timed_out"


class WorkerLost(AtelierError):
    """The job's workers were lost again and again while they painted it."""

    code = "worker_lost"


class StorageFull(AtelierError):
    """The storage has no room left."""

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
    """The installation or its settings keep Atelier from starting."""

    code = "misconfigured"


def subclasses(root: type[AtelierError] = AtelierError) -> list[type[AtelierError]]:
    """List every error class, the root first: the published catalogue of codes."""
    return [root, *(c for child in root.__subclasses__() for c in subclasses(child))]
