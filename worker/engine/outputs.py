"""The files that the engine on its own writes: the picture, and a timelapse and a manifest if they are asked for.

Painting takes minutes, so all that can be wrong with them is found before. Each is written whole or not at all.
"""

import json
import secrets
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from shared.imaging import saving
from shared.imaging.metadata import Kept
from shared.painting.cli_options import DEEP_FORMATS
from shared.paths import InputFiles, fold
from shared.storage import atomic_files
from worker.engine.types import Mask, Picture

_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".tif": "tiff", ".tiff": "tiff"}


class Outputs:
    """Where a run writes."""

    def __init__(self, picture: Path, *, depth: int = 8, has_timelapse: bool, manifest: Path | None) -> None:
        """Name the files, and the picture's bits per channel, 8 or 16; a timelapse lies beside the picture."""
        self.picture, self.manifest, self._depth = picture, manifest, depth
        self.timelapse = picture.with_suffix(".timelapse.webp") if has_timelapse else None

    def check(self, inputs: Iterable[Path]) -> None:
        """Raise a `UsageError` unless all can be written, and none is one of the `inputs` or another of them."""
        if self.picture.suffix.lower() not in _FORMATS:
            raise click.UsageError(f"{self.picture.name} must end in {', '.join(_FORMATS)}.")
        if self._depth == 16 and self._format not in DEEP_FORMATS:
            raise click.UsageError(f"{self.picture.name} cannot hold {self._depth} bits per channel; PNG and TIFF can.")
        read, paths = InputFiles(inputs), [path for path in self._all() if path is not None]
        if len({fold(str(path.absolute())) for path in paths}) < len(paths):
            raise click.UsageError(f"{paths[-1]} would be written twice: give the manifest another name.")
        for path in paths:
            if (hit := read.overwritten_by(path)) is not None:
                raise click.UsageError(f"{path} would overwrite {hit}, which is read: choose another file.")
            _check_writable(path)

    def write_picture(self, picture: Picture, alpha: Mask | None, kept: Kept | None = None) -> None:
        """Write the picture in the format of its suffix, with what it is to keep of the photograph's metadata."""
        png, format_name = saving.encode(picture, alpha, depth=self._depth, kept=kept), self._format
        _write(self.picture, png if format_name == "png" else saving.recode(png, format=format_name))

    def write_timelapse(self, animation: bytes | None) -> None:
        """Write the timelapse, if there is one."""
        if self.timelapse is not None and animation:
            _write(self.timelapse, animation)

    def write_manifest(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest, if it is asked for."""
        if self.manifest is not None:
            _write(self.manifest, (json.dumps(facts, indent=2) + "\n").encode())

    @property
    def _format(self) -> str:
        return _FORMATS[self.picture.suffix.lower()]

    def _all(self) -> tuple[Path | None, ...]:
        return self.picture, self.timelapse, self.manifest


def _check_writable(path: Path) -> None:
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise click.UsageError(f"{path} is not a regular file.")
        probe = path.with_name(f"{atomic_files.UNFINISHED}{secrets.token_hex(8)}")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}.") from None


def _write(path: Path, data: bytes) -> None:
    with atomic_files.replacing(path) as file:
        file.write(data)
