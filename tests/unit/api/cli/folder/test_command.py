"""What `atelier batch` and its neighbours refuse before they send anything: the server's address leads nowhere."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from api.cli.folder.command import outcome
from tests.support.scripted_server import closed_url


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, bytes]:
    """A folder of pictures that are never opened, and a style beside it; the command runs there."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/b.png", "photos/sub/C.PNG", "style.png", "mask.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    return contents()


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--url", closed_url()])


def batch(folder: str, out: str, *more: str) -> Result:
    return run("batch", folder, "-o", out, "--style", "style.png", *more)


def makes_links() -> None:
    Path("linked").symlink_to("photos")
    Path("hard/sub").mkdir(parents=True)
    Path("hard/b.png").hardlink_to("photos/b.png")
    Path("soft").mkdir()
    Path("soft/b.png").symlink_to("../photos/b.png")
    Path("styled").mkdir()
    Path("styled/a.png").symlink_to("../style.png")


@pytest.mark.parametrize("out", ["photos", "linked", "hard", "soft", "styled", "photos/../photos", "Photos"])
def test_no_result_may_be_an_original(out: str) -> None:
    makes_links()
    before = contents()
    result = batch("photos", out)
    assert (result.exit_code, "would overwrite" in result.stderr) == (2, True), result.stderr
    assert contents() == before


def test_a_result_that_is_an_original_is_named() -> None:
    Path("photos/same.png").symlink_to("a.jpg")
    text = batch("photos", "photos").stderr
    assert "photos/b.png" in text
    assert "photos/sub/C.png (the same file as photos/sub/C.PNG)" in text


def test_results_may_lie_among_the_pictures_if_none_is_one() -> None:
    assert batch("photos", "photos", "--format", "webp").exit_code == 4, "it goes on to the server"


def test_files_that_belong_to_no_batch_are_not_replaced_unasked() -> None:
    Path("out").mkdir()
    Path("out/a.png").write_text("mine")
    result = batch("photos", "out")
    assert (result.exit_code, "out/a.png" in result.stderr) == (2, True)
    assert Path("out/a.png").read_text() == "mine"
    assert batch("photos", "out", "--new").exit_code == 4, "it goes on to the server"


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "photos/a.jpg", "style.png", "-o", "style.png"),
        ("submit", "photos/b.png", "style.png", "-o", "photos/b.png"),
        ("submit", "photos/b.png", "style.png", "-o", "photos/B.png"),
        ("submit", "photos/a.jpg", "style.png", "--mask", "mask.png", "-o", "mask.png"),
        ("submit", "photos/a.jpg", "style.png", "--init-image", "mask.png", "-o", "linked.png"),
        ("matrix", "photos/a.jpg", "--style", "style.png", "-o", "photos/a.jpg"),
        ("matrix", "photos/a.jpg", "--style", "style.png", "-o", "style.png"),
    ],
)
def test_nor_may_any_other_output(pictures, arguments: tuple[str, ...]) -> None:
    Path("linked.png").symlink_to("mask.png")
    result = run(*arguments)
    assert (result.exit_code, "would overwrite" in result.stderr) == (2, True), result.stderr
    assert {path: text for path, text in contents().items() if path in pictures} == pictures


def test_a_manifest_is_not_replaced_by_the_picture_that_is_painted_again() -> None:
    image = f"sha256:{'0' * 64}"
    facts = {"preset": "fast", "params": {}, "content": image, "styles": [{"image": image}], "result": {"sha256": "0"}}
    Path("manifest.png").write_text(json.dumps(facts))
    assert run("rerun", "manifest.png", "-o", "manifest.png").exit_code == 2


def test_sixteen_bits_need_a_format_that_has_them() -> None:
    for code, name in ((2, "jpeg"), (2, "webp"), (4, "png"), (4, "tiff")):
        assert batch("photos", "out", "--depth", "16", "--format", name).exit_code == code
        submitted = run("submit", "photos/a.jpg", "style.png", "--depth", "16", "-o", f"a.{name}")
        assert submitted.exit_code == code, submitted.output


@pytest.mark.parametrize("where", ["--style", "content"])
def test_a_named_pipe_is_refused_instead_of_waited_for(where: str) -> None:
    os.mkfifo("pipe.png")
    if where == "--style":
        result = run("batch", "photos", "--style", "pipe.png", "-o", "out")
    else:
        result = run("submit", "pipe.png", "style.png", "-o", "a.png")
    assert (result.exit_code, "a named pipe" in result.stderr) == (2, True)


def test_what_is_left_out_is_said_before_anything_starts() -> None:
    for name in ("a.dng", "b.dng", "c.psd"):
        Path("photos", name).touch()
    os.mkfifo("photos/pipe\n.jpg")
    result = batch("photos", "out")
    assert result.exit_code == 4
    assert "Left out 2 .dng and 1 .psd files: Atelier cannot read these kinds of pictures." in result.stderr
    assert r"pipe\n.jpg: a named pipe" in result.stderr


def test_a_folder_of_unreadable_kinds_alone_says_so() -> None:
    Path("raw").mkdir()
    Path("raw/a.dng").touch()
    result = batch("raw", "out")
    assert (result.exit_code, "Left out 1 .dng file:" in result.stderr) == (2, True)
    assert "There are no pictures below raw." in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("missing", "out", "said"),
    [
        (2, Path(), "Wrote 2 pictures to this folder."),
        (1, Path("painted"), "Wrote 1 picture to painted/."),
        (0, Path(), "All 3 pictures are already in this folder."),
        (0, Path("a/b"), "All 3 pictures are already in a/b/."),
    ],
)
def test_the_folder_that_was_written_is_named_as_people_do(missing, out, said) -> None:
    assert outcome(3, missing, 0, out) == said
