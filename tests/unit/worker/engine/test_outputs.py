"""The engine on its own: what it checks before it paints, and what Ctrl-C leaves."""

import json
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
from click.testing import CliRunner, Result
from PIL import ExifTags, Image

import worker.engine.__main__ as engine
from shared.imaging import codec
from tests.support.factories import picture
from worker.engine import stylize
from worker.engine.device.planner import Planner
from worker.engine.timelapse import Timelapse

SMALL = ("--size", "48", "--preset", "fast", "--optimizer", "adam", "--steps", "6")
LAYERS = ("--content-layers", "block2_conv1=1", "--style-layers", "block1_conv1=1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the engine runs, with a photograph and a painting."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("photo.png", "style.png", "photo.timelapse.webp")):
        Path(name).write_bytes(codec.encode(picture(seed=seed), format="webp" if "webp" in name else "png"))
    return tmp_path


@pytest.fixture
def paint(folder: Path, network, monkeypatch: pytest.MonkeyPatch):
    """Run the engine with a small network."""
    monkeypatch.setattr(engine, "_open_engine", lambda _options: (network, Planner()))
    return lambda *arguments: run("photo.png", "style.png", *SMALL, *LAYERS, *arguments)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(engine.main, arguments)


def pixels_of(path: Path) -> np.ndarray:
    if path.suffix.lower() != ".png":
        return tifffile.imread(path)
    _, _, rows, facts = png.Reader(bytes=path.read_bytes()).read()
    return np.vstack([np.array(row, np.uint16 if facts["bitdepth"] == 16 else np.uint8) for row in rows])


def refused(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Run the engine, which must stop before it starts, and change no file; return what it says."""
    monkeypatch.setattr(engine, "_paint", lambda *_: pytest.fail("it paints"))
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return result.output


@pytest.mark.parametrize(
    "output", ["photo.png", "style.png", "PHOTO.png", "sub/../style.png", "link.png", "hard.png", "folder/photo.png"]
)
def test_no_output_replaces_an_input(folder: Path, monkeypatch, output: str) -> None:
    (folder / "sub").mkdir()
    Path("link.png").symlink_to("photo.png")
    Path("hard.png").hardlink_to("style.png")
    Path("folder").symlink_to(folder)
    assert "would overwrite" in refused(monkeypatch, "photo.png", "style.png", "-o", output)


@pytest.mark.parametrize(
    "more",
    [
        ("-o", "a.png", "--mask", "mask.png", "--manifest", "mask.png"),
        ("-o", "a.png", "--init-image", "mask.png", "--manifest", "mask.png"),
        ("-o", "a.png", "--vgg19", "mask.png", "--manifest", "mask.png"),
        ("-o", "mask.png", "--mask", "mask.png"),
        ("-o", "photo.webp", "--timelapse", "3", "--init-image", "photo.timelapse.webp"),
    ],
)
def test_nor_do_the_files_beside_it(folder: Path, monkeypatch, more: tuple[str, ...]) -> None:
    (folder / "mask.png").write_bytes(codec.encode(picture(seed=9), format="png"))
    assert "would overwrite" in refused(monkeypatch, "photo.png", "style.png", *more)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("-o", "missing/a.png"), "No such file or directory"),
        (("-o", "photo.png/a.png"), "Not a directory"),
        (("-o", "pipe.png"), "not a regular file"),
        (("-o", "x" * 252 + ".png"), "File name too long"),
        (("-o", "a.gif"), "must end in"),
        (("-o", "a.png", "--manifest", "missing/a.json"), "No such file or directory"),
        (("-o", "a.png", "--manifest", "A.png"), "written twice"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_written_is_told_before_painting(monkeypatch, more: tuple[str, ...], reason: str) -> None:
    os.mkfifo("pipe.png")
    assert reason in " ".join(refused(monkeypatch, "photo.png", "style.png", *more).split())


@pytest.mark.usefixtures("folder")
def test_a_pipe_as_a_style_is_refused_instead_of_waited_for(monkeypatch) -> None:
    os.mkfifo("pipe.jpg")
    assert "named pipe" in refused(monkeypatch, "photo.png", "pipe.jpg", "-o", "a.png")


def test_a_run_writes_picture_timelapse_and_manifest_and_nothing_else(paint, folder: Path) -> None:
    before = set(folder.iterdir())
    result = paint("-o", "a.png", "--timelapse", "3", "--manifest", "a.json")
    assert result.exit_code == 0, result.output
    assert {path.name for path in set(folder.iterdir()) - before} == {"a.png", "a.timelapse.webp", "a.json"}
    Image.open("a.png").verify()
    assert "partial" not in json.loads(Path("a.json").read_text())


@pytest.mark.parametrize("suffix", ["png", "tif", "TIFF"])
def test_sixteen_bits_are_more_than_256_levels_and_eight_are_their_rounding(paint, suffix: str) -> None:
    deep, plain = f"deep.{suffix}", f"plain.{suffix}"
    for name, more in ((deep, ("--depth", "16")), (plain, ())):
        assert paint("-o", name, *more).exit_code == 0
    pixels = {name: pixels_of(Path(name)) for name in (deep, plain)}
    assert (pixels[deep].dtype, pixels[plain].dtype) == (np.uint16, np.uint8)
    assert len(np.unique(pixels[deep])) > 256
    assert np.abs(pixels[deep] / 257 - pixels[plain]).max() <= 0.5 + 1 / 257


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("depth", ["8", "16"])
def test_metadata_is_kept_if_it_is_asked_for_and_not_a_byte_of_it_if_not(paint, suffix: str, depth: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model], exif[ExifTags.Base.Artist] = "A camera", "Somebody"
    with Image.open("photo.png") as photo:
        photo.save("photo.png", exif=exif)
    options = ("--depth", depth) if suffix in ("png", "tif") else ()
    for name, more in ((f"kept.{suffix}", ("--keep-metadata",)), (f"none.{suffix}", ())):
        result = paint("-o", name, *options, *more)
        assert result.exit_code == 0, result.output
    assert b"A camera" in Path(f"kept.{suffix}").read_bytes()
    assert b"Somebody" not in Path(f"kept.{suffix}").read_bytes()
    assert b"A camera" not in Path(f"none.{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
@pytest.mark.usefixtures("folder")
def test_a_format_of_eight_bits_is_refused_for_sixteen(monkeypatch, name: str) -> None:
    said = refused(monkeypatch, "photo.png", "style.png", "-o", name, "--depth", "16")
    assert "cannot hold 16 bits" in " ".join(said.split())


def test_a_name_may_look_like_markup_or_hold_the_codes_of_a_terminal(paint) -> None:
    Path("[").mkdir()
    result = paint("-o", "[/x]\x1b[31m.png")
    assert result.exit_code == 0, result.output
    assert r"[/x]\x1b[31m.png" in result.output


def test_ctrl_c_leaves_the_picture_so_far_and_says_so(paint, monkeypatch) -> None:
    whole = paint("-o", "whole.png")
    assert whole.exit_code == 0, whole.output
    Path("a.png").write_bytes(b"of an earlier run")
    collect = Timelapse.collect

    def interrupt(timelapse, chunk) -> None:
        collect(timelapse, chunk)
        if chunk.last >= 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(stylize, "stylize", partial(stylize.stylize, steps_per_call=1))
    monkeypatch.setattr(Timelapse, "collect", interrupt)
    result = paint("-o", "a.png", "--manifest", "a.json", "--timelapse", "3")
    assert result.exit_code == 130, result.output
    Image.open("a.png").verify()
    assert Path("a.png").read_bytes() != Path("whole.png").read_bytes()
    assert json.loads(Path("a.json").read_text())["partial"] is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_the_first_step_leaves_what_was_there(paint, monkeypatch) -> None:
    Path("a.png").write_bytes(b"of an earlier run")
    monkeypatch.setattr(engine, "_print_weights", lambda _network: signal.raise_signal(signal.SIGINT))
    assert paint("-o", "a.png").exit_code == 130
    assert Path("a.png").read_bytes() == b"of an earlier run"


def test_a_disk_that_is_full_leaves_what_was_there(paint, monkeypatch) -> None:
    Path("a.png").write_bytes(b"of an earlier run")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "a.png")

    monkeypatch.setattr("shared.storage.atomic_files.os.fsync", full)
    result = paint("-o", "a.png")
    assert result.exit_code == 3
    assert Path("a.png").read_bytes() == b"of an earlier run"
    assert not list(Path().glob(".tmp-*"))
