"""The outputs of a job: events, preview and losses while it runs; picture, timelapse and manifest once it has ended."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from socket import SHUT_RDWR, socket
from typing import Literal, TypeVar, get_args

from flask import Blueprint, Response, json, request, send_file
from pydantic import BaseModel, Field
from redis import RedisError

from api.access import Access
from api.auth import caller
from api.http.query import parsed_query
from api.http.responses import json_response, stream_response
from api.jobs.event_stream import event_stream
from api.live.subscriber import JobRow
from api.openapi.operation import operation
from api.openapi.parameters import BINARY
from api.schemas.jobs import LossColumns
from api.services import services
from shared import errors
from shared.clock import rfc3339
from shared.db.jobs import queries
from shared.db.jobs.queries import ShownJob
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
        "id": {"type": "string", "description": "Resume after it with `Last-Event-ID`."},
        "event": {"type": "string", "enum": ["state", "step", "preview", "gap", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
#: Why a job has no picture to send, or none any more.
_NO_PICTURE = (errors.NotFinished, errors.NoResult, errors.ResultExpired)
AnyJob = TypeVar("AnyJob", bound=ShownJob)
Format = Literal["png", "jpeg", "webp"]


class EventsQuery(BaseModel):
    """Where to resume a stream."""

    last_event_id: str | None = Field(None, description="For clients that cannot send the header.")


class ResultQuery(BaseModel):
    """How to send a picture."""

    format: Format = Field("png", description="jpeg shows transparency as white.")


@blueprint.get("/events")
@operation(
    access=Access.READ,
    returns={"text/event-stream": _EVENT},
    query=EventsQuery,
    headers=("Last-Event-ID",),
    errors=(errors.TooManyStreams,),
)
def follow(job_id: str) -> Response:
    """Follow a job as Server-Sent Events; `Last-Event-ID` resumes."""
    found, job = services(), _job(job_id)
    last_id = request.headers.get("Last-Event-ID") or parsed_query(EventsQuery).last_event_id
    row = JobRow(job.state, job.attempt, job.progress)
    connection: socket | None = request.environ.get("gunicorn.socket")
    hang_up = partial(_cut, connection) if connection else None
    lifetime_s = found.settings.stream_life_s
    events = event_stream(found.hub, found.progress, job_id, row, last_id, lifetime_s=lifetime_s, hang_up=hang_up)
    response = stream_response(found.streams, events, "text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    return response


@blueprint.get("/preview")
@operation(access=Access.READ, returns={"image/jpeg": BINARY}, errors=(errors.ResultExpired,))
def preview(job_id: str) -> Response:
    """Fetch the newest frame.

    While the job runs, that is the last one painted; after that its picture, made small.
    """
    with services().database.autocommit() as connection:  # polled by whoever watches
        job = _unexpired(queries.get_job_row(connection, job_id, owner=caller().sees))
    try:
        data = services().progress.preview(job_id)
    except RedisError:
        data = None
    if job.result:
        longest = services().settings.preview_px
        data = codec.recode(_stored(job, "key"), format="jpeg", max_side=longest, quality=85)
    if data is None:
        raise errors.NotFound("This job has no frame yet.")
    response = Response(data, content_type="image/jpeg")
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/losses")
@operation(access=Access.READ, returns=LossColumns, errors=(errors.ResultExpired,))
def losses(job_id: str) -> Response:
    """Fetch the losses of every step, as columns.

    They come from storage if the job left a picture, from Redis otherwise.
    """
    job = _unexpired(_job(job_id))
    if job.result:
        return json_response(_stored(job, "losses_key"))
    try:
        steps = services().progress.all_steps(job_id)
    except RedisError:
        steps = [job.progress] if job.progress else []
    return json_response(json.dumps(loss_columns(steps)))


@blueprint.get("/result")
@operation(
    access=Access.READ,
    returns={f"image/{name}": BINARY for name in get_args(Format)},
    query=ResultQuery,
    headers=("If-None-Match", "Range"),
    errors=_NO_PICTURE,
)
def result(job_id: str) -> Response:
    """Fetch the picture."""
    format_name = parsed_query(ResultQuery).format
    return _sent(_finished(job_id), format_name, lambda job: _encoded(job, format_name))


@blueprint.get("/timelapse")
@operation(access=Access.READ, returns={"image/webp": BINARY}, headers=("If-None-Match", "Range"), errors=_NO_PICTURE)
def timelapse(job_id: str) -> Response:
    """Fetch the timelapse, if the job was asked for one."""
    job = _finished(job_id)
    if "timelapse_key" not in (job.result or {}):
        raise errors.NotFound("This job has no timelapse; the parameter `timelapse` asks for one.")
    return _sent(job, "webp", lambda job: _stored(job, "timelapse_key"), part="-timelapse")


def film(job_id: str) -> Response:
    """Send the film strip, for the dashboard; raise `NotFound` where the run was too short for one."""
    job = _finished(job_id)
    if "film_key" not in (job.result or {}):
        raise errors.NotFound("This job has no film strip.")
    return _sent(job, "webp", lambda job: _stored(job, "film_key"), part="-film")


@blueprint.get("/manifest")
@operation(access=Access.READ, returns={"application/json": {"type": "object"}}, errors=_NO_PICTURE)
def manifest(job_id: str) -> Response:
    """Fetch the manifest: everything that determined the picture."""
    return json_response(_stored(_finished(job_id), "manifest_key"))


def _job(job_id: str) -> Job:
    with services().database.reading() as session:
        return queries.get_job(session, job_id, owner=caller().sees)


def _unexpired(job: AnyJob) -> AnyJob:
    """Return a job whose files are still there; raise `ResultExpired`."""
    if job.files_gone_at is not None:
        raise errors.ResultExpired(f"The job's files were kept until {rfc3339(job.expires_at)}.")
    return job


def _finished(job_id: str) -> Job:
    """Return a job with a picture; raise `NotFinished`, `NoResult` if it ended without one, or `ResultExpired`."""
    job = _job(job_id)
    if job.state not in TERMINAL:
        raise errors.NotFinished(f"The job is {job.state}; it has no result before it ends.", state=job.state)
    if not job.result:
        reason = f": {job.error_code}" if job.state == State.FAILED else ""
        ended = "was canceled" if job.state == State.CANCELED else f"has {job.state}"
        raise errors.NoResult(f"The job {ended} without a picture{reason}.", state=job.state)
    return _unexpired(job)


def _sent(job: Job, format_name: str, read: Callable[[Job], bytes], part: str = "") -> Response:
    """Send a file of a job, or 304 if the client has it; its ETag holds `part`, which tells it from the result."""
    etag = f"{job.id}-{job.attempt}{part}-{format_name}"
    if etag in request.if_none_match:
        return Response(status=304, headers={"ETag": f'"{etag}"'})
    name = f"atelier-{job.id}{part}.{'jpg' if format_name == 'jpeg' else format_name}"
    media_type = codec.MEDIA_TYPES[format_name]
    return send_file(BytesIO(read(job)), mimetype=media_type, download_name=name, etag=etag, conditional=True)


def _encoded(job: Job, format_name: str) -> bytes:
    """Return the picture in a format, which is encoded now unless it is PNG."""
    png = _stored(job, "key")
    return png if format_name == "png" else codec.recode(png, format=format_name)


def _stored(job: ShownJob, key: FileKey) -> bytes:
    assert job.result is not None
    try:
        return services().store.get(job.result[key])
    except errors.NotFound:
        _unexpired(_job(job.id))  # its files may have been deleted since its row was read
        raise


def _cut(connection: socket) -> None:
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)
