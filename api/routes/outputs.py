"""The outputs of a job: events, preview and losses while it runs; picture, timelapse and manifest once it has ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from socket import SHUT_RDWR, socket
from typing import Literal, get_args

from flask import Blueprint, Response, json, request, url_for
from pydantic import BaseModel, Field
from redis import RedisError

from api.access import Access
from api.auth import caller, while_valid
from api.http.files import file_response
from api.http.query import parsed_query
from api.http.responses import json_response, model_response, stream_response, tagged_response
from api.jobs import stream_tokens
from api.jobs.event_stream import event_stream, has_ended
from api.live.subscriber import JobRow
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, FILE_HEADERS
from api.schemas.outputs import EventsTokenView, LossColumns, Strength
from api.serializers.jobs import photograph_name
from api.services import services
from api.usecases import results
from api.usecases.file_names import download_name
from api.usecases.results import AS_PAINTED, Encoding
from shared import clock, errors
from shared.db.access import keys
from shared.db.jobs import queries
from shared.db.jobs.queries import ShownJob
from shared.db.models import Job
from shared.imaging.formats.recognition import MEDIA_TYPES
from shared.painting.results import FileKey, strength_of
from shared.painting.steps import loss_columns

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
_SUFFIXES = {"jpeg": "jpg", "tiff": "tif"}
_NO_PICTURE = (errors.NotFinished, errors.NoResult, errors.ResultExpired)
#: Why a picture cannot be mixed with its photograph.
_PHOTOGRAPH = (errors.ResultExpired, errors.ImageTooLarge, errors.CorruptImage, errors.DecoderUnavailable)
#: Tells an encoded result from what an earlier version of Atelier made of the same picture.
_ENCODED = "-srgb"
Format = Literal["png", "jpeg", "webp", "tiff"]


class EventsQuery(BaseModel):
    """Where to resume a stream."""

    last_event_id: str | None = Field(None, description="For clients that cannot send the header.")


class PreviewQuery(BaseModel):
    """How to show a picture."""

    strength: Strength | None = Field(
        None,
        description="How strongly the painting of an ended job shows: from 0, the photograph, to 1, as painted, "
        "rounded to hundredths; by default the saved strength.",
    )


class ResultQuery(PreviewQuery):
    """How to send a picture."""

    format: Format = Field(
        "png", description="png and tiff have the job's depth, the others eight bits; jpeg shows transparency as white."
    )


@blueprint.get("/events")
@operation(
    access=Access.READ,
    returns={"text/event-stream": _EVENT},
    others={204: ("`Last-Event-ID` is that of the event `end`: nothing follows.", None)},
    query=EventsQuery,
    headers=("Last-Event-ID",),
    takes_token=True,
    errors=(errors.TooManyStreams,),
)
def follow(job_id: str) -> Response:
    """Follow a job as Server-Sent Events; `Last-Event-ID` resumes."""
    found, job = services(), _job(job_id)
    last_id = request.headers.get("Last-Event-ID") or parsed_query(EventsQuery).last_event_id
    row = JobRow(job.state, job.attempt, job.progress)
    if has_ended(row, last_id):
        return Response(status=204)
    connection: socket | None = request.environ.get("gunicorn.socket")
    hang_up = partial(_cut, connection) if connection else None
    lifetime_s = found.settings.stream_life_s
    events = event_stream(found.hub, found.progress, job_id, row, last_id, lifetime_s=lifetime_s, hang_up=hang_up)
    return stream_response(found.streams, caller().owner, while_valid(events), "text/event-stream")


@blueprint.post("/events-token")
@operation(access=Access.READ, status=201, returns=EventsTokenView)
def make_token(job_id: str) -> Response:
    """Make a token that opens the job's events for a minute."""
    with services().database.reading() as session:
        queries.get_job(session, job_id, owner=caller().sees)
        token = stream_tokens.issue(keys.get_key(session, caller().key_id), job_id)
    path = url_for("outputs.follow", job_id=job_id)
    view = EventsTokenView(
        token=token.text,
        expires_at=clock.rfc3339(token.expires_at),
        url=f"{request.host_url.rstrip('/')}{path}?token={token.text}",
    )
    response = model_response(view, 201)
    response.headers["Location"] = path
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/preview")
@operation(
    access=Access.READ,
    returns={"image/jpeg": BINARY},
    query=PreviewQuery,
    headers=("If-None-Match",),
    errors=_PHOTOGRAPH,
)
def preview(job_id: str) -> Response:
    """Fetch the newest frame.

    While the job runs, that is the last one painted; after that its picture, made small.
    """
    strength = parsed_query(PreviewQuery).strength
    with services().database.autocommit() as connection:  # polled by whoever watches
        job = results.require_files(queries.get_job_row(connection, job_id, owner=caller().sees))
    if job.result:
        return _preview_of_result(job, strength)
    try:
        data = services().progress.preview(job_id)
    except RedisError:
        data = None
    if data is None:
        raise errors.NotFound("This job has no frame yet.")
    return Response(data, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _preview_of_result(job: ShownJob, strength: float | None) -> Response:
    """Send a job's picture made small, or a 304 if the client has it."""
    pictures, side = services().pictures, services().settings.preview_px
    shown = pictures.shown_strength(job) if strength is None else strength

    def read() -> bytes:
        with _expiring(job):
            encoding = Encoding("jpeg", quality=85, max_side=side)
            return pictures.at(job, shown, encoding) if strength is not None else pictures.saved(job, encoding).data

    return tagged_response(f"{job.id}-{job.attempt}-preview-{side}-{shown}{_ENCODED}", "image/jpeg", read)


@blueprint.get("/losses")
@operation(access=Access.READ, returns=LossColumns, errors=(errors.ResultExpired,))
def losses(job_id: str) -> Response:
    """Fetch the losses of every step, as columns.

    They come from storage if the job left a picture, from Redis otherwise.
    """
    job = results.require_files(_job(job_id))
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
    headers=FILE_HEADERS,
    errors=(*_NO_PICTURE, *_PHOTOGRAPH),
)
def result(job_id: str) -> Response:
    """Fetch the picture, mixed with its photograph if the painting is to show less strongly than it was painted."""
    query, job = parsed_query(ResultQuery), _finished(job_id)
    strength = strength_of(results.require_result(job)) if query.strength is None else query.strength
    version = "" if strength == AS_PAINTED else f"-strength-{strength}"
    if version or query.format != "png":
        version += _ENCODED

    def read(job: Job) -> bytes:
        with _expiring(job):
            return services().pictures.at(job, strength, Encoding(query.format))

    return _sent(job, query.format, read, version=version)


@blueprint.get("/timelapse")
@operation(access=Access.READ, returns={"image/webp": BINARY}, headers=FILE_HEADERS, errors=_NO_PICTURE)
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


def _finished(job_id: str) -> Job:
    """Return a job with a picture; raise `NotFinished`, `NoResult` if it ended without one, or `ResultExpired`."""
    job = _job(job_id)
    results.require_result(job)
    return job


def _sent(job: Job, format_name: str, read: Callable[[Job], bytes], part: str = "", *, version: str = "") -> Response:
    """Send a file of a job, or 304 if the client has it.

    Its ETag holds `part`, which tells it from the result, and `version`, which tells what else its bytes depend on.
    """
    etag = f"{job.id}-{job.attempt}{part}{version}-{format_name}"
    name = download_name(photograph_name(job), job.id, part, _SUFFIXES.get(format_name, format_name))
    return file_response(partial(read, job), media_type=MEDIA_TYPES[format_name], name=name, etag=etag)


def _stored(job: ShownJob, key: FileKey) -> bytes:
    assert job.result is not None
    with _expiring(job):
        return services().store.get(job.result[key])


@contextmanager
def _expiring(job: ShownJob) -> Iterator[None]:
    """Turn `NotFound` into `ResultExpired` if the job's files were deleted since its row was read."""
    try:
        yield
    except errors.NotFound:
        results.require_files(_job(job.id))
        raise


def _cut(connection: socket) -> None:
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)
