"""What a photograph's file says of how it was taken: date, camera, lens, exposure, place and resolution.

These facts go into a result on request. Each is copied by itself from a list of tags, so thumbnails, notes of the
camera's maker, serial numbers, names of people and the history of edits stay behind; the orientation is always 1, as
results are upright.

Threat: the file is hostile. Only its header is read, every value is checked, and what is odd is left out.
"""

import io
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from shared import logs

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
_INCH = 2
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


def read(data: bytes, formats: tuple[str, ...]) -> Kept | None:
    """Return the facts in the header of a picture of one of Pillow's `formats`; None if it has none."""
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            found = image.getexif()
            base = _chosen(found, _KEPT_BASE)
            exif = _chosen(found.get_ifd(_EXIF), _KEPT_EXIF)
            kept = Kept(base, exif, _chosen(found.get_ifd(_GPS), _KEPT_GPS), _dpi(image.info.get("dpi")))
    except Exception as error:  # Pillow's readers of metadata raise almost any kind
        log.info("metadata_ignored", reason=repr(error))
        return None
    return kept if any(kept) else None


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
