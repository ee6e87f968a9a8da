"""What comes out of archives that were made to do harm."""

import io
import tempfile
from pathlib import Path

import pytest

from api.batches.archives.bounds import Bounds
from api.batches.archives.found import Member
from api.batches.archives.selection import Skipped
from api.schemas import batches
from shared.errors import AtelierError, UnsafePath
from tests.hostile.archives import OUTSIDE, PNG, Crafted, crafted, tarred, zipped
from tests.support.reading_archives import members

BOUNDS = Bounds(total=4_000_000, member=1_000_000, members=64)
CRAFTED = list(crafted())


class Metered(io.BytesIO):
    """A stream that knows how much was read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def codes(data: bytes, media_type: str, bounds: Bounds = BOUNDS) -> set[str]:
    """Read an archive to its end; return the codes of all that went wrong."""
    found = set()
    try:
        for member in members(io.BytesIO(data), media_type, bounds):
            if isinstance(member, Member) and isinstance(member.data, AtelierError):
                found.add(member.data.code)
    except AtelierError as error:
        found.add(error.code)
    return found


def test_there_are_as_many_as_were_promised() -> None:
    assert len(CRAFTED) >= 50
    assert len(set(OUTSIDE)) >= 500


@pytest.mark.parametrize("archive", CRAFTED, ids=[each.what for each in CRAFTED])
def test_each_ends_as_it_should(archive: Crafted) -> None:
    assert codes(archive.data, archive.media_type) == archive.codes


@pytest.mark.parametrize("make", [zipped, tarred])
def test_good_members_come_whole_and_junk_is_skipped(make) -> None:
    media_type = "application/zip" if make is zipped else "application/x-tar"
    data = make({"a/b.png": PNG, "__MACOSX/._b.png": b"x", ".DS_Store": b"x", "Thumbs.db": b"x", "c.png": PNG * 9})
    found = list(members(io.BytesIO(data), media_type, BOUNDS))
    assert [member for member in found if isinstance(member, Member)] == [
        Member(1, "a/b.png", PNG),
        Member(5, "c.png", PNG * 9),
    ]
    assert sum(isinstance(member, Skipped) for member in found) == 3


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_any_packing_is_read(mode) -> None:
    found = list(members(io.BytesIO(tarred({"a.png": PNG}, mode=mode)), "application/gzip", BOUNDS))
    assert found == [Member(1, "a.png", PNG)]


@pytest.mark.parametrize("filling", [bytes(10_000), b"\r\n"], ids=["zeros", "a line break"])
@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_what_programs_fill_up_the_last_block_with_is_no_damage(mode, filling) -> None:
    data = zipped({"a.png": PNG}) if mode == "zip" else tarred({"a.png": PNG}, mode=mode)
    found = list(members(io.BytesIO(data + filling), "application/zip", BOUNDS))
    assert found == [Member(1, "a.png", PNG)]


@pytest.mark.parametrize("media_type", ["application/zip", "application/x-tar"])
def test_reading_stops_within_a_megabyte_of_the_bound(media_type) -> None:
    large = tarred({f"{number}.png": b"\1" * 900_000 for number in range(40)})
    stream = Metered(large if media_type == "application/x-tar" else b"PK" + large)
    with pytest.raises(AtelierError) as refused:
        list(members(stream, media_type, BOUNDS))
    assert refused.value.code == "archive_too_large"
    assert stream.taken <= BOUNDS.total + 2**20


def test_a_zip_takes_one_nameless_file_and_leaves_none(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in members(io.BytesIO(zipped({"a.png": PNG, "b.png": PNG})), "application/zip", BOUNDS):
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_lead_outside_write_nothing_and_are_no_keys(make, tmp_path, monkeypatch) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    before = set(Path("/").iterdir()) | set(tmp_path.rglob("*"))
    media_type = "application/zip" if make is zipped else "application/x-tar"
    for name in OUTSIDE:
        try:
            data = make({name: PNG})
        except (ValueError, UnicodeError):  # this kind of archive cannot hold the name
            continue
        for member in members(io.BytesIO(data), media_type, BOUNDS):
            if isinstance(member, Member) and isinstance(member.data, bytes) and member.name == name:
                with pytest.raises(UnsafePath):
                    batches.check_key(member.name)
    assert set(Path("/").iterdir()) | set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_such_name_is_a_key(name) -> None:
    with pytest.raises(UnsafePath):
        batches.check_key(name)


@pytest.mark.parametrize("name", ["a.jpg", "2030/01/harbour at night.jpg", "ü/✓.png", "a..b", "...c", "x" * 200])
def test_plain_names_are_keys(name) -> None:
    batches.check_key(name)
