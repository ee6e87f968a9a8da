"""What must hold of a job before it is queued: its pictures are known and can be painted, and its times are allowed.

Nothing is stored here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from api.access import Caller
from api.http.problems import invalid, pointed_error
from shared.addresses import networks
from shared.errors import ForbiddenUrl, InvalidMask, InvalidParams, NotFound, UnknownImage
from shared.imaging.decoders.pool import Decoders
from shared.painting import sizes
from shared.painting.params import MAX_SIZE_PX, StyleParams, resolve
from shared.painting.sizes import Size
from shared.priorities import OWN_PRIORITY
from shared.settings import Settings
from shared.storage.store import ImageStore, image_key
from shared.webhooks import ssrf_guard

#: How far a mask's proportions may differ from the content's, relatively.
_MASK_TOLERANCE = 0.02


def check_limits(settings: Settings, caller: Caller, time_limit_s: float | None, retention_s: float | None) -> None:
    """Raise `InvalidParams` for a time limit or a retention that is longer than allowed."""
    most_s = settings.time_limit_s
    if time_limit_s is not None and time_limit_s > most_s:
        raise pointed_error("/time_limit_s", f"Jobs run for {most_s:g} s at most.", le=most_s, unit="s")
    most_s = max_retention_s(settings, caller)
    if retention_s is not None and retention_s > most_s:
        raise pointed_error("/retention_s", f"Files are kept for {most_s:g} s at most.", le=most_s, unit="s")


def check_priority(caller: Caller, priority: int) -> None:
    """Raise `InvalidParams` for a priority above all owners, unless an operator gives it."""
    if not caller.is_operator and priority > OWN_PRIORITY:
        detail = f"Input should be less than or equal to {OWN_PRIORITY}; only operators may give more."
        raise pointed_error("/priority", detail, le=OWN_PRIORITY)


def max_retention_s(settings: Settings, caller: Caller) -> float:
    """Return how long the files of an ended job may be kept, in seconds."""
    return min(settings.retention_s, caller.max_retention_s or settings.retention_s)


def check_webhook(settings: Settings, url: str, *, at: str = "/webhook") -> None:
    """Raise `ForbiddenUrl` for an address that is never called; names are resolved and judged at each delivery."""
    try:
        ssrf_guard.check_url(url, networks(settings.webhook_networks))
    except ForbiddenUrl as error:
        raise pointed_error(at, error.detail, ForbiddenUrl) from None


def resolve_params(preset: str, params: Mapping[str, Any]) -> StyleParams:
    """Complete parameters with those of a preset; raise `InvalidParams`, whose pointers start with `/params`."""
    try:
        return resolve(preset, params)
    except ValidationError as error:
        raise invalid(error, at="/params") from None


def check_sizes(params: StyleParams, content: Size, styles: Sequence[Size]) -> None:
    """Raise `InvalidParams` for sizes at which the pictures cannot be painted."""
    own = max(content)
    if params.size == 0 and own > MAX_SIZE_PX:
        detail = f"The content's own size is {own} px, and at most {MAX_SIZE_PX} px can be painted."
        raise pointed_error("/params/size", detail, le=MAX_SIZE_PX, unit="px")
    try:
        sizes.long_sides(params, content, styles)
    except InvalidParams as error:
        raise pointed_error("/params/size", error.detail, least=error.fields["least"], unit="px") from None


def check_mask_shape(pointer: str, mask: Size, content: Size) -> None:
    """Raise `InvalidMask` for a mask of other proportions than the content's."""
    stretch = (mask[1] * content[0]) / (mask[0] * content[1])
    if abs(stretch - 1) > _MASK_TOLERANCE:
        shapes = f"The mask is {mask[1]} × {mask[0]} px and the content {content[1]} × {content[0]} px"
        raise pointed_error(pointer, f"{shapes}; their proportions must be the same.", InvalidMask)


def check_mask_paints(
    store: ImageStore, decoders: Decoders, pointer: str, image_id: str, data: bytes | None = None, *, owner: str
) -> None:
    """Raise `InvalidMask` for a mask, by its `data` or else as stored, that is black everywhere."""
    try:
        data = data or store.get(image_key(image_id))
    except NotFound:
        raise UnknownImage(f"The bytes of image {image_id} are gone; upload it again.", images=[image_id]) from None
    if decoders.is_blank_mask(data, owner=owner):
        raise pointed_error(pointer, "The mask is black everywhere: its style would not be painted.", InvalidMask)
