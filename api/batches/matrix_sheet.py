"""The contact sheet of a matrix: a row for each content, a column for each style and combination of values.

Lengths are in pixels. Cells shrink until every browser can show the sheet; a cell without a picture shows its state.

Invariant: one picture is decoded at a time, and only its cell-sized copy is kept.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable
from itertools import product

from PIL import Image, ImageDraw, ImageOps

from api.schemas.batches import MatrixRequest, cell_key
from api.sheets.loss_chart import INK, QUIET, font
from api.usecases.results import Encoding, Pictures
from shared.db.base import Database
from shared.db.batches import items
from shared.db.models import Job
from shared.errors import CorruptImage, ImageTooLarge, NotFound, UnsupportedImage
from shared.states import State
from shared.storage.store import image_key

_PAPER, _EMPTY = (250, 249, 246), (233, 231, 226)
_GAP, _MARGIN, _TEXT = 8, 24, 22
_LARGEST_CELL, _SMALLEST_CELL = 224, 24
#: The largest sheet; a side of a WebP may have at most 16,383 pixels.
_MAX_PX, _MAX_SIDE = 16_000_000, 16_000


class Drawing:
    """The sheet of a matrix as it is now, drawn only when its bytes are wanted and were not drawn before."""

    def __init__(self, database: Database, pictures: Pictures, batch_id: str, matrix: MatrixRequest) -> None:
        """Read what there is to draw."""
        self._pictures, self._matrix = pictures, matrix
        self._jobs = {str(job.item_key): job for job in items.iterate_items(database, batch_id)}
        #: Tells this sheet from that of other times, and from other sheets.
        self.version = self._hash(batch_id)

    def encoded(self, *, owner: str) -> bytes:
        """Return the sheet as WebP, drawn for `owner`."""
        drawn = self._pictures.cache.get(self.version)
        if drawn is None:
            drawn = self._draw(owner)
            self._pictures.cache.keep(self.version, drawn)
        return drawn

    def _hash(self, batch_id: str) -> str:
        """Hash what each cell shows, and which uploads are there."""
        cells = [
            [job.item_key, job.id, job.attempt, job.state, job.result, job.files_gone_at is None]
            for job in self._jobs.values()
        ]
        store, uploads = self._pictures.store, sorted({*self._matrix.contents, *self._matrix.styles})
        shown = [batch_id, cells, [image_id for image_id in uploads if store.exists(image_key(image_id))]]
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()

    def _draw(self, owner: str) -> bytes:
        matrix = self._matrix
        combinations = list(product(*matrix.params.values()))
        columns, rows = len(matrix.styles) * len(combinations), len(matrix.contents)
        sheet = _Sheet(self._pictures, owner, columns, rows)
        for row, content in enumerate(matrix.contents):
            sheet.upload(0, row + 1, content)
        for column, (style, values) in enumerate(product(matrix.styles, combinations)):
            sheet.upload(column + 1, 0, style)
            values_text = (f"{name} {value}" for name, value in zip(matrix.params, values, strict=True))
            sheet.label(column + 1, ", ".join(values_text))
        for row, style_number, number in product(range(rows), range(len(matrix.styles)), range(len(combinations))):
            key = cell_key(row, style_number, number if matrix.params else None)
            sheet.cell(style_number * len(combinations) + number + 1, row + 1, key, self._jobs.get(key))
        return sheet.encoded()


class _Sheet:
    """A grid of pictures under headings."""

    def __init__(self, pictures: Pictures, owner: str, columns: int, rows: int) -> None:
        self._pictures, self._owner = pictures, owner
        by_area = math.isqrt(_MAX_PX // ((columns + 1) * (rows + 1)))
        by_side = _MAX_SIDE // (max(columns, rows) + 1) - _GAP
        self._side = max(_SMALLEST_CELL, min(_LARGEST_CELL, by_area, by_side))
        self._has_text = self._side >= 4 * _TEXT
        step = self._side + _GAP
        width, height = (2 * _MARGIN + step * (count + 1) for count in (columns, rows))
        self._image = Image.new("RGB", (width, height + _TEXT), _PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def upload(self, column: int, row: int, image_id: str) -> None:
        """Draw an uploaded picture."""
        self._picture(column, row, lambda: self._upload(image_id))

    def cell(self, column: int, row: int, key: str, job: Job | None) -> None:
        """Draw an item's result, or its state, and its key."""
        left, top = self._at(column, row)
        self._draw.rectangle((left, top, left + self._side, top + self._side), _EMPTY)
        if job is not None and job.state == State.SUCCEEDED and job.result and job.files_gone_at is None:
            self._picture(column, row, lambda: self._result(job))
        elif self._has_text:
            self._draw.text((left + 8, top + 8), job.state if job else "missing", QUIET, font(13))
        if self._has_text:
            self._draw.text((left + 6, top + self._side - 18), key, INK, font(11), stroke_width=2, stroke_fill=_PAPER)

    def label(self, column: int, text: str) -> None:
        """Write a column's values below its style."""
        if self._has_text:
            left, top = self._at(column, 0)
            self._draw.text((left, top + self._side + 6), text[: self._side // 6], QUIET, font(12))

    def encoded(self) -> bytes:
        """Return the sheet as WebP."""
        buffer = io.BytesIO()
        self._image.save(buffer, "WEBP", quality=82, method=2)
        return buffer.getvalue()

    def _upload(self, image_id: str) -> bytes:
        data = self._pictures.store.get(image_key(image_id))
        return self._pictures.decoders.thumbnail_jpeg(data, max_side=self._side, owner=self._owner)

    def _result(self, job: Job) -> bytes:
        return self._pictures.saved(job, Encoding("jpeg", max_side=self._side)).data

    def _picture(self, column: int, row: int, read: Callable[[], bytes]) -> None:
        """Draw a picture; leave the cell as it is if the file is missing, damaged or no longer accepted."""
        try:
            data = read()
        except (NotFound, CorruptImage, ImageTooLarge, UnsupportedImage):
            return
        with Image.open(io.BytesIO(data)) as small:
            shown = ImageOps.contain(small.convert("RGB"), (self._side, self._side))
        left, top = self._at(column, row)
        self._image.paste(shown, (left + (self._side - shown.width) // 2, top + (self._side - shown.height) // 2))

    def _at(self, column: int, row: int) -> tuple[int, int]:
        step = self._side + _GAP
        return _MARGIN + column * step, _MARGIN + row * step + (_TEXT if row else 0)
