"""Which input an output would overwrite."""

import os
from pathlib import Path

import pytest

from shared.paths import InputFiles, read_regular


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photos" / "Häuser.jpg"
    path.parent.mkdir()
    path.write_bytes(b"photo")
    return path


def test_the_same_file_is_found_however_it_is_named(photo: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "link.jpg").symlink_to(photo)
    (tmp_path / "hard.jpg").hardlink_to(photo)
    (tmp_path / "folder").symlink_to(photo.parent)
    monkeypatch.chdir(photo.parent)
    inputs = InputFiles([photo])
    names = [tmp_path / "link.jpg", tmp_path / "hard.jpg", tmp_path / "folder" / photo.name, Path(photo.name)]
    for output in [photo, *names, Path("../photos") / photo.name]:
        assert inputs.overwritten_by(output) == photo, output


@pytest.mark.parametrize("name", ["häuser.JPG", "Häuser.jpg", "HÄUSER.jpg"])
def test_a_name_that_differs_by_case_or_accents_alone_is_the_same(photo: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").symlink_to(photo.parent)
    assert InputFiles([photo]).overwritten_by(tmp_path / "folder" / name) == photo


def test_an_input_that_is_a_link_is_safe_as_itself_and_as_its_target(photo: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to(photo)
    inputs = InputFiles([link])
    assert inputs.overwritten_by(link) == inputs.overwritten_by(photo) == link


def test_other_files_may_be_written(photo: Path, tmp_path: Path) -> None:
    twin = tmp_path / photo.name
    twin.write_bytes(b"photo")
    inputs = InputFiles([photo])
    for output in (twin, tmp_path / "new.jpg", photo.with_name("other.jpg"), tmp_path / "missing" / photo.name):
        assert inputs.overwritten_by(output) is None


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="no regular file"):
        read_regular(tmp_path / "pipe.jpg")
