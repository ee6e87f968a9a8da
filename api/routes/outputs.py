"""What a job gives while it runs and when it has ended: events, previews, losses, picture, timelapse, manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from socket import SHUT_RDWR, socket
from typing import TypeVar

from flask import Blueprint, Response, json, request, send_file
from redis import RedisError

from api.access import Access
from api.auth import caller
from api.jobs import event_stream
from api.live.subscriber import Row
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, given
from api.schemas.jobs import LossColumns
from api.services import Services, services
from shared import errors
from shared.clock import rfc3339
from shared.db.jobs import queries
from shared.db.jobs.queries import Shown
from shared.db.models import Job
from shared.imaging import codec
from shared.painting.results import FileKey
from shared.painting.steps import loss_columns
from shared.states import TERMINAL, State

blueprint = Blueprint("outputs", __name__, url_prefix="/v1/jobs/<job_id>")

_EVENT = {
    "type": "object",
    "description": "One event; comments keep the stream alive.",
    "properties": {
        "id": {"type": "string", "description": "To resume after it."},
        "event": {"type": "string", "enum": ["state", "step", "preview", "gap", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
AnyJob = TypeVar("AnyJob", bound=Shown)
_FORMATS = ("png", "jpeg", "webp")


@blueprint.get("/events")
@operation(
    "Follow a job as Server-Sent Events; `Last-Event-ID` resumes",
    access=Access.READ,
    returns={"text/event-stream": _EVENT},
    query={"last_event_id": given("For clients that cannot send the header.", type="string")},
    headers=("Last-Event-ID",),
    errors=(errors.NotFound, errors.TooManyStreams),
)
def follow(job_id: str) -> Response:
    """Stream a job's events."""
    found = services()
    job = _job(job_id)
    if not found.streams.acquire(blocking=False):
        raise errors.TooManyStreams
    last_id = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    response = Response(_streamed(found, job, last_id), content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(found.streams.release)
    return response


@blueprint.get("/preview")
@operation(
    "Fetch the newest frame",
    access=Access.READ,
    returns={"image/jpeg": BINARY},
    errors=(errors.NotFound, errors.ResultExpired),
)
def preview(job_id: str) -> Response:
    """Send the newest frame: live while the job runs, the picture made small after."""
    with services().database.autocommit() as connection:  # asked for again and again by whoever watches
        job = _unexpired(queries.get_job_row(connection, job_id, owner=caller().sees))
    try:
        data = services().progress.preview(job_id)
    except RedisError:
        data = None
    if job.result:
        longest = services().settings.preview_px
        data = codec.recode(_stored(job, "key"), format="jpeg", max_side=longest, quality=85)
    if data is None:
        raise errors.NotFound("There is no frame of this job yet.")
    response = Response(data, content_type="image/jpeg")
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/losses")
@operation(
    "Fetch every step's losses as columns",
    access=Access.READ,
    returns=LossColumns,
    errors=(errors.NotFound, errors.ResultExpired),
)
def losses(job_id: str) -> Response:
    """Send the losses: from storage if the job left a picture, from Redis otherwise."""
    job = _unexpired(_job(job_id))
    if job.result:
        return Response(_stored(job, "losses_key"), content_type="application/json")
    try:
        steps = services().progress.all_steps(job_id)
    except RedisError:
        steps = [job.progress] if job.progress else []
    return Response(json.dumps(loss_columns(steps)), content_type="application/json")


@blueprint.get("/result")
@operation(
    "Fetch the picture",
    access=Access.READ,
    returns={f"image/{name}": BINARY for name in _FORMATS},
    query={"format": given("jpeg shows on white what is transparent.", type="string", enum=_FORMATS, default="png")},
    headers=("If-None-Match", "Range"),
    errors=(errors.NotFound, errors.NotFinished, errors.NoResult, errors.ResultExpired, errors.InvalidParams),
)
def result(job_id: str) -> Response:
    """Send the picture, whole or a range of it."""
    format_name = request.args.get("format", "png")
    if format_name not in _FORMATS:
        mistake = {"pointer": "format", "detail": f"one of {', '.join(_FORMATS)}"}
        raise errors.InvalidParams(f"format is one of {', '.join(_FORMATS)}.", errors=[mistake])
    return _sent(_finished(job_id), format_name, lambda job: _encoded(job, format_name))


@blueprint.get("/timelapse")
@operation(
    "Fetch the animation of the painting, if one was asked for",
    access=Access.READ,
    returns={"image/webp": BINARY},
    headers=("If-None-Match", "Range"),
    errors=(errors.NotFound, errors.NotFinished, errors.NoResult, errors.ResultExpired),
)
def timelapse(job_id: str) -> Response:
    """Send the animation, whole or a range of it."""
    job = _finished(job_id)
    if "timelapse_key" not in (job.result or {}):
        raise errors.NotFound("There is no timelapse of this job; the parameter `timelapse` asks for one.")
    return _sent(job, "webp", lambda job: _stored(job, "timelapse_key"), part="-timelapse")


def film(job_id: str) -> Response:
    """Send the film strip, for the dashboard; raise `NotFound` where the run was too short for one."""
    job = _finished(job_id)
    if "film_key" not in (job.result or {}):
        raise errors.NotFound("There is no film strip of this job.")
    return _sent(job, "webp", lambda job: _stored(job, "film_key"), part="-film")


@blueprint.get("/manifest")
@operation(
    "Fetch the provenance: everything that decided the picture",
    access=Access.READ,
    returns={"application/json": {"type": "object"}},
    errors=(errors.NotFound, errors.NotFinished, errors.NoResult, errors.ResultExpired),
)
def manifest(job_id: str) -> Response:
    """Send the manifest."""
    return Response(_stored(_finished(job_id), "manifest_key"), content_type="application/json")


def _job(job_id: str) -> Job:
    with services().database.reading() as session:
        return queries.get_job(session, job_id, owner=caller().sees)


def _unexpired(job: AnyJob) -> AnyJob:
    """Return a job whose files are kept; raise `ResultExpired` for another."""
    if job.files_gone_at is not None:
        raise errors.ResultExpired(f"The job's files were kept until {rfc3339(job.expires_at)}.")
    return job


def _finished(job_id: str) -> Job:
    """Return a job whose picture is there; raise `NotFinished`, `NoResult` if there never is one, `ResultExpired`."""
    job = _job(job_id)
    if job.state not in TERMINAL:
        raise errors.NotFinished(f"The job is {job.state}; its result comes when it has ended.", state=job.state)
    if not job.result:
        reason = f": {job.error_code}" if job.state == State.FAILED else ""
        ended = "was canceled" if job.state == State.CANCELED else f"has {job.state}"
        raise errors.NoResult(f"The job {ended} without a picture{reason}.", state=job.state)
    return _unexpired(job)


def _sent(job: Job, format_name: str, read: Callable[[Job], bytes], part: str = "") -> Response:
    """Send a file of a job that never changes, unless the client has it; `part` sets it apart from the result."""
    etag = f"{job.id}-{job.attempt}{part}-{format_name}"
    if etag in request.if_none_match:
        return Response(status=304, headers={"ETag": f'"{etag}"'})
    name = f"atelier-{job.id}{part}.{'jpg' if format_name == 'jpeg' else format_name}"
    media_type = codec.MEDIA_TYPES[format_name]
    return send_file(BytesIO(read(job)), mimetype=media_type, download_name=name, etag=etag, conditional=True)


def _encoded(job: Job, format_name: str) -> bytes:
    """Return the picture in a format: as it is stored, or made anew from that."""
    png = _stored(job, "key")
    return png if format_name == "png" else codec.recode(png, format=format_name)


def _stored(job: Shown, key: FileKey) -> bytes:
    assert job.result is not None
    try:
        return services().store.get(job.result[key])
    except errors.NotFound:
        _unexpired(_job(job.id))  # its files may have gone since its row was read
        raise


def _streamed(found: Services, job: Job, last_id: str | None) -> Iterator[str]:
    row = Row(job.state, job.attempt, job.progress)
    connection: socket | None = request.environ.get("gunicorn.socket")
    hang_up = partial(_cut, connection) if connection else None
    return event_stream.event_stream(found, job.id, row, last_id, hang_up=hang_up)


def _cut(connection: socket) -> None:
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)
