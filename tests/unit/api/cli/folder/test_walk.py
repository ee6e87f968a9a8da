"""Which pictures of a folder are found, and what is left out of it."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from api.cli.display.tables import FailedPicture
from api.cli.folder import state
from api.cli.folder.state import Started
from api.cli.folder.walk import LeftOut, walk


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_pictures_are_found_below_a_folder_in_order_and_results_are_not(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a.heic", "sub/c.png", "sub/deep/d.webp", "out/a.png", "out/sub/c.png")
    found = walk(tmp_path, tmp_path / "out")
    assert list(found.pictures.values()) == ["a.heic", "b.JPG", "sub/c.png", "sub/deep/d.webp"]
    assert (found.left_out, found.failed) == ([], [])


def test_what_devices_and_programs_keep_beside_pictures_is_left_out_in_silence(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/a.jpg", ".trash/a.jpg", ".hidden.jpg")
    make(tmp_path, "__MACOSX/._a.jpg", "._a.jpg", "a.xmp", "a.jpg.json", "Thumbs.db", "#recycle/a.jpg", "a.mov")
    found = walk(tmp_path, tmp_path / "out")
    assert found.pictures == {"a.jpg": "a.jpg"}
    assert (found.left_out, found.failed, found.unreadable_kinds) == ([], [], {})


def test_pictures_of_kinds_that_cannot_be_read_are_counted_by_kind(tmp_path: Path) -> None:
    make(tmp_path, "a.DNG", "b.dng", "sub/c.psd", "@eaDir/d.dng")
    assert walk(tmp_path, tmp_path / "out").unreadable_kinds == {".dng": 2, ".psd": 1}


def test_results_of_another_batch_are_left_out_and_named_but_may_be_asked_for(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "painted/.atelier-batch.json", "painted/a.png", "painted/sub/b.png")
    found = walk(tmp_path, tmp_path / "out")
    assert found.left_out == [LeftOut("painted/", "the results of another batch")]
    assert list(found.pictures) == ["a.jpg"]
    assert list(walk(tmp_path / "painted", tmp_path / "out").pictures) == ["a.png", "sub/b.png"]


def test_results_among_their_pictures_are_left_out_and_the_pictures_are_found(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.webp", "sub/b.jpg", "sub/b.webp", "sub/deep/c.jpg", "sub/deep/c.webp")
    state.remember(tmp_path, Started("batch", "settings", state.HERE, frozenset({"a.webp"})))
    state.remember(tmp_path / "sub", Started("batch", "settings", state.HERE, frozenset({"b.webp", "deep/c.webp"})))
    for out in (tmp_path, tmp_path / "out"):
        found = walk(tmp_path, out)
        assert list(found.pictures) == ["a.jpg", "sub/b.jpg", "sub/deep/c.jpg"]
        assert found.left_out == []


def test_a_record_that_cannot_be_read_hides_no_folder_in_silence(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "sub/b.jpg")
    for folder in (tmp_path, tmp_path / "sub"):
        os.mkfifo(folder / state.STATE_FILE)
    found = walk(tmp_path, tmp_path / "out")
    assert list(found.pictures) == ["a.jpg"]
    assert found.left_out == [LeftOut("sub/", "the results of another batch")]


def test_links_to_folders_are_named_whatever_they_lead_to(tmp_path: Path) -> None:
    make(tmp_path, "photos/sub/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "photos/sub/loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/elsewhere").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/c.jpg").symlink_to(tmp_path / "elsewhere/b.jpg")
    (tmp_path / "photos/out").symlink_to(tmp_path / "elsewhere")
    found = walk(tmp_path / "photos", tmp_path / "elsewhere")
    assert list(found.pictures) == ["c.jpg", "sub/a.jpg"]
    assert found.left_out == [LeftOut("sub/loop/", "a link to a folder")]


def test_what_is_no_regular_file_is_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "null.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fspath(tmp_path / "s.webp"))
        found = walk(tmp_path, tmp_path / "out")
    kinds = {"null.png": "a device", "pipe.jpg": "a named pipe", "s.webp": "a socket"}
    assert found.left_out == [LeftOut(path, what) for path, what in kinds.items()]
    assert not found.pictures


def test_links_that_lead_nowhere_or_in_circles_are_failures(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "missing.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "missing.txt")
    found = walk(tmp_path, tmp_path / "out")
    assert [each.key for each in found.failed] == ["gone.jpg", "loop.jpg"]
    assert {each.code for each in found.failed} == {"unreadable"}


def test_a_folder_that_cannot_be_read_is_a_failure_and_the_others_are_read(tmp_path: Path, monkeypatch) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = walk(tmp_path, tmp_path / "out")
    assert found.failed == [FailedPicture("b/", "unreadable", "Permission denied")]
    assert list(found.pictures) == ["a/1.jpg", "c/3.jpg"]
    with pytest.raises(PermissionError):
        walk(tmp_path / "b", tmp_path / "out")


def test_names_of_any_bytes_are_found_under_keys_of_their_own(tmp_path: Path) -> None:
    for name in (b"\xff.jpg", b"\xfe.jpg", b"a\n.jpg", b"a:b.jpg", b"b. /c.jpg"):
        make(tmp_path, os.fsdecode(name))
    found = walk(tmp_path, tmp_path / "out")
    assert len(found.pictures) == 5
    assert {os.fsencode(path) for path in found.pictures.values()} >= {b"\xff.jpg", b"b. /c.jpg"}


def test_folders_may_be_nested_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    home, deep = os.getcwd(), "d" * 200  # noqa: PTH109 - gone back to
    try:
        os.chdir(tmp_path)
        for _ in range(25):
            os.mkdir(deep)  # noqa: PTH102 - the path is too long for any other way
            os.chdir(deep)
    finally:
        os.chdir(home)
    found = walk(tmp_path, tmp_path / "out")
    assert list(found.pictures) == ["a.jpg"]
    assert [each.message for each in found.failed] == ["File name too long"]
    shutil.rmtree(tmp_path / deep)
