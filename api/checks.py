"""What must hold of a job's pictures before it is queued: each is known, and none is too narrow or too large to paint.

Invariant: nothing is kept here, so that a job that is refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.schemas import JobRequest
from api.services import Services
from shared import images, sizes
from shared.db.models import Image
from shared.errors import InvalidParams, UnknownImage
from shared.images import ImageInfo
from shared.params import MAX_SIZE_PX, StyleParams

#: (height, width) in pixels.
Size = tuple[int, int]


class File(NamedTuple):
    """A picture that came with a request, whole and within bounds."""

    data: bytes
    info: ImageInfo


@dataclass(frozen=True)
class Submission:
    """A job as it was asked for: its form is right, its pictures are not checked yet."""

    request: JobRequest
    params: StyleParams
    #: What came with it, by the id that each gets when it is kept.
    files: Mapping[str, File] = field(default_factory=dict)


def inspect(services: Services, data: bytes) -> File:
    """Prove an upload whole and within bounds."""
    settings = services.settings
    return File(data, images.inspect(data, max_bytes=settings.max_upload_bytes, max_px=settings.max_upload_px))


def check(services: Services, submission: Submission) -> None:
    """Raise `UnknownImage`, or `InvalidParams` for sizes at which the pictures cannot be painted."""
    request = submission.request
    styles = [style.image for style in request.style_choices()]
    shapes = _shapes(services, submission, [request.content, *styles])
    _check_sizes(submission.params, shapes[request.content], [shapes[image_id] for image_id in styles])


def mistake(pointer: str, detail: str, **bounds: Any) -> InvalidParams:
    """Make the error that points at one place of the request."""
    detail = f"{pointer}: {detail}"
    found = {"pointer": pointer, "detail": detail, **bounds}
    return InvalidParams(f"The request has 1 mistake: {detail}", errors=[found])


def _shapes(services: Services, submission: Submission, wanted: Sequence[str]) -> dict[str, Size]:
    """Find how large each picture is, whether it comes with the request or was kept before."""
    found: dict[str, ImageInfo | Image] = {image_id: file.info for image_id, file in submission.files.items()}
    with services.database.reading() as session:
        for image_id in set(wanted) - set(found):
            row = session.get(Image, image_id)
            if row is not None:
                found[image_id] = row
    unknown = sorted(set(wanted) - set(found))
    if unknown:
        raise UnknownImage(f"No image {unknown[0]} has been uploaded.", images=unknown)
    return {image_id: (picture.height, picture.width) for image_id, picture in found.items()}


def _check_sizes(params: StyleParams, content: Size, styles: Sequence[Size]) -> None:
    own = max(content)
    if params.size == 0 and own > MAX_SIZE_PX:
        detail = f"The content's own size is {own} px, and {MAX_SIZE_PX} px is the most that can be painted."
        raise mistake("/params/size", detail, le=MAX_SIZE_PX, unit="px")
    try:
        sizes.long_sides(params, content, styles)
    except InvalidParams as error:
        raise mistake("/params/size", error.detail, least=error.fields["least"], unit="px") from None
