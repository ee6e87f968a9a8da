"""Every error that users and operators may see, each with a stable code.

The first line of a docstring is the error's message, and `code` is the contract; both appear in the API's description.
HTTP status codes live in `api.http.problems`, where a new error that a request can meet needs one (500 otherwise); exit
codes live in `api.cli.errors`.

Invariant: a released code keeps its meaning.
"""

from typing import Any, ClassVar


class AtelierError(Exception):
    """Something went wrong inside Atelier."""

    code: ClassVar[str] = "internal"
    #: Whether the same request or job may succeed later, unchanged.
    retryable: ClassVar[bool] = False

    def __init_subclass__(cls, *, code: str, retryable: bool = False) -> None:
        cls.code, cls.retryable = code, retryable

    def __init__(self, detail: str = "", **fields: Any) -> None:
        """Set `detail` for people and `fields` (bounds, ids, sizes) for programs; both are sent to the client."""
        self.message = (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail or self.message
        self.fields = fields
        super().__init__(self.detail)


class InvalidRequest(AtelierError, code="invalid_request"):
    """The request is malformed."""


class UnsupportedMediaType(AtelierError, code="unsupported_media_type"):
    """The request's media type is not supported by this path."""


class MethodNotAllowed(AtelierError, code="method_not_allowed"):
    """The method is not allowed for this path."""


class Unauthorized(AtelierError, code="unauthorized"):
    """A valid API key is required."""


class Forbidden(AtelierError, code="forbidden"):
    """The key's role does not allow this."""


class RateLimited(AtelierError, code="rate_limited", retryable=True):
    """The limit of requests per minute is reached."""


class QuotaExceeded(AtelierError, code="quota_exceeded", retryable=True):
    """The key has reached its limit of waiting jobs, of work per day or of stored bytes."""


class IdempotencyConflict(AtelierError, code="idempotency_conflict"):
    """The idempotency key was used for a different request."""


class IdTaken(AtelierError, code="id_taken"):
    """The id is already in use."""


class AlreadyMade(AtelierError, code="already_made"):
    """The request was already carried out, and its response is shown only once."""


class BodyTooLarge(AtelierError, code="body_too_large"):
    """The body is larger than this path accepts."""


class HeadTooLarge(AtelierError, code="head_too_large"):
    """The request's line and headers are too large."""


class RequestTimeout(AtelierError, code="request_timeout", retryable=True):
    """The request did not arrive in time: its sender stalled for too long."""


class ClientGone(AtelierError, code="client_gone", retryable=True):
    """The client closed its connection before it was answered; what was done by then stays."""


class RangeNotSatisfiable(AtelierError, code="range_not_satisfiable"):
    """The requested range of bytes does not exist."""


class ForbiddenUrl(AtelierError, code="forbidden_url"):
    """Webhooks may not be sent to this address."""


class TooManyStreams(AtelierError, code="too_many_streams", retryable=True):
    """The owner has as many event streams and long polls open as its share allows."""


class InvalidParams(AtelierError, code="invalid_params"):
    """A parameter is unknown, out of range or of the wrong type."""


class BatchFull(AtelierError, code="batch_full"):
    """The batch has reached its maximum number of items."""


class DuplicateKey(AtelierError, code="duplicate_key"):
    """Another item of the batch already has this key."""


class UnsafePath(AtelierError, code="unsafe_path"):
    """The name is not a safe relative path."""


class ArchiveTooLarge(AtelierError, code="archive_too_large"):
    """The archive or its content is too large."""


class TooManyArchives(AtelierError, code="too_many_archives", retryable=True):
    """Too many archives are being read."""


class CorruptArchive(AtelierError, code="corrupt_archive"):
    """The archive is damaged or its format is not supported."""


class NothingAdded(AtelierError, code="nothing_added"):
    """The archive or folder has nothing that could be added."""


class ForbiddenSource(AtelierError, code="forbidden_source"):
    """Images may not be imported from this source."""


class NotFound(AtelierError, code="not_found"):
    """Nothing has this id."""


class UnknownImage(AtelierError, code="unknown_image"):
    """No image with this id has been uploaded."""


class NotFinished(AtelierError, code="not_finished", retryable=True):
    """The job has no result yet."""


class NoResult(AtelierError, code="no_result"):
    """The job ended without a result."""


class ResultExpired(AtelierError, code="result_expired"):
    """The job's files were deleted after their retention time."""


class IllegalTransition(AtelierError, code="illegal_transition"):
    """The current state does not allow this."""


class InvalidMask(AtelierError, code="invalid_mask"):
    """The mask is empty or its shape differs from the content image's."""


class TooLarge(AtelierError, code="too_large"):
    """The picture does not fit any worker's memory, even when painted in tiles."""


class UnsupportedImage(AtelierError, code="unsupported_image"):
    """The file is not a JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF or BMP image."""


class CorruptImage(AtelierError, code="corrupt_image"):
    """The image is damaged or incomplete."""


class BlankImage(AtelierError, code="blank_image"):
    """The image is transparent everywhere."""


class ImageTooLarge(AtelierError, code="image_too_large"):
    """The image has more bytes or pixels, or takes more time or memory to decode, than is allowed."""


class DecoderUnavailable(AtelierError, code="decoder_unavailable", retryable=True):
    """The image cannot be decoded at the moment."""


class WeightsUnavailable(AtelierError, code="weights_unavailable"):
    """The requested VGG19 weights are not available."""


class Diverged(AtelierError, code="diverged"):
    """The optimization diverged: a value is infinite or not a number."""


class OutOfMemory(AtelierError, code="out_of_memory"):
    """The picture needs more memory than the device has."""


class TimedOut(AtelierError, code="timed_out"):
    """The job exceeded its time limit."""


class WorkerLost(AtelierError, code="worker_lost"):
    """Several workers in a row were lost while painting the job."""


class StorageFull(AtelierError, code="storage_full", retryable=True):
    """The storage is full."""


class StorageUnavailable(AtelierError, code="storage_unavailable", retryable=True):
    """The storage cannot be reached."""


class DatabaseUnavailable(AtelierError, code="database_unavailable", retryable=True):
    """The database cannot be reached."""


class BrokerUnavailable(AtelierError, code="broker_unavailable", retryable=True):
    """The message broker cannot be reached."""


class Misconfigured(AtelierError, code="misconfigured"):
    """The installation or its settings prevent Atelier from starting."""


def subclasses(root: type[AtelierError] = AtelierError) -> list[type[AtelierError]]:
    """List every error class, the root first."""
    return [root, *(c for child in root.__subclasses__() for c in subclasses(child))]
