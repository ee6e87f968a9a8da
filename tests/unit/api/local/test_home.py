"""The home folder is its user's alone."""

import os
import stat

import pytest

from api.local.home import make_private


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def _loose_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_new_home_is_closed_to_others_and_an_open_one_is_closed(tmp_path) -> None:
    make_private(tmp_path / "new")
    (tmp_path / "open").mkdir(mode=0o755)
    make_private(tmp_path / "open")
    assert mode(tmp_path / "new") == mode(tmp_path / "open") == 0o700


def test_a_folder_that_is_there_to_be_shared_stays_so(tmp_path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    make_private(tmp_path / "shared")
    assert mode(tmp_path / "shared") == 0o1777
