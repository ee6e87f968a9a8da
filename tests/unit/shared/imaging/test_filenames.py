"""Which files are pictures, by their names: what people's folders, archives and imports really hold."""

import pytest

from shared.imaging.filenames import Kind, kind_of


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "A.JPG", "IMG_0001.HEIC", "b/c.jfif", "./x.png", "a.b.c.tiff", "ö ä/日本.webp", "…/a.gif", "a b.avif"],
)
def test_pictures_are_taken(name: str) -> None:
    assert kind_of(name) is Kind.PICTURE


@pytest.mark.parametrize("name", ["raw/IMG.DNG", "a.cr2", "logo.svg", "layers.PSD", "scan.jp2", "new.jxl"])
def test_pictures_that_cannot_be_read_are_told_apart(name: str) -> None:
    assert kind_of(name) is Kind.UNREADABLE


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt", "IMG.xmp", "IMG.AAE", "noending", "Thumbs.db", "a.jpg.download", "._a.jpg", ".a.jpg",
        ".thumbnails/a.jpg", "x/.trash/a.jpg", "@eaDir/a.jpg", "x/@EADIR/y/a.jpg", "__MACOSX/a.jpg",
        "$RECYCLE.BIN/a.png",
    ],
)  # fmt: skip
def test_all_else_is_left_out(name: str) -> None:
    assert kind_of(name) is Kind.OTHER
