"""Forms, each part of which is read within its own bound as it arrives.

Files go to disk beyond a quarter of a megabyte. Whose parts they are, and what is said of them, `bodies` knows.

Invariant: of a form that is refused, nothing is read after the byte too many.
"""

from collections.abc import Mapping
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple, cast
from urllib.parse import parse_qsl

from flask import Request, current_app
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import File

from api.http.encodings import WholeRequest
from shared.errors import BodyTooLarge, InvalidRequest

#: Where an app keeps the bounds of forms whose view sets none.
CONFIG = "FORM_BOUNDS"

_IN_MEMORY_BYTES = 2**18
#: Bounds of a form without files.
_MAX_TEXT_BYTES, _MAX_FIELDS = 2**20, 1000
_BLOCK_BYTES = 2**16


class FormBounds(NamedTuple):
    """The largest form to read."""

    #: Of each file, in bytes.
    file_bytes: int
    #: Of all files together that have no bound of their own.
    total_bytes: int
    #: Bounds of parts of these names.
    own_bytes: Mapping[str, int] = {}
    #: Whether a file that is too long is cut one byte beyond its bound, instead of the form being refused: others of
    #: the form may be taken.
    cuts: bool = False


class BoundedRequest(WholeRequest):
    """A request whose form is bounded."""

    #: By default those of the app.
    form_bounds: FormBounds | None = None

    def make_form_data_parser(self) -> FormDataParser:
        """Make what parses the form of this request."""
        bounds = self.form_bounds or current_app.config[CONFIG]
        return _FormParser(bounds, max_form_memory_size=self.max_form_memory_size, max_form_parts=self.max_form_parts)


def bound(request: Request, bounds: FormBounds) -> None:
    """Set the bounds of a request's form, before anything looks at it."""
    cast("BoundedRequest", request).form_bounds = bounds


class _FormParser(FormDataParser):
    """Parses either kind of form."""

    def __init__(self, bounds: FormBounds, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, Any]]:
        """Return what is left of the stream, the fields and the files; a malformed form has neither."""
        if mimetype == "application/x-www-form-urlencoded":
            return stream, MultiDict(_fields(stream)), MultiDict()
        boundary = (options or {}).get("boundary", "")
        if mimetype != "multipart/form-data" or not boundary.isascii() or not boundary:
            return stream, MultiDict(), MultiDict()
        parser = _PartParser(
            self._bounds, max_form_memory_size=self.max_form_memory_size, max_form_parts=self.max_form_parts
        )
        try:
            form, files = parser.parse(stream, boundary.encode(), content_length)
        except BaseException as error:
            parser.close()
            if isinstance(error, ValueError):
                return stream, MultiDict(), MultiDict()
            raise
        return stream, form, files


class _PartParser(MultiPartParser):
    """Parses a multipart form, and bounds its files."""

    def __init__(self, bounds: FormBounds, **options: Any) -> None:
        super().__init__(**options)
        self._bounds, self._left = bounds, bounds.total_bytes
        self._files: list[_BoundedFile] = []

    def start_file_streaming(self, event: File, _: int | None) -> IO[bytes]:
        own = self._bounds.own_bytes.get(event.name)
        file = _BoundedFile(self, event.name, own or self._bounds.file_bytes, is_counted=own is None)
        self._files.append(file)
        return file

    def close(self) -> None:
        """Forget the files."""
        for file in self._files:
            file.close()

    def room(self, file: "_BoundedFile", size: int) -> int:
        """Return how many of the next bytes of a file to keep; raise `BodyTooLarge`."""
        if self._bounds.cuts:
            return min(size, file.limit + 1 - file.size)
        if file.size + size > file.limit:
            raise BodyTooLarge(f"The part `{file.part}` has more than {file.limit} bytes.", max_bytes=file.limit)
        if file.is_counted:
            self._left -= size
            if self._left < 0:
                limit = self._bounds.total_bytes
                raise BodyTooLarge(f"The files of the form have more than {limit} bytes.", max_bytes=limit)
        return size


class _BoundedFile(SpooledTemporaryFile[bytes]):
    """The file of a part, of at most `limit` bytes."""

    def __init__(self, parser: _PartParser, part: str, limit: int, *, is_counted: bool) -> None:
        super().__init__(max_size=_IN_MEMORY_BYTES)
        self._parser, self.part, self.limit, self.is_counted = parser, part, limit, is_counted
        self.size = 0

    def write(self, data: Any) -> int:
        kept = self._parser.room(self, len(data))
        self.size += kept
        return super().write(data[:kept])


def _fields(stream: IO[bytes]) -> list[tuple[str, str]]:
    text = read_within(stream, _MAX_TEXT_BYTES + 1)
    if len(text) > _MAX_TEXT_BYTES:
        raise BodyTooLarge(f"A form may have at most {_MAX_TEXT_BYTES} bytes.", max_bytes=_MAX_TEXT_BYTES)
    try:
        return parse_qsl(text.decode(), keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidRequest(f"The form is not UTF-8, or has more than {_MAX_FIELDS} fields.") from None


def read_within(stream: IO[bytes], size: int) -> bytes:
    """Read the stream to its end, or `size` bytes of it."""
    data = BytesIO()
    while data.tell() < size and (piece := stream.read(min(_BLOCK_BYTES, size - data.tell()))):
        data.write(piece)
    return data.getvalue()
