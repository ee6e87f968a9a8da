"""Opens the files of strangers: recognizes their format, judges their headers, decodes them within bounds.

Threat: the file is hostile. What decoding would take is judged from the header, before anything is decoded.

Invariant: whatever Pillow and other decoders raise leaves here as one of our errors.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from PIL import Image

from shared import logs
from shared.errors import AtelierError, CorruptImage, ImageTooLarge, UnsupportedImage
from shared.imaging.formats import gif, heif, jpeg, plain, png, tiff
from shared.imaging.formats.header import Header, check_bounds
from shared.imaging.formats.recognition import recognize

log = logs.get(__name__)

# Pillow's own bound is one number for the whole process, so ours is checked for each call instead. Pillow's stays as
# a second guard, since WebP's decoder allocates its canvas as soon as the file is opened.
Image.MAX_IMAGE_PIXELS = 2**29

#: Larger images, in px, are decoded one at a time: a small file may hold one, and there are many threads.
_LARGE_PX = 10_000_000
_large_upload_lock = threading.Lock()

_READERS: dict[str, Callable[[bytes], Header]] = {
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": plain.read_webp,
    "tiff": tiff.read,
    "heic": heif.read_heic,
    "avif": heif.read_avif,
    "gif": gif.read,
    "bmp": plain.read_bmp,
}


@contextmanager
def opened(data: bytes, max_px: int, lock: threading.Lock = _large_upload_lock) -> Iterator[Image.Image]:
    """Decode the picture of a file of at most `max_px` pixels; only one large one is in use at a time per `lock`.

    Raises `ImageTooLarge`, `UnsupportedImage` or `CorruptImage`.
    """
    with _translated_errors(max_px):
        header = _READERS[recognized(data)](data)
        check_bounds(header, max_px)
    with lock if header.px > _LARGE_PX else nullcontext():
        with _translated_errors(max_px):
            image = header.load()
        yield image


def count_pixels(data: bytes) -> int:
    """Return how many pixels an image has by its header, which may lie; 0 if it has none that can be read."""
    try:
        return _READERS[recognized(data)](data).px
    except Exception:  # as `_translated_errors`, which tells it to whoever decodes the image
        return 0


def recognized(data: bytes) -> str:
    """Return the name of a file's format; raise `UnsupportedImage` if it is none that is read."""
    name = recognize(data)
    if name is None:
        raise UnsupportedImage
    return name


@contextmanager
def _translated_errors(max_px: int) -> Iterator[None]:
    """Translate everything that the decoders raise into our errors."""
    try:
        yield
    except AtelierError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageTooLarge("Decoding the image needs more memory than is allowed.", max_px=max_px) from error
    except Exception as error:  # decoders raise almost any kind
        log.info("image_refused", reason=repr(error))
        raise CorruptImage from error
