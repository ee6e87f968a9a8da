import os
import stat
from pathlib import Path

import pytest

from api.client.files import check_picture_path, format_of, write_whole
from api.client.models import UnwritableOutput


@pytest.mark.parametrize(
    ("name", "format_name"), [("a.png", "png"), ("a.JPG", "jpeg"), ("a.b.jpeg", "jpeg"), ("a.webp", "webp")]
)
def test_the_suffix_names_the_format(name: str, format_name: str) -> None:
    assert format_of(Path(name)) == format_name


@pytest.mark.parametrize("name", ["a.gif", "a", ".png"])
def test_any_other_suffix_is_refused_with_the_choice(name: str) -> None:
    with pytest.raises(UnwritableOutput, match=r"choose one of \.png \.jpg"):
        format_of(Path(name))


def test_a_missing_folder_is_made_and_no_trace_is_left(tmp_path: Path) -> None:
    check_picture_path(tmp_path / "new" / "a.png")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_cannot_be_written_as_a_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UnwritableOutput, match="is a folder"):
        check_picture_path(tmp_path / "a.png")


def test_a_file_in_the_way_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableOutput, match="cannot be written"):
        check_picture_path(tmp_path / "file" / "a.png")


def test_a_picture_replaces_an_older_one_with_ordinary_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")
    before = os.umask(0o022)
    try:
        write_whole(target, b"new")
    finally:
        os.umask(before)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_older_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
