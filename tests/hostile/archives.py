"""Archives that were made to do harm, or to be merely odd: each with what it is and how it is to end."""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n picture"
ZEROS = bytes(2**24)
#: Largest upload, by default.
UPLOAD_BYTES = 64 * 2**20
#: The codes that an archive may end in.
CORRUPT, LARGE, NOTHING = {"corrupt_archive"}, {"archive_too_large"}, {"nothing_added"}

#: Names that would lead out of a folder, or into odd places, on some system.
OUTSIDE = [
    f"{start}{way}{end}"
    for start in ("", "a/", "a/b/", "./", "pictures/2030/")
    for way in ("..", "../..", "../../../..", "..\\..", "..\\", "%2e%2e/..", "....//..", "../a/..", "..;/..", "x/..")
    for end in ("/x.jpg", "\\x.jpg", "/", "", "/etc/passwd", "/.ssh/authorized_keys")
] + [
    f"{root}{name}"
    for root in ("/", "//", "/../", "\\", "\\\\", "C:\\", "C:/", "c:", "z:", "\\\\?\\", "\\\\host\\share\\")
    for name in ("x.jpg", "etc/passwd", "windows/win.ini", "a/b.png", "..", ".", "CON", "a\x00.jpg", "\x1b[2J.jpg")
] + [
    f"a{mark}b/{name}"
    for mark in ("\x00", "\n", "\r", "\x7f", "\x01", "/./", "//", "/../")
    for name in ("x.jpg", "..", "y/..", "y/../z", " ", ".", "c.", "d ", "e/ ", "f/.", "g/h.", "i\\j")
] + ["", ".", "..", "/", "\\", "a/", "a//b", " ", "a/ /b", "a" * 600, "é" * 200 + "/x", "a/" + "b" * 256]  # fmt: skip


class Crafted(NamedTuple):
    """An archive, what it is, and the errors its members or it itself are to end in."""

    what: str
    media_type: str
    data: bytes
    codes: set[str]


def crafted() -> Iterator[Crafted]:
    """Yield them all."""
    yield from _zips()
    yield from _tars()
    yield from _broken()


def zipped(files: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """Make a zip of files, whatever their names."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", method) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename, info.orig_filename, info.compress_type = name, name, method
            archive.writestr(info, data)
    return kept.getvalue()


def tarred(files: dict[str, bytes], *, mode: str = "w") -> bytes:
    """Make a tar of files."""
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode=mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return kept.getvalue()


def _zips() -> Iterator[Crafted]:
    def made(what: str, codes: set[str], change: Callable[[zipfile.ZipInfo], None], name: str = "a.png") -> Crafted:
        kept = io.BytesIO()
        with zipfile.ZipFile(kept, "w") as archive:
            info = zipfile.ZipInfo(name)
            change(info)
            archive.writestr(info, PNG)
        return Crafted(what, "application/zip", kept.getvalue(), codes)

    def kind(bits: int) -> Callable[[zipfile.ZipInfo], None]:
        return lambda info: setattr(info, "external_attr", bits << 16)

    for what, bits in {"link": 0o120777, "device": 0o060666, "pipe": 0o010666, "socket": 0o140666}.items():
        yield made(f"zip with a {what}", {"unsafe_path"}, kind(bits))
    for inner in ("b.zip", "c.tar", "d.tar.gz", "e.7z", "f.RAR", "g.tgz", "h.xz"):
        yield Crafted(f"zip with {inner}", "application/zip", zipped({inner: zipped({})}), {"unsupported_image"})
    bomb = zipped({"bomb.png": PNG + b"\0" * 2**22}, method=zipfile.ZIP_DEFLATED)
    yield Crafted("zip of a member that unpacks to 4 MiB", "application/zip", bomb, {"image_too_large"})
    many = zipped({f"{n}.png": PNG + b"\0" * 900_000 for n in range(9)}, method=zipfile.ZIP_DEFLATED)
    yield Crafted("zip of members that unpack to 8 MB together", "application/zip", many, {"archive_too_large"})
    yield Crafted("zip of too many members", "application/zip", zipped({str(n): b"" for n in range(65)}),
                  {"archive_too_large"})  # fmt: skip
    twice = zipped({"a.png": PNG, "b.png": PNG}).replace(b"b.png", b"a.png")
    yield Crafted("zip with a name twice", "application/zip", twice, {"duplicate_key"})
    yield Crafted("zip that lies about a size", "application/zip", _lying(), {"corrupt_archive"})
    encrypted = bytearray(zipped({"a.png": PNG}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + at] |= 1
    yield Crafted("encrypted zip", "application/zip", bytes(encrypted), {"unsupported_image"})
    method = bytearray(zipped({"a.png": PNG}))
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        method[method.index(signature) + at] = 97
    yield Crafted("zip packed in a way nobody knows", "application/zip", bytes(method), {"corrupt_archive"})
    yield Crafted(
        "zip with a directory that says it has millions", "application/zip", _boasting(), {"archive_too_large"}
    )
    overlapping = bytearray(zipped({"a.png": PNG, "b.png": PNG}))
    second = overlapping.rindex(b"PK\x01\x02")
    struct.pack_into("<I", overlapping, second + 42, 0)
    yield Crafted("zip whose members are one another", "application/zip", bytes(overlapping), {"corrupt_archive"})


def _tars() -> Iterator[Crafted]:
    def made(what: str, codes: set[str], kind: bytes, size: int = 0, mode: str = "w") -> Crafted:
        kept = io.BytesIO()
        with tarfile.open(fileobj=kept, mode=mode) as archive:
            info = tarfile.TarInfo("a.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        return Crafted(what, "application/x-tar", kept.getvalue(), codes)

    kinds = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "disk": tarfile.BLKTYPE}
    for what, kind in (kinds | {"pipe": tarfile.FIFOTYPE}).items():
        yield made(f"tar with a {what}", {"unsafe_path"}, kind)
    for mode in ("w:gz", "w:bz2", "w:xz"):
        large = tarred({"bomb.png": PNG + b"\0" * 3_000_000}, mode=mode)
        yield Crafted(f"tar {mode} of a member of 3 MB", "application/gzip", large, {"image_too_large"})
        many = tarred({f"{n}.png": PNG + b"\0" * 900_000 for n in range(9)}, mode=mode)
        yield Crafted(f"tar {mode} of 8 MB together", "application/gzip", many, {"archive_too_large"})
    yield Crafted("tar of too many members", "application/x-tar", tarred({str(n): b"" for n in range(65)}),
                  {"archive_too_large"})  # fmt: skip
    passed = tarred({"a.tar": PNG + b"\0" * 3_000_000, "b.tar": PNG + b"\0" * 3_000_000}, mode="w:gz")
    yield Crafted("tar whose members are large and passed over", "application/gzip", passed,
                  {"unsupported_image", "archive_too_large"})  # fmt: skip


def _broken() -> Iterator[Crafted]:
    whole = zipped({"a.png": PNG * 50, "b.png": PNG}, method=zipfile.ZIP_DEFLATED)
    for cut in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        yield Crafted(f"zip cut at {cut}", "application/zip", whole[:cut], {"corrupt_archive"})
    damaged = bytearray(whole)
    damaged[40:50] = b"\xff" * 10
    yield Crafted("zip with a damaged member", "application/zip", bytes(damaged), {"corrupt_archive"})
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        whole = tarred({"a.png": PNG + bytes(range(256)) * 8, "b.png": PNG}, mode=mode)
        for cut in (10, len(whole) // 3, *((3584,) if mode == "w" else ())):
            yield Crafted(f"tar {mode} cut at {cut}", "application/x-tar", whole[:cut], {"corrupt_archive"})
    for media_type in ("application/zip", "application/x-tar", "application/gzip"):
        yield Crafted(f"{media_type} of text", media_type, b"no archive at all" * 9, {"corrupt_archive"})
    yield Crafted("gzip of nothing", "application/gzip", zlib.compress(b""), {"corrupt_archive"})


def _lying() -> bytes:
    data = bytearray(zipped({"a.png": PNG * 1000}, method=zipfile.ZIP_DEFLATED))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + at, 10)
    return bytes(data)


def _boasting() -> bytes:
    data = bytearray(zipped({"a.png": PNG}))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<HH", data, end + 8, 60_000, 60_000)
    return bytes(data)
