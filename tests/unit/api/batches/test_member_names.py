"""Names in archives as programs write them, and the keys that they become."""

import io
import struct
import tarfile
import warnings
import zipfile
import zlib

import pytest

from api.batches import member_names
from api.batches.archives.bounds import Bounds
from api.batches.archives.found import Member
from api.batches.archives.selection import Skipped
from api.schemas import batches
from shared.errors import AtelierError, InvalidParams
from tests.hostile.archives import tarred, zipped
from tests.support import handed_cases
from tests.support.reading_archives import members

PNG = b"\x89PNG\r\n\x1a\n picture"
ZIP, TAR = "application/zip", "application/x-tar"
BOUNDS = Bounds(total=4_000_000, member=1_000_000, members=64)
#: What is written into a header, byte for byte, in place of a name of equal length.
PLACEHOLDER = b"name-of-%02d-bytes.png"


def found(data: bytes, media_type: str = ZIP, encoding: str | None = None) -> list[Member | Skipped]:
    return list(members(io.BytesIO(data), media_type, BOUNDS, name_encoding=encoding))


def taken(data: bytes, media_type: str = ZIP, encoding: str | None = None) -> list[str]:
    return [
        each.name
        for each in found(data, media_type, encoding)
        if isinstance(each, Member) and isinstance(each.data, bytes)
    ]


def refused(data: bytes, media_type: str = ZIP) -> dict[str, AtelierError]:
    return {
        each.name: each.data
        for each in found(data, media_type)
        if isinstance(each, Member) and isinstance(each.data, AtelierError)
    }


def zipped_raw(*names: bytes, extra: bytes = b"") -> bytes:
    """Make a zip whose names are these bytes, without the flag of UTF-8."""
    kept, stand_ins = io.BytesIO(), []
    with zipfile.ZipFile(kept, "w") as archive:
        for number, name in enumerate(names):
            stand_ins.append(str(number).rjust(len(name), "x"))
            info = zipfile.ZipInfo(stand_ins[-1])
            info.extra = extra
            archive.writestr(info, PNG)
    data = kept.getvalue()
    for stand_in, name in zip(stand_ins, names, strict=True):
        data = data.replace(stand_in.encode(), name)
    return data


def unicode_path(name: str, raw: bytes, *, version: int = 1) -> bytes:
    field = struct.pack("<BL", version, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


# -- separators


def test_what_powershell_writes_is_taken_by_folder() -> None:
    members = found(handed_cases.read("powershell51.zip"))
    assert [member.name for member in members] == ["photos/sub/a.jpg", "photos/empty/"]
    assert isinstance(members[1], Skipped)


def test_what_tar_writes_of_a_dot_is_taken() -> None:
    assert taken(handed_cases.read("dot.tgz"), "application/gzip") == ["a.jpg", "sub/b.jpg"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a\\b.png", "a/b.png"),
        (".\\a\\b.png", "a/b.png"),
        ("a\\b/c.png", "a/b/c.png"),
        ("./a/./b.png", "a/b.png"),
        ("././a.png", "a.png"),
        ("a//b.png", "a/b.png"),
    ],
)
@pytest.mark.parametrize(("make", "media_type"), [(zipped, ZIP), (tarred, TAR)])
def test_separators_and_dots_are_normalized(make, media_type, name, key) -> None:
    assert taken(make({name: PNG}), media_type) == [key]


@pytest.mark.parametrize(
    "name", ["..\\a.png", "a\\..\\..\\b.png", "\\a.png", "C:\\a.png", "C:/a.png", "./../a.png", "//a.png"]
)
@pytest.mark.parametrize(("make", "media_type"), [(zipped, ZIP), (tarred, TAR)])
def test_a_name_that_leads_outside_once_it_is_normalized_is_no_key(make, media_type, name) -> None:
    [member] = found(make({name: PNG}), media_type)
    with pytest.raises(AtelierError) as no_key:
        batches.check_key(member.name)
    assert no_key.value.code == "unsafe_path"


@pytest.mark.parametrize("name", ["a\\", "a/", ".\\", "./", "a\\b\\"])
def test_a_folder_of_either_kind_is_skipped(name) -> None:
    assert [type(member) for member in found(zipped({name: b"", "c.png": PNG}))] == [Skipped, Member]


def test_two_names_that_become_one_key_are_told() -> None:
    assert {name: error.code for name, error in refused(zipped({"a/b.png": PNG, "a\\b.png": PNG})).items()} == {
        "a/b.png": "duplicate_key"
    }


# -- encodings


def test_what_finder_writes_has_its_right_names() -> None:
    assert taken(handed_cases.read("macos-finder.zip")) == ["Urlaub/Häuser.jpg"]


@pytest.mark.parametrize(
    ("raw", "encoding", "name"),
    [
        ("Häuser.png".encode(), None, "Häuser.png"),
        ("Häuser.png".encode(), "cp932", "Häuser.png"),  # UTF-8 is tried first
        ("Ha\u0308user.png".encode(), None, "Häuser.png"),
        ("Häuser.png".encode("cp437"), None, "Häuser.png"),
        ("Häuser.png".encode("cp1252"), "windows-1252", "Häuser.png"),
        ("写真/表.png".encode("cp932"), "cp932", "写真/表.png"),  # 表 ends in the byte of a backslash
        ("фото.png".encode("cp866"), "cp866", "фото.png"),
    ],
)
def test_a_name_in_a_zip_is_utf8_or_else_of_the_code_page(raw, encoding, name) -> None:
    assert taken(zipped_raw(raw), ZIP, encoding) == [name]


def test_the_field_of_the_unicode_path_is_obeyed_if_it_is_of_this_name() -> None:
    raw = "фото.png".encode("cp866")
    assert taken(zipped_raw(raw, extra=unicode_path("фото.png", raw))) == ["фото.png"]
    stale = unicode_path("else.png", b"another name")
    assert taken(zipped_raw(b"photo.png", extra=stale)) == ["photo.png"]
    later = unicode_path("else.png", b"photo.png", version=2)
    assert taken(zipped_raw(b"photo.png", extra=later)) == ["photo.png"]


def test_a_name_in_a_tar_is_utf8_or_of_the_encoding_or_has_its_bytes_written_out() -> None:
    raw = "фото.png".encode("cp866")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = tarred({raw.decode(errors="surrogateescape"): PNG})
    assert taken(data, TAR, "cp866") == ["фото.png"]
    [name] = taken(data, TAR)
    assert name == "%E4%AE%E2%AE.png"
    batches.check_key(name)
    assert taken(data, TAR, "ascii") == [name]


@pytest.mark.parametrize("encoding", ["cp932", "CP866", "windows-1252", "latin-1", "euc_kr", "utf-8", "gb18030"])
def test_a_character_encoding_can_be_named(encoding) -> None:
    assert member_names.checked_encoding(encoding)


@pytest.mark.parametrize(
    "encoding",
    ["", "nope", "rot13", "zlib", "base64", "idna", "punycode", "unicode_escape", "raw-unicode-escape", "undefined",
     "utf-16", "utf_32_le", "cp037", "../x", "a" * 99, "é", "\udc80"],
)  # fmt: skip
def test_what_is_no_encoding_of_names_is_refused(encoding) -> None:
    with pytest.raises(InvalidParams, match="name_encoding"):
        member_names.checked_encoding(encoding)


# -- keys


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a\tb.png", "a%09b.png"),
        ("Holiday /a.png", "Holiday%20/a.png"),
        ("Holiday.../a.png", "Holiday%2E%2E%2E/a.png"),
        ("a.png ", None),
        ("a: b.png", "a%3A b.png"),
        ("b/c:d.png", "b/c:d.png"),
        ("\udce4.png", "%E4.png"),
        ("a\\b.png", "a%5Cb.png"),
        ("\x1b[2J.png", "%1B[2J.png"),
        (" a.png", " a.png"),
    ],
)
def test_what_a_key_cannot_hold_is_written_out(name, key) -> None:
    made = member_names.key_of(name)
    batches.check_key(made)
    assert made == (key or "a.png%20")


@pytest.mark.parametrize("name", ["../a.png", "a/../b.png", "/a.png", "C:/a.png"])
def test_what_leads_outside_is_not_made_safe(name) -> None:
    with pytest.raises(AtelierError):
        batches.check_key(member_names.key_of(name))


# -- what is taken


def test_other_files_are_skipped_and_pictures_that_cannot_be_read_are_counted_by_kind() -> None:
    files = ["a.png", "b.JPG", "c.CR2", "d/e.cr2", "f.psd", "notes.txt", "a.xmp", ".hidden.png", "@eaDir/x.jpg",
             "#recycle/y.png", ".thumbnails/z.png", "__MACOSX/._a.png", "__MACOSX/b.zip", "Thumbs.db"]  # fmt: skip
    members = found(zipped(dict.fromkeys(files, PNG)))
    assert [each.name for each in members if isinstance(each, Member)] == ["a.png", "b.JPG"]
    skipped = [each.unreadable for each in members if isinstance(each, Skipped)]
    assert (skipped.count("cr2"), skipped.count("psd"), skipped.count(None)) == (2, 1, 9)


def test_a_folder_of_a_batchs_results_is_left_out() -> None:
    files = [
        "photos/a.png",
        "photos/out/.atelier-batch.json",
        "photos/out/a.png",
        "photos/out/sub/b.png",
        "photos/outer.png",
    ]
    assert taken(zipped(dict.fromkeys(files, PNG))) == ["photos/a.png", "photos/outer.png"]


@pytest.mark.parametrize(
    ("method", "name"), [(9, "Deflate64"), (93, "Zstandard"), (98, "PPMd"), (77, "an unknown method")]
)
def test_a_compression_that_is_not_supported_is_named(method, name) -> None:
    data = bytearray(zipped({"a.png": PNG, "b.png": PNG}))
    for signature, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(signature) + at] = method
    error = refused(bytes(data))["a.png"]
    assert (error.code, f"{name} ({method})" in error.detail) == ("corrupt_archive", True)
    assert taken(bytes(data)) == ["b.png"]


def test_a_zip_of_a_later_version_is_told_as_such() -> None:
    data = bytearray(zipped({"a.png": PNG}))
    data[data.index(b"PK\x01\x02") + 6] = 90
    with pytest.raises(AtelierError, match=r"not supported: zip file version 9\.0"):
        found(bytes(data))


def test_tars_of_every_format_have_their_names() -> None:
    for layout in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        kept = io.BytesIO()
        with tarfile.open(fileobj=kept, mode="w", format=layout) as archive:
            info = tarfile.TarInfo("./Häuser/a.png")
            info.size = len(PNG)
            archive.addfile(info, io.BytesIO(PNG))
        assert taken(kept.getvalue(), TAR) == ["Häuser/a.png"]
