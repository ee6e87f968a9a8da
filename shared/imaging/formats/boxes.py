"""The boxes of a HEIF file (HEIC, AVIF): which items there are, of what properties, and where their bytes are.

Threat: boxes may claim any size and number, and items may be made of each other in circles. Everything is counted.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.errors import CorruptImage, ImageTooLarge

#: Boxes, items, properties and references of a file, together. A 50-megapixel photograph of a phone has some 2,000.
_MAX_ENTRIES = 2**16


@dataclass
class Item:
    """An item: its kind, such as `hvc1` or `grid`, the bodies of its properties by kind, and what it is made of."""

    kind: bytes = b""
    properties: dict[bytes, list[bytes]] = field(default_factory=dict)
    parts: list[int] = field(default_factory=list)
    #: Where its bytes are: offset and length, of the file.
    extents: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Items:
    """The items of a file by number, which of them is the picture, and by item those that are auxiliary to it."""

    by_number: dict[int, Item]
    primary: int
    auxiliary: dict[int, list[int]]


def read_items(data: bytes) -> Items | None:
    """Read the items of a file; None if it has none, as a sequence may. Raises `CorruptImage` or `ImageTooLarge`."""
    try:
        meta = next((box for box in _Reader(data).boxes(0, len(data)) if box[0] == b"meta"), None)
        return _Meta(data, meta[1] + 4, meta[2]).read() if meta else None
    except (struct.error, IndexError, OverflowError):
        raise CorruptImage from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self._entries = 0

    def count(self, number: int = 1) -> None:
        """Note entries that were read; raise `ImageTooLarge` for too many."""
        self._entries += number
        if self._entries > _MAX_ENTRIES:
            raise ImageTooLarge(f"The file has more than {_MAX_ENTRIES} boxes and items.")

    def boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield the kind of each box between two offsets, and where its body starts and ends."""
        while start + 8 <= end:
            self.count()
            size, kind = struct.unpack_from(">I4s", self.data, start)
            body = start + 8
            if size == 1:
                size, body = self.number(body, 8), body + 8
            after = end if size == 0 else start + size
            if after < body or after > end:
                return  # cut short, or nonsense
            yield kind, body, after
            start = after

    def number(self, at: int, size: int) -> int:
        """Read a number of `size` bytes."""
        if at + size > len(self.data):
            raise CorruptImage
        return int.from_bytes(self.data[at : at + size], "big")


class _Meta(_Reader):
    """The box that describes the items."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        super().__init__(data)
        self._inner = {kind: (body, after) for kind, body, after in self.boxes(start, end)}
        self._items: dict[int, Item] = {}
        self._auxiliary: dict[int, list[int]] = {}

    def read(self) -> Items:
        """Read everything about the items."""
        if b"pitm" not in self._inner:
            raise CorruptImage
        start, _ = self._inner[b"pitm"]
        primary = self.number(start + 4, 4 if self.data[start] else 2)
        for kind, reading in {b"iinf": self._kinds, b"iprp": self._properties, b"iref": self._references,
                              b"iloc": self._places}.items():  # fmt: skip
            if kind in self._inner:
                reading(*self._inner[kind])
        if primary not in self._items:
            raise CorruptImage
        return Items(self._items, primary, self._auxiliary)

    def _item(self, number: int) -> Item:
        return self._items.setdefault(number, Item())

    def _kinds(self, start: int, end: int) -> None:
        first = start + 4 + (4 if self.data[start] else 2)
        for kind, body, _ in self.boxes(first, end):
            version = self.data[body]
            if kind == b"infe" and version >= 2:
                wide = 4 if version > 2 else 2
                at = body + 4
                self._item(self.number(at, wide)).kind = self.data[at + wide + 2 : at + wide + 6]

    def _properties(self, start: int, end: int) -> None:
        inner = list(self.boxes(start, end))
        known = [
            (kind, body, after)
            for outer, first, last in inner
            if outer == b"ipco"
            for kind, body, after in self.boxes(first, last)
        ]
        for outer, at, last in inner:
            if outer == b"ipma":
                self._associations(at, last, known)

    def _associations(self, start: int, end: int, known: list[tuple[bytes, int, int]]) -> None:
        version, flags, count = self.data[start], self.data[start + 3], self.number(start + 4, 4)
        at, wide = start + 8, 4 if version else 2
        self.count(count)
        for _ in range(count):
            item, number = self._item(self.number(at, wide)), self.number(at + wide, 1)
            at += wide + 1
            self.count(number)
            for _ in range(number):
                index = self.number(at, 2) & 0x7FFF if flags & 1 else self.number(at, 1) & 0x7F
                at += 2 if flags & 1 else 1
                if at > end:
                    raise CorruptImage
                if 0 < index <= len(known):
                    kind, body, after = known[index - 1]
                    item.properties.setdefault(kind, []).append(self.data[body:after])

    def _references(self, start: int, end: int) -> None:
        wide = 4 if self.data[start] else 2
        for kind, body, _ in self.boxes(start + 4, end):
            source, count = self.number(body, wide), self.number(body + wide, 2)
            self.count(count)
            targets = [self.number(body + wide + 2 + wide * n, wide) for n in range(count)]
            if kind == b"dimg":
                self._item(source).parts += targets
            elif kind == b"auxl":
                for target in targets:
                    self._auxiliary.setdefault(target, []).append(source)

    def _places(self, start: int, end: int) -> None:
        version, sizes = self.data[start], self.number(start + 4, 2)
        offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_bytes = sizes & 15 if version else 0
        wide = 4 if version > 1 else 2
        count, at = self.number(start + 6, wide), start + 6 + wide
        self.count(count)
        for _ in range(count):
            item = self._item(self.number(at, wide))
            at += wide
            in_data_box = bool(version and self.number(at, 2) & 15 == 1)
            at += (2 if version else 0) + 2
            base = self.number(at, base_bytes) + (self._inner.get(b"idat", (0, 0))[0] if in_data_box else 0)
            extents = self.number(at + base_bytes, 2)
            at += base_bytes + 2
            self.count(extents)
            for _ in range(extents):
                offset = self.number(at + index_bytes, offset_bytes)
                length = self.number(at + index_bytes + offset_bytes, length_bytes)
                at += index_bytes + offset_bytes + length_bytes
                length = length or len(self.data) - base - offset
                if not 0 <= length <= len(self.data) - base - offset:
                    raise CorruptImage  # the file is cut short
                item.extents.append((base + offset, length))
        if at > end:
            raise CorruptImage
        # several items may share bytes, but decoders copy those of each
        if sum(length for item in self._items.values() for _, length in item.extents) > 2 * len(self.data):
            raise ImageTooLarge("The items of the file hold more than the file.")
