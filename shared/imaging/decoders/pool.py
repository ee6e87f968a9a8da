"""All that a process has for decoding foreign pictures: one fork server, and lanes of children.

Small pictures are decoded several at once. Those with many pixels by their header have a child of their own, which
stands back for others, and so have pictures that are mixed with their photographs, since encoding them takes long.
"""

import atexit
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from shared.errors import DecoderUnavailable
from shared.imaging import metadata
from shared.imaging.codec import MAX_RESULT_PX, Decoded, ImageInfo
from shared.imaging.decoders.answers import Answer, read_blob, value_of
from shared.imaging.decoders.fork_client import ForkClient
from shared.imaging.decoders.lane import Lane, Task
from shared.imaging.decoders.limits import LARGE_PX, Budget, Limits, child_limits
from shared.imaging.decoders.wire import Channel, ProtocolError
from shared.imaging.formats.header import MAX_SIDE_PX
from shared.imaging.formats.recognition import MEDIA_TYPES
from shared.imaging.metadata import Kept
from shared.imaging.mixing import Mix

T = TypeVar("T")

#: How far children with long tasks stand back for others.
_NICENESS = 5
#: Processor time per pixel of a result that is mixed and encoded, in seconds. Measured for WebP, the slowest: 0.6e-6.
_MIX_S_PER_PX = 2e-6
#: What an encoded picture may take for each pixel and in any case, in bytes.
_ENCODED_BYTES_PER_PX, _ENCODED_BYTES = 9, 2**20
#: Most that an Exif block may have: JPEG has no room for more.
_EXIF_BYTES = 2**16

_INFO = TypeAdapter(ImageInfo)


class Decoders:
    """The decoding of foreign pictures; any number of threads may use it.

    Every method raises `ImageTooLarge`, `UnsupportedImage`, `CorruptImage` or `BlankImage` for a picture that is
    refused, and `DecoderUnavailable` where none can be decoded now. `owner` is for whom it is decoded: owners take
    turns.
    """

    def __init__(self, limits: Limits, client: ForkClient | None = None) -> None:
        """Decode within limits; children are started as they are needed."""
        self._limits = limits
        self._client = client or ForkClient()
        per_px = limits.decode_s / limits.max_upload_px
        cap_bytes = limits.decode_memory_bytes or 2**62
        most_px = limits.max_upload_px
        self._small = self._lane(
            limits.decoders, Budget(min(LARGE_PX, most_px), per_px, cap_bytes, returns_larger=True)
        )
        self._large = self._lane(1, Budget(most_px, per_px, cap_bytes), niceness=_NICENESS)
        self._mixes = self._lane(1, Budget(MAX_RESULT_PX, _MIX_S_PER_PX, 2**62), niceness=_NICENESS)

    def warm_up(self) -> None:
        """Start the fork server in the background, so that the first upload need not wait for it."""
        threading.Thread(target=self._try_to_start, daemon=True).start()

    def close(self) -> None:
        """End all processes; the next picture starts them anew."""
        for lane in (self._small, self._large, self._mixes):
            lane.close()
        self._client.close()

    def inspect(self, data: bytes, *, owner: str) -> ImageInfo:
        """Check that an upload is a complete image within the bounds, and describe it, as `codec.inspect` does."""
        bounds = {"max_bytes": self._limits.max_upload_bytes, "max_px": self._limits.max_upload_px}
        return self._run(owner, Task("inspect", bounds, [data], reuse=True), _read_info)

    def thumbnail_jpeg(self, data: bytes, *, max_side: int, owner: str) -> bytes:
        """Encode an upload as a small JPEG, as `codec.thumbnail_jpeg` does."""
        most_bytes = _ENCODED_BYTES_PER_PX * max_side**2 + _ENCODED_BYTES
        task = Task("thumbnail_jpeg", self._bounds(max_side=max_side), [data])
        return self._run(owner, task, read_blob(most_bytes))

    def is_blank_mask(self, data: bytes, *, owner: str) -> bool:
        """Return whether an upload is black everywhere as a mask, as `codec.is_blank_mask` does."""
        task = Task("is_blank_mask", self._bounds(), [data])
        return self._run(owner, task, lambda answer, _: value_of(answer, "is_blank", bool))

    def decode(self, data: bytes, *, owner: str) -> Decoded:
        """Decode an upload, as `codec.decode` does."""

        def read(answer: Answer, channel: Channel) -> Decoded:
            return _read_planes(answer, channel, self._limits.max_upload_px)

        return self._run(owner, Task("decode", self._bounds(), [data], reuse=True), read)

    def metadata(self, data: bytes, *, owner: str) -> Kept | None:
        """Return what a result may keep of an upload's metadata, as `metadata.read` does."""
        block = self._run(owner, Task("metadata", {}, [data]), read_blob(_EXIF_BYTES))
        return metadata.parse(block) if block else None

    def mix(self, painted: bytes, mix: Mix, *, px: int, owner: str, **encoding: Any) -> bytes:
        """Convert a painted picture of `px` pixels, mixed with its photograph, as `saving.recode` does."""
        bounds = {"strength": mix.strength, "max_px": mix.max_px, **encoding}
        task = Task("mix", bounds, [painted, mix.photograph])
        mixed = self._mixes.run(owner, task, read_blob(_ENCODED_BYTES_PER_PX * px + _ENCODED_BYTES))
        assert mixed is not None  # this lane hands nothing back
        return mixed

    def _run(self, owner: str, task: Task, read: Callable[[Answer, Channel], T]) -> T:
        result = self._small.run(owner, task, read)
        if result is None:
            result = self._large.run(owner, task, read)
        assert result is not None
        return result

    def _bounds(self, **others: int) -> dict[str, int]:
        return {"max_px": self._limits.max_upload_px, **others}

    def _lane(self, size: int, budget: Budget, *, niceness: int = 0) -> Lane:
        limits = child_limits(budget, niceness=niceness, max_file_bytes=self._limits.max_upload_bytes)
        return Lane(self._client, size, budget, limits)

    def _try_to_start(self) -> None:
        with suppress(DecoderUnavailable):  # which is logged, and told to those who upload
            self._client.start()


@cache
def open_decoders(limits: Limits) -> Decoders:
    """Return this process's decoders with these limits: one fork server serves all who ask."""
    opened = Decoders(limits)
    atexit.register(opened.close)
    return opened


def _read_info(answer: Answer, _: Channel) -> ImageInfo:
    try:
        info = _INFO.validate_json(json.dumps(answer.value), strict=True)
    except ValidationError:
        raise ProtocolError("no description") from None
    if not (0 < info.width <= MAX_SIDE_PX and 0 < info.height <= MAX_SIDE_PX and info.format in MEDIA_TYPES):
        raise ProtocolError(f"{info}")
    return info


def _read_planes(answer: Answer, channel: Channel, max_px: int) -> Decoded:
    height, width = value_of(answer, "height", int), value_of(answer, "width", int)
    rgb_bytes, alpha_bytes = 12 * height * width, 4 * height * width
    if min(height, width) < 1 or height * width > max_px or answer.blobs not in ([rgb_bytes], [rgb_bytes, alpha_bytes]):
        raise ProtocolError(f"{height} × {width} pixels in {answer.blobs}")
    rgb = _read_plane(channel, (height, width, 3))
    return Decoded(rgb, _read_plane(channel, (height, width)) if len(answer.blobs) == 2 else None)


def _read_plane(channel: Channel, shape: tuple[int, ...]) -> NDArray[np.float32]:
    plane = np.empty(shape, np.float32)
    channel.receive_into(plane.data.cast("B"))
    if not (plane.min() >= 0 and plane.max() <= 1):  # neither holds of NaN
        raise ProtocolError("values beyond 0 to 1")
    return plane
