"""Tells formats apart by the first bytes of a file, whatever its name or media type says."""

#: The formats that are read, by the name under which an image is described, with their media types.
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "heic": "image/heic",
    "avif": "image/avif",
    "gif": "image/gif",
    "bmp": "image/bmp",
}

_SIGNATURES = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
}
#: Sizes that the second header of a BMP may have; its signature alone is two letters of text.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
#: Brands of still pictures in ISO media files; one of AV1 makes the file AVIF whatever else it claims to be.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}
#: Bytes of a file's type box that are looked at: sixteen times as many brands as any camera names.
_BRANDS_BYTES = 1024


def recognize(data: bytes) -> str | None:
    """Return the format of a file, a key of `MEDIA_TYPES`; None if it is none of them."""
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    return _by_brand(data) if data[4:8] == b"ftyp" else None


def _by_brand(data: bytes) -> str | None:
    end = min(int.from_bytes(data[:4], "big"), _BRANDS_BYTES)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIF_BRANDS else None
