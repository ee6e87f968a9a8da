"""What a photograph's file says of how it was taken: date, camera, lens, exposure, place and resolution.

These facts go into a result on request. Each is copied by itself from a list of tags, so thumbnails, notes of the
camera's maker, serial numbers, names of people and the history of edits stay behind; the orientation is always 1, as
results are upright.

Threat: the file is hostile. Only its header is read, every value is checked, and what is odd is left out. An Exif
block from a process that read such a file is checked in the same way.
"""

import io
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from shared import logs
from shared.imaging.formats import heif, jpeg, png
from shared.imaging.formats.recognition import recognize

log = logs.get(__name__)

_BASE, _EXIF, _GPS = ExifTags.Base, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
#: The tags of the main directory and of its two others that are kept.
_KEPT_BASE = (_BASE.Make, _BASE.Model, _BASE.DateTime)
_KEPT_EXIF = (
    _BASE.DateTimeOriginal, _BASE.DateTimeDigitized, _BASE.OffsetTime, _BASE.OffsetTimeOriginal,
    _BASE.OffsetTimeDigitized, _BASE.SubsecTime, _BASE.SubsecTimeOriginal, _BASE.SubsecTimeDigitized,
    _BASE.ExposureTime, _BASE.FNumber, _BASE.ExposureProgram, _BASE.ISOSpeedRatings, _BASE.SensitivityType,
    _BASE.ShutterSpeedValue, _BASE.ApertureValue, _BASE.BrightnessValue, _BASE.ExposureBiasValue,
    _BASE.MaxApertureValue, _BASE.MeteringMode, _BASE.LightSource, _BASE.Flash, _BASE.FocalLength,
    _BASE.ExposureMode, _BASE.WhiteBalance, _BASE.FocalLengthIn35mmFilm, _BASE.LensSpecification, _BASE.LensMake,
    _BASE.LensModel,
)  # fmt: skip
_OTHER_GPS = {ExifTags.GPS.GPSProcessingMethod, ExifTags.GPS.GPSAreaInformation}
_KEPT_GPS = tuple(tag for tag in ExifTags.GPS if tag not in _OTHER_GPS)
#: Longest text, in characters; most bytes; most numbers of one tag.
_MAX_TEXT, _MAX_BYTES, _MAX_NUMBERS = 256, 16, 8
#: The largest number of a rational and of an integer, in the types that TIFF gives them.
_MAX_INTEGER = 2**31 - 1
#: Bounds of a plausible resolution, in dots per inch.
_MIN_DPI, _MAX_DPI = 1.0, 100_000.0
#: Units of resolution, in inches.
_INCH, _CENTIMETRE = 2, 3
_UNITS = {_INCH: 1.0, _CENTIMETRE: 2.54}
#: Pillow's names of the formats whose metadata it reads.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP")
#: How an Exif block begins; some formats leave it out.
EXIF_PREFIX = b"Exif\0\0"
_SRGB = 1


class Kept(NamedTuple):
    """The facts of a photograph: values by tag, and its horizontal and vertical resolution in dots per inch."""

    base: Mapping[int, Any]
    exif: Mapping[int, Any]
    gps: Mapping[int, Any]
    dpi: tuple[float, float] | None

    def directory(self) -> dict[int, Any]:
        """Return the tags of the main directory; the two others are in it as dictionaries."""
        found: dict[int, Any] = {**self.base, int(_BASE.Orientation): 1}
        if self.dpi is not None:
            found |= dict(
                zip((int(_BASE.XResolution), int(_BASE.YResolution)), map(IFDRational, self.dpi), strict=True)
            )
            found[int(_BASE.ResolutionUnit)] = _INCH
        found[int(_EXIF)] = {**self.exif, int(_BASE.ColorSpace): _SRGB}
        if self.gps:
            found[int(_GPS)] = dict(self.gps)
        return found

    def as_exif(self) -> bytes:
        """Return an Exif block: `EXIF_PREFIX` and a TIFF file without a picture."""
        block = Image.Exif()
        block.update(self.directory())
        return block.tobytes()


def read(data: bytes) -> Kept | None:
    """Return the facts in the header of a picture; None if it has none."""
    if recognize(data) == "heic":
        return _tolerant(lambda: _kept(_loaded(heif.exif(data))))
    return _tolerant(lambda: _read_by_pillow(data))


def parse(block: bytes) -> Kept | None:
    """Return the facts of an Exif block, as `Kept.as_exif` writes it; None if it has none."""
    return _tolerant(lambda: _kept(_loaded(block)))


def _tolerant(reading: Callable[[], Kept]) -> Kept | None:
    try:
        kept = reading()
    except Exception as error:  # Pillow's readers of metadata raise almost any kind
        log.info("metadata_ignored", reason=repr(error))
        return None
    return kept if any(kept) else None


def _read_by_pillow(data: bytes) -> Kept:
    kind = recognize(data)
    lean = jpeg.without_notes(data) if kind == "jpeg" else data
    file = png.with_metadata(data) if kind == "png" else io.BytesIO(lean)
    with Image.open(file, formats=_FORMATS) as image:
        kept = _kept(image.getexif())
        return kept._replace(dpi=kept.dpi or _stated_dpi(image))


def _stated_dpi(image: Image.Image) -> tuple[float, float] | None:
    """Return the resolution that a file states beside its EXIF: Pillow gives some to files that state none."""
    if image.format == "TIFF" or (image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in (1, 2)):
        return None
    return _dpi(image.info.get("dpi"))


def _loaded(block: bytes) -> Image.Exif:
    found = Image.Exif()
    found.load(block)
    return found


def _kept(found: Image.Exif) -> Kept:
    unit = _UNITS.get(found.get(_BASE.ResolutionUnit, _INCH), 0.0)
    dpi = [unit * found.get(tag, 0) for tag in (_BASE.XResolution, _BASE.YResolution)]
    exif, gps = found.get_ifd(_EXIF), found.get_ifd(_GPS)
    return Kept(_chosen(found, _KEPT_BASE), _chosen(exif, _KEPT_EXIF), _chosen(gps, _KEPT_GPS), _dpi(dpi))


def _chosen(found: Mapping[int, Any], tags: tuple[int, ...]) -> dict[int, Any]:
    values = {int(tag): _value(found[tag]) for tag in tags if tag in found}
    return {tag: value for tag, value in values.items() if value is not None and _can_be_written(tag, value)}


def _value(value: Any) -> Any:
    """Return a value of a plain kind; None for any other."""
    if isinstance(value, str):
        text = value.partition("\0")[0].strip()
        return text if text and len(text) <= _MAX_TEXT and text.isprintable() else None
    if isinstance(value, bytes):
        return value if len(value) <= _MAX_BYTES else None
    if isinstance(value, tuple):
        numbers = tuple(_number(each) for each in value)
        return numbers if 0 < len(numbers) <= _MAX_NUMBERS and None not in numbers else None
    return _number(value)


def _number(value: Any) -> int | IFDRational | None:
    if isinstance(value, int):
        return value if 0 <= value <= _MAX_INTEGER else None
    if isinstance(value, IFDRational):
        numerator, denominator = value.numerator, value.denominator
        if isinstance(numerator, int) and isinstance(denominator, int):
            fits = abs(numerator) <= _MAX_INTEGER and 0 < denominator <= _MAX_INTEGER
            return IFDRational(numerator, denominator) if fits else None
    return None


def _can_be_written(tag: int, value: Any) -> bool:
    trial = ImageFileDirectory_v2()
    try:
        trial[tag] = value
        return bool(trial.tobytes())
    except Exception:  # a kind of value that the tag does not have
        return False


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        across, down = (float(each) for each in value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    plausible = all(math.isfinite(each) and _MIN_DPI <= each <= _MAX_DPI for each in (across, down))
    return (round(across, 2), round(down, 2)) if plausible else None
