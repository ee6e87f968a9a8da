"""What must hold of a job's pictures before it is queued: each is known, can be painted at its size, and masks fit.

Invariant: nothing is kept here, so that a job that is refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.http.problems import mistake
from api.jobs.submission import Sizes, Submission
from api.services import Services
from api.usecases.images import File
from shared.db.jobs import queries
from shared.db.models import Image
from shared.errors import InvalidMask, InvalidParams, NotFound, UnknownImage
from shared.imaging import codec
from shared.imaging.codec import ImageInfo
from shared.painting import sizes
from shared.painting.params import MAX_SIZE_PX, StyleParams
from shared.painting.sizes import Size
from shared.storage.store import image_key

#: How far a mask's sides may be from the content's in proportion.
_MASK_TOLERANCE = 0.02


def check(services: Services, submission: Submission) -> Sizes:
    """Return how large the originals are, once all is right with them.

    Raises `UnknownImage`, `InvalidMask`, or `InvalidParams` for sizes at which the pictures cannot be painted.
    """
    request = submission.request
    styles = request.style_choices()
    masks = {f"/styles/{number}/mask": style.mask for number, style in enumerate(styles) if style.mask}
    start = [submission.init_id] if submission.init_id else []
    shapes = _shapes(
        services, submission, [request.content, *(style.image for style in styles), *masks.values(), *start]
    )
    sizes = Sizes(shapes[request.content], [shapes[style.image] for style in styles])
    check_sizes(submission.params, *sizes)
    for pointer, mask in masks.items():
        check_mask_shape(pointer, shapes[mask], sizes.content)
    for mask, pointer in {mask: pointer for pointer, mask in reversed(masks.items())}.items():
        check_mask_paints(services, pointer, mask, submission.files.get(mask))
    return sizes


def _shapes(services: Services, submission: Submission, wanted: Sequence[str]) -> dict[str, Size]:
    """Find how large each picture is, whether it comes with the request or was kept before."""
    found: dict[str, ImageInfo | Image] = {image_id: file.info for image_id, file in submission.files.items()}
    with services.database.reading() as session:
        found |= queries.get_images(session, set(wanted) - set(found), owner=submission.caller.sees)
    unknown = sorted(set(wanted) - set(found))
    if unknown:
        raise UnknownImage(f"No image {unknown[0]} has been uploaded.", images=unknown)
    return {image_id: (picture.height, picture.width) for image_id, picture in found.items()}


def check_sizes(params: StyleParams, content: Size, styles: Sequence[Size]) -> None:
    """Raise `InvalidParams` for sizes at which the pictures cannot be painted."""
    own = max(content)
    if params.size == 0 and own > MAX_SIZE_PX:
        detail = f"The content's own size is {own} px, and {MAX_SIZE_PX} px is the most that can be painted."
        raise mistake("/params/size", detail, le=MAX_SIZE_PX, unit="px")
    try:
        sizes.long_sides(params, content, styles)
    except InvalidParams as error:
        raise mistake("/params/size", error.detail, least=error.fields["least"], unit="px") from None


def check_mask_shape(pointer: str, mask: Size, content: Size) -> None:
    """Raise `InvalidMask` for a mask of another shape than the content's."""
    stretch = (mask[1] * content[0]) / (mask[0] * content[1])
    if abs(stretch - 1) > _MASK_TOLERANCE:
        shapes = f"The mask is {mask[1]} × {mask[0]} px and the content {content[1]} × {content[0]} px"
        raise mistake(pointer, f"{shapes}; their proportions must be the same.", InvalidMask)


def check_mask_paints(services: Services, pointer: str, image_id: str, file: File | None = None) -> None:
    """Raise `InvalidMask` for a mask, come with the request or kept before, that is black everywhere."""
    try:
        data = file.data if file else services.store.get(image_key(image_id))
    except NotFound:
        raise UnknownImage(f"The bytes of image {image_id} are gone; upload it again.", images=[image_id]) from None
    if codec.is_blank_mask(data, max_px=services.settings.max_upload_px):
        raise mistake(pointer, "The mask is black everywhere, so its style would be painted nowhere.", InvalidMask)
