"""Images: uploaded once, named by a hash of their bytes."""

from functools import partial

from flask import Blueprint, Response, request

from api.access import Access
from api.auth import caller
from api.http import bodies
from api.http.files import file_response
from api.http.responses import model_response
from api.openapi.operation import operation
from api.openapi.parameters import BINARY, FILE_HEADERS
from api.schemas.jobs import ImageView
from api.serializers.jobs import serialize_image
from api.services import services
from api.usecases.images import inspect_upload, keep_upload
from shared import errors
from shared.db import images
from shared.db.jobs import queries
from shared.db.models import Image
from shared.imaging.formats.recognition import MEDIA_TYPES
from shared.storage.store import image_key

blueprint = Blueprint("images", __name__, url_prefix="/v1/images")

_PICTURE = dict.fromkeys(MEDIA_TYPES.values(), BINARY)
_FILE = {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}


@blueprint.post("")
@operation(
    access=Access.WRITE,
    status=201,
    returns=ImageView,
    others={200: ("These bytes had been uploaded before.", ImageView)},
    takes={**_PICTURE, bodies.MULTIPART: _FILE},
    errors=(
        errors.UnsupportedImage,
        errors.CorruptImage,
        errors.BlankImage,
        errors.ImageTooLarge,
        errors.DecoderUnavailable,
        errors.QuotaExceeded,
        errors.StorageFull,
    ),
)
def upload() -> Response:
    """Upload an image."""
    data = bodies.image_bytes(request, services().settings.max_upload_bytes)
    upload = inspect_upload(services().decoders, data, caller())
    image, is_new = keep_upload(services().database, services().store, upload, caller())
    response = _described(image, 201 if is_new else 200)
    response.headers["Location"] = f"/v1/images/{image.id}"
    return response


@blueprint.get("/<image_id>")
@operation(access=Access.READ, returns=ImageView)
def show(image_id: str) -> Response:
    """Describe an image."""
    return _described(_image(image_id))


@blueprint.get("/<image_id>/content")
@operation(access=Access.READ, returns=_PICTURE, headers=FILE_HEADERS)
def content(image_id: str) -> Response:
    """Fetch an image's bytes as they were uploaded.

    They are sent for download, never inline: a stranger uploaded them.
    """
    image = _image(image_id)
    digest = image.id.removeprefix("sha256:")
    response = file_response(
        partial(services().store.get, image_key(image.id)),
        media_type=MEDIA_TYPES[image.format],
        name=f"{digest[:16]}.{image.format}",
        etag=digest,
        as_attachment=True,
    )
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _described(image: Image, status: int = 200) -> Response:
    with services().database.reading() as session:
        created_at = images.uploaded_at(session, image, caller().owner)
    return model_response(serialize_image(image, created_at, services().settings.retention_s), status)


def _image(image_id: str) -> Image:
    with services().database.reading() as session:
        return queries.get_image(session, image_id, owner=caller().sees)
