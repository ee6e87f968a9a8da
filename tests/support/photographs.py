"""A photograph with the metadata of a camera, some of which a result may keep and some of which it may not."""

import io

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from tests.support.factories import picture

CAMERA, LENS, TAKEN = "Kamera Obscura 9", "Linse 50 mm", "2030:01:31 12:34:56"
LATITUDE = (48.0, 31.0, 12.5)
#: What no result may have, whatever was asked for.
PRIVATE = (b"PRIVATE", b"Lightroom", b"SN-4711", b"Ann Owner", b"MakerNoteBlob")


def photograph(kind: str = "JPEG", *, width: int = 24, height: int = 16) -> bytes:
    """Encode a photograph, turned by its orientation, that has everything."""
    rgb = Image.fromarray(np.uint8(np.rint(picture(width, height) * 255)))
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "Obscura", ExifTags.Base.Model: CAMERA, ExifTags.Base.Orientation: 3})
    exif.update({ExifTags.Base.Software: "Lightroom", ExifTags.Base.Artist: "Ann Owner"})
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.DateTimeOriginal: TAKEN,
            ExifTags.Base.ExposureTime: IFDRational(1, 250),
            ExifTags.Base.ExposureBiasValue: IFDRational(-1, 3),
            ExifTags.Base.ISOSpeedRatings: 200,
            ExifTags.Base.LensModel: LENS,
            ExifTags.Base.BodySerialNumber: "SN-4711",
            ExifTags.Base.MakerNote: b"MakerNoteBlob",
            ExifTags.Base.UserComment: b"ASCII\0\0\0PRIVATE",
        }
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: tuple(map(IFDRational, LATITUDE)),
            ExifTags.GPS.GPSAltitudeRef: b"\0",
            ExifTags.GPS.GPSProcessingMethod: b"PRIVATE",
        }
    )
    further = PngInfo()
    further.add_text("PRIVATE", "a workflow")
    buffer = io.BytesIO()
    options = {"pnginfo": further} if kind == "PNG" else {}
    if kind == "JPEG":
        options |= {"comment": b"PRIVATE", "xmp": b"<x:xmpmeta>PRIVATE</x:xmpmeta>"}
    rgb.save(buffer, kind, exif=exif.tobytes(), dpi=(300, 300), **options)
    return buffer.getvalue()
