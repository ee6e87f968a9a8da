"""The pages of a TIFF: which there are, and which of them is the picture.

Threat: a directory may point 65,535 times at the same megabytes, each of which Pillow would copy, and pages may lead
back to each other. So directories are read here with bounds before Pillow sees them.

Source: TIFF 6.0, section 2; BigTIFF; Adobe's TIFF Technical Note 1 (SubIFDs).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from shared.errors import CorruptImage, ImageTooLarge, UnsupportedImage

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES_PER_PX, SAMPLE_FORMAT = 256, 257, 258, 259, 262, 277, 339
PLANAR, TILE_WIDTH, TILE_LENGTH = 284, 322, 323
_SUBFILE_TYPE, _STRIPS, _TILES, _SUB_PAGES, _DNG_VERSION = 254, 273, 324, 330, 50706
_READ = {
    WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES_PER_PX, SAMPLE_FORMAT, PLANAR, TILE_WIDTH, TILE_LENGTH,
    _SUBFILE_TYPE, _SUB_PAGES,
}  # fmt: skip
#: Bits of the subfile type: a reduced version of another page, or a mask for one.
_REDUCED, _MASK = 1, 4
#: Colour filters before a sensor, and linear values of one.
_RAW_PHOTOMETRICS = (32803, 34892)
#: Pages, and nested pages of each, that are looked at: the full one is among the first few.
_MAX_PAGES = 64
#: Bytes of each type of value, and how those that are whole numbers are unpacked.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
#: Values of a tag that are looked at.
_MAX_VALUES = 64


class Page(NamedTuple):
    """A directory: where it is, which tags it has, and the values of those that are read here."""

    offset: int
    tags: frozenset[int]
    values: dict[int, tuple[int, ...]]

    def first(self, tag: int, default: int) -> int:
        """Return a number of a tag, the first of several."""
        return next(iter(self.values.get(tag, ())), default)

    @property
    def is_full(self) -> bool:
        """Whether it is neither a reduced version of another page nor a mask for one."""
        return not self.first(_SUBFILE_TYPE, 0) & (_REDUCED | _MASK)

    @property
    def is_raw(self) -> bool:
        """Whether it holds what a sensor saw, or belongs to a file that does."""
        return _DNG_VERSION in self.tags or self.first(PHOTOMETRIC, 0) in _RAW_PHOTOMETRICS

    @property
    def is_complete(self) -> bool:
        """Whether it says where a picture is, and how large."""
        return min(self.first(WIDTH, 0), self.first(LENGTH, 0)) > 0 and bool({_STRIPS, _TILES} & self.tags)


class Directories:
    """The directories of a file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = 43 in data[2:4]
        self._left_bytes = max(len(data), 2**20)  # that all values together may have

    @property
    def first_offset(self) -> int:
        """Where the first directory is."""
        return self._number("Q", 8) if self.is_big else self._number("I", 4)

    def full_page(self) -> Page:
        """Find the page to show: the first that is full, or else the first full one that is nested in a page.

        Raises `CorruptImage`, or `UnsupportedImage` for the raw file of a camera and for one without a full page.
        """
        pages = list(self._chain())
        nested = [page for outer in pages for page in self._nested(outer)]
        if any(page.is_raw for page in [*pages, *nested]) or self._data[8:10] == b"CR":
            raise UnsupportedImage("The file is a camera's raw file; develop it to JPEG, PNG or TIFF first.")
        full = next((page for page in [*pages, *nested] if page.is_full), None)
        if full is None:
            raise UnsupportedImage("The TIFF holds only reduced versions of a picture, not the picture itself.")
        return full

    def starting_at(self, page: Page) -> bytes:
        """Return the file with a header that names this page as the first."""
        if page.offset == self.first_offset:
            return self._data
        if self.is_big:
            return self._data[:8] + struct.pack(self.order + "Q", page.offset) + self._data[16:]
        return self._data[:4] + struct.pack(self.order + "I", page.offset) + self._data[8:]

    def _chain(self) -> Iterator[Page]:
        """Yield the pages that follow each other, each once."""
        offset, seen = self.first_offset, set[int]()
        while (offset and offset not in seen and len(seen) < _MAX_PAGES) or not seen:
            seen.add(offset)
            page, offset = self._read(offset)
            yield page

    def _nested(self, page: Page) -> list[Page]:
        return [self._read(offset)[0] for offset in page.values.get(_SUB_PAGES, ())]

    def _read(self, offset: int) -> tuple[Page, int]:
        """Read a directory; return it and the offset of the one that follows."""
        count = self._number("Q" if self.is_big else "H", offset)
        at, entry_bytes = offset + (8 if self.is_big else 2), 20 if self.is_big else 12
        if count * entry_bytes > len(self._data):
            raise CorruptImage
        tags, values = set(), {}
        for start in range(at, at + count * entry_bytes, entry_bytes):
            tag, kind, number = self._numbers("HHQ" if self.is_big else "HHI", start)
            tags.add(tag)
            self._left_bytes -= number * _TYPE_BYTES.get(kind, 0)
            if self._left_bytes < 0:
                raise ImageTooLarge("The TIFF's tags hold more than the file.")
            if tag in _READ and kind in _WHOLE:
                values[tag] = self._values(kind, number, start)
        follows = self._number("Q" if self.is_big else "I", at + count * entry_bytes)
        return Page(offset, frozenset(tags), values), follows

    def _values(self, kind: int, count: int, entry: int) -> tuple[int, ...]:
        """Read the numbers of an entry: those that fit lie in it, others elsewhere."""
        room, at = (8, entry + 12) if self.is_big else (4, entry + 8)
        if count * _TYPE_BYTES[kind] > room:
            at = self._number("Q" if self.is_big else "I", at)
        return self._numbers(f"{min(count, _MAX_VALUES)}{_WHOLE[kind]}", at)

    def _number(self, form: str, at: int) -> int:
        return self._numbers(form, at)[0]

    def _numbers(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self._data, at)
        except (struct.error, OverflowError):
            raise CorruptImage from None
