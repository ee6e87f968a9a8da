"""What Schemathesis is let loose on: the app with a picture in it, and values that get it beyond the door."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import schemathesis
from flask import Flask
from hypothesis import strategies as st

from api.app import create_app
from api.batches.archives import reader
from api.live.hub import Hub
from shared.imaging import codec
from shared.imaging.formats.recognition import MEDIA_TYPES
from shared.settings import Settings
from tests.hostile.archives import tarred, zipped
from tests.support.factories import picture
from tests.support.flask_clients import client_with
from tests.support.picture_kinds import held, made
from tests.support.sample_images import QUARTERS, Image, saved

_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


class Impatient(Hub):
    """One that never waits: a long poll for a job that nobody paints would take its whole minute."""

    def wait_change(self, job_id: str, state: str, *, owner: str, timeout_s: float) -> bool:
        return super().wait_change(job_id, state, owner=owner, timeout_s=0)


def impatient_app(settings: Settings) -> Flask:
    """Make the app, whose event streams end and whose long polls answer at once."""
    app = create_app(settings.model_copy(update={"stream_life_s": 0.01}))
    found = app.extensions["atelier"]
    hub = Impatient(found.database, found.progress, found.streams, found.snapshots)
    app.extensions["atelier"] = replace(found, hub=hub)
    return app


def upload(app: Flask, key: str) -> str:
    """Upload a picture and return its id."""
    png = codec.encode(picture(), format="png")
    return client_with(app, key).post("/v1/images", data=png, content_type="image/png").json["id"]


@schemathesis.serializer("application/x-ndjson")
def in_lines(ctx: Any, value: Any) -> bytes:
    """Write what is one line's as a body of one line."""
    return json.dumps(value).encode() + b"\n"


@contextmanager
def real_pictures(image_id: str) -> Iterator[None]:
    """Have every image be a picture, and every id of one in a JSON body that of a picture that is there.

    A hash that was made up names nothing, so no job would ever be queued.
    """
    for kind, media_type in MEDIA_TYPES.items():
        schemathesis.openapi.media_type(media_type, st.just(made(kind, held())))

    for media_type in (reader.ZIP[0], *reader.TAR):
        make = zipped if media_type in reader.ZIP else tarred
        schemathesis.openapi.media_type(media_type, st.just(make({"a.png": saved(Image.fromarray(QUARTERS), "PNG")})))

    def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        if isinstance(case.body, dict):
            case.body = _with_id(case.body, image_id)

    schemathesis.hook(before_call)
    try:
        yield
    finally:
        schemathesis.hooks.unregister(before_call)


def _with_id(value: Any, image_id: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_id(inner, image_id) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_id(inner, image_id) for inner in value]
    return image_id if isinstance(value, str) and _IMAGE_ID.fullmatch(value) else value
