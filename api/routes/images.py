"""Images: upload once, name by hash."""

from __future__ import annotations

from flask import Blueprint, Response, request

from api.access import Access
from api.auth import caller
from api.http import bodies
from api.openapi.operation import operation
from api.openapi.parameters import BINARY
from api.schemas.jobs import ImageView
from api.serializers.jobs import serialize_image
from api.services import services
from api.usecases import images
from api.usecases.images import inspect_upload
from shared import errors
from shared.db.jobs import queries
from shared.db.models import Image
from shared.imaging.codec import MEDIA_TYPES
from shared.storage.store import image_key

blueprint = Blueprint("images", __name__, url_prefix="/v1/images")

_PICTURE = dict.fromkeys(MEDIA_TYPES.values(), BINARY)
_FILE = {"type": "object", "properties": {"file": BINARY}, "required": ["file"]}


@blueprint.post("")
@operation(
    "Upload an image",
    access=Access.WRITE,
    status=201,
    returns=ImageView,
    others={200: ("These bytes were known already.", ImageView)},
    takes={**_PICTURE, bodies.MULTIPART: _FILE},
    errors=(
        errors.InvalidRequest,
        errors.UnsupportedImage,
        errors.UnsupportedMediaType,
        errors.CorruptImage,
        errors.ImageTooLarge,
        errors.StorageFull,
    ),
)
def upload() -> tuple[Response, int]:
    """Keep an uploaded image."""
    image, is_new = images.upload(services(), inspect_upload(services(), bodies.image_bytes(request)), caller())
    response = _described(image)
    response.headers["Location"] = f"/v1/images/{image.id}"
    return response, 201 if is_new else 200


@blueprint.get("/<image_id>")
@operation("Describe an image", access=Access.READ, returns=ImageView, errors=(errors.NotFound,))
def show(image_id: str) -> Response:
    """Describe an image."""
    return _described(_image(image_id))


@blueprint.get("/<image_id>/content")
@operation(
    "Fetch an image's bytes as they were uploaded",
    access=Access.READ,
    returns=_PICTURE,
    errors=(errors.NotFound,),
)
def content(image_id: str) -> Response:
    """Send the bytes, never to be shown inline: they are a stranger's."""
    image = _image(image_id)
    response = Response(services().store.get(image_key(image.id)), content_type=MEDIA_TYPES[image.format])
    name = image.id.removeprefix("sha256:")[:16]
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{image.format}"'
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _described(image: Image) -> Response:
    view = serialize_image(image, services().settings.retention_s)
    return Response(view.model_dump_json(), content_type="application/json")


def _image(image_id: str) -> Image:
    with services().database.reading() as session:
        return queries.get_image(session, image_id, owner=caller().sees)
