"""Where the results of a folder go, and what stands in their way."""

import os
from pathlib import Path

import click
import pytest

from api.cli.folder.plan import plan, refuse_unknown, result_name


def planned(out: Path, *paths: str):
    return plan({path: path for path in paths}, out, ".png")


def codes(found) -> dict[str, str]:
    return {each.key: str(each.code) for each in found.failed}


@pytest.mark.parametrize(
    "paths", [("1.png", "1.webp"), ("a/1.png", "A/1.PNG"), ("ä.jpg", "a\u0308.png"), ("straße.jpg", "STRASSE.jpg")]
)
def test_two_results_of_one_name_on_any_file_system_are_refused(tmp_path: Path, paths: tuple[str, str]) -> None:
    with pytest.raises(click.UsageError, match=f"{paths[0]} and {paths[1]}"):
        planned(tmp_path, *paths)


@pytest.mark.parametrize("folder", ["a.png", "A.PNG"])
def test_a_result_named_like_a_folder_of_results_fails_alone(tmp_path: Path, folder: str) -> None:
    found = planned(tmp_path, "a.jpg", f"{folder}/b.jpg", f"{folder}/deep/c.jpg", "d.jpg")
    assert codes(found) == {"a.jpg": "name_clash"}
    assert len(found.results) == 3


def test_what_stands_in_the_way_of_results_fails_them_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "sub").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "old.png").touch()
    found = planned(tmp_path, "a.jpg", "sub/b.jpg", "sub/deep/c.jpg", "pipe.jpg", "old.jpg", "new/d.jpg")
    assert codes(found) == dict.fromkeys(["a.jpg", "sub/b.jpg", "sub/deep/c.jpg", "pipe.jpg"], "unwritable")
    assert set(found.results.values()) == {tmp_path / "old.png", tmp_path / "new/d.png"}


def test_names_keep_their_length_or_are_shortened_one_to_one() -> None:
    assert result_name("sub/a.b.jpg", ".png") == "sub/a.b.png"
    assert result_name("x" * 251 + ".jpg", ".png") == "x" * 251 + ".png"
    names = ["é" * 125 + end + ".jpg" for end in "ab"]
    long = [result_name(name, ".webp") for name in names]
    assert len(set(long)) == 2
    for name in long:
        assert name.endswith(".webp")
        assert 250 < len(name.encode()) <= 255
        assert result_name(names[long.index(name)], ".webp") == name


def test_files_that_no_record_explains_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(click.UsageError, match=r"add --new"):
        refuse_unknown(planned(tmp_path, "a.jpg", "b.jpg").results, tmp_path)
    refuse_unknown(planned(tmp_path, "b.jpg").results, tmp_path)
    refuse_unknown(planned(tmp_path, "a.jpg").results, tmp_path, {"a.png"})
