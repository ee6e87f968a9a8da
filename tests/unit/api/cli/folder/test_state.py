"""What is recorded beside results, and what is read of it."""

import os
import shutil
from pathlib import Path

import pytest

from api.cli.folder import state
from api.cli.folder.state import STATE_FILE, Started


def test_what_is_recorded_is_read_again_whatever_the_names(tmp_path: Path) -> None:
    started = Started("batch", "hash", "../photos", frozenset({"a.png", os.fsdecode(b"\xff\n.png")}))
    state.remember(tmp_path, started)
    assert state.read(tmp_path) == started


def test_what_an_earlier_version_recorded_is_read_too(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text('{"batch": "b", "settings": "s"}')
    assert state.read(tmp_path) == Started("b", "s")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "\udcff", '{"batch": "b"}'])
def test_what_cannot_be_read_is_no_record(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / STATE_FILE).write_text(text, errors="surrogateescape")
    assert state.read(tmp_path) is None


def test_a_named_pipe_in_place_of_a_record_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / STATE_FILE)
    with pytest.raises(OSError, match="no regular file"):
        state.read(tmp_path)


def test_pictures_and_results_that_are_moved_together_still_belong_together(tmp_path: Path) -> None:
    for name in ("disk/photos", "disk/painted"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/photos")
    before = state.way(tmp_path / "disk/painted", tmp_path / "link")
    shutil.move(tmp_path / "disk", tmp_path / "moved")
    assert before == state.way(tmp_path / "moved/painted", tmp_path / "moved/photos") == "../photos"
