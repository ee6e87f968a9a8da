"""Streams that unpack a bounded amount at a time, in bounded memory.

Invariant: one call of `read` unpacks at most the bytes asked for, however small their compressed form is.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Protocol

from api.batches.archives.bounds import FILLING, Meter
from shared.errors import ArchiveTooLarge, CorruptArchive

_PACKED_BYTES = 2**16
#: Largest dictionary of LZMA, in bytes: that of `xz -8`, beside which a picture still fits in little memory.
MAX_DICTIONARY_BYTES = 32 * 2**20
#: What a decoder of xz may take: the dictionary, and its own tables.
_XZ_BYTES = MAX_DICTIONARY_BYTES + 2**21
#: Compressed streams without content that may follow each other: `gzip` and `xz` write one for an empty file.
_MAX_EMPTY_STREAMS = 100
#: What the libraries raise for damaged streams.
DAMAGED = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


class Decompressor(Protocol):
    """The interface of `bz2.BZ2Decompressor` and `lzma.LZMADecompressor`."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more can be unpacked only of more data."""

    @property
    def unused_data(self) -> bytes:
        """What came after the end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Unpack at most `max_length` bytes."""


class Inflater:
    """Deflate, as a `Decompressor`; the library's own interface hands back what it has not read yet."""

    def __init__(self, wbits: int) -> None:
        """Inflate raw data (-15) or a gzip stream (31)."""
        self._inner = zlib.decompressobj(wbits)
        self._is_dry = True

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was reached."""
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        """Whether more can be unpacked only of more data."""
        return self._is_dry and not self.eof

    @property
    def unused_data(self) -> bytes:
        """What came after the end."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Unpack at most `max_length` bytes."""
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._is_dry = len(piece) < max_length and not self._inner.unconsumed_tail
        return piece


#: What unpacks a compressed tar, by its first bytes.
PACKINGS: dict[bytes, Callable[[], Decompressor]] = {
    b"\x1f\x8b": lambda: Inflater(31),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_BYTES),
}


class PackedStream:
    """One compressed stream."""

    def __init__(self, packed: Callable[[int], bytes], decompressor: Decompressor, *, ends_by_itself: bool = True):
        """Unpack what `packed` reads; a stream that does not end by itself ends with its data."""
        self._packed, self._inner, self._ends_by_itself = packed, decompressor, ends_by_itself

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end; raise `CorruptArchive` where the stream breaks off."""
        while not self._inner.eof:
            data = self._packed(_PACKED_BYTES) if self._inner.needs_input else b""
            if not data and self._inner.needs_input:
                if self._ends_by_itself:
                    raise CorruptArchive("The archive is truncated.")
                return b""
            piece = self._unpack(data, size)
            if piece:
                return piece
        return b""

    @property
    def rest(self) -> bytes:
        """What was read after the end of the stream."""
        return self._inner.unused_data

    def _unpack(self, data: bytes, size: int) -> bytes:
        try:
            return self._inner.decompress(data, size)
        except lzma.LZMAError as error:
            if "Memory usage limit" not in str(error):
                raise
            raise ArchiveTooLarge(
                f"The archive needs a dictionary of more than {MAX_DICTIONARY_BYTES} bytes; use xz -8 or less."
            ) from None


class PackedTar:
    """The content of a compressed tar, which may be several compressed streams, one after the other."""

    def __init__(self, file: IO[bytes], start: Callable[[], Decompressor], meter: Meter) -> None:
        """Unpack a file from its beginning."""
        self._file, self._start, self._meter = file, start, meter
        self._ahead, self._empty = b"", 0
        self._stream: PackedStream | None = PackedStream(self._packed, start())
        self._has_content = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end; raise `CorruptArchive` where the stream breaks off."""
        while self._stream is not None:
            piece = self._stream.read(size)
            if piece:
                self._has_content = True
                return piece
            self._next_stream(self._stream.rest)
        return b""

    def skip(self, size: int) -> None:
        """Pass over bytes, which count as unpacked; raise `CorruptArchive` if there are fewer."""
        while size:
            piece = self.read(min(size, 2**18))
            if not piece:
                raise CorruptArchive("The archive is truncated.")
            self._meter.unpacked(len(piece))
            size -= len(piece)

    def _next_stream(self, rest: bytes) -> None:
        """Begin the next compressed stream, after what fills up a block; without one, this was the last."""
        self._meter.header()
        self._empty = 0 if self._has_content else self._empty + 1
        if self._empty > _MAX_EMPTY_STREAMS:
            raise CorruptArchive("The archive consists of empty streams.")
        rest = rest.lstrip(FILLING)
        while not rest and (data := self._packed(_PACKED_BYTES)):
            self._meter.unpacked(len(data))
            rest = data.lstrip(FILLING)
        self._ahead, self._has_content = rest, False
        self._stream = PackedStream(self._packed, self._start()) if self._ahead else None

    def _packed(self, size: int) -> bytes:
        ahead, self._ahead = self._ahead, b""
        return ahead or self._file.read(size)


class PlainTar:
    """The content of a tar that is not compressed."""

    def __init__(self, file: IO[bytes], size: int, meter: Meter) -> None:
        """Read a file of `size` bytes from its beginning."""
        self._file, self._left, self._meter = file, size, meter

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        data = self._file.read(size)
        self._left -= len(data)
        return data

    def skip(self, size: int) -> None:
        """Pass over bytes, which count as unpacked; raise `CorruptArchive` if there are fewer."""
        if size > self._left:
            raise CorruptArchive("The archive is truncated.")
        self._meter.unpacked(size)
        self._file.seek(size, 1)
        self._left -= size
