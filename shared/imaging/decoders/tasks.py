"""What a child can be asked to do: functions of `shared.imaging`, with blobs and JSON in and out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from shared.imaging import codec, metadata, opening, saving
from shared.imaging.mixing import Mix


class Done(NamedTuple):
    """The outcome of a task: what fits into JSON, and blobs."""

    value: dict[str, Any]
    blobs: Sequence[bytes | memoryview] = ()


def _inspect(blobs: Sequence[bytes], **bounds: int) -> Done:
    return Done(asdict(codec.inspect(blobs[0], **bounds)))


def _thumbnail_jpeg(blobs: Sequence[bytes], **bounds: int) -> Done:
    return Done({}, [codec.thumbnail_jpeg(blobs[0], **bounds)])


def _is_blank_mask(blobs: Sequence[bytes], **bounds: int) -> Done:
    return Done({"is_blank": codec.is_blank_mask(blobs[0], **bounds)})


def _decode(blobs: Sequence[bytes], **bounds: int) -> Done:
    rgb, alpha = codec.decode(blobs[0], **bounds)
    planes = [rgb] if alpha is None else [rgb, alpha]
    views = [np.ascontiguousarray(plane, np.float32).data.cast("B") for plane in planes]
    return Done({"height": rgb.shape[0], "width": rgb.shape[1]}, views)


def _metadata(blobs: Sequence[bytes]) -> Done:
    kept = metadata.read(blobs[0])
    return Done({}, [kept.as_exif() if kept else b""])


def _mix(blobs: Sequence[bytes], *, strength: float, max_px: int, **encoding: Any) -> Done:
    painted, photograph = blobs
    return Done({}, [saving.recode(painted, mix=Mix(photograph, strength, max_px), **encoding)])


#: Each takes the blobs and the bounds of a request; raises what the codec raises.
TASKS: Mapping[str, Callable[..., Done]] = {
    "inspect": _inspect,
    "thumbnail_jpeg": _thumbnail_jpeg,
    "is_blank_mask": _is_blank_mask,
    "decode": _decode,
    "metadata": _metadata,
    "mix": _mix,
}


def count_pixels(blobs: Sequence[bytes]) -> int:
    """Return the pixels of all pictures together, by their headers."""
    return sum(opening.count_pixels(blob) for blob in blobs)


def warm_up() -> None:
    """Load what the codec loads with its first picture of each kind."""
    for kind in ("jpeg", "png", "webp"):
        codec.thumbnail_jpeg(codec.encode(np.zeros((2, 2, 3), np.float32), format=kind), max_px=4, max_side=2)
