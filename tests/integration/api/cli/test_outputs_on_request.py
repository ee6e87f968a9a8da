"""`--depth`, `--keep-metadata`, TIFF, and files that are named after the photograph."""

import numpy as np
import pytest
import tifffile

from tests.integration.api.cli.commands import format_of, painting, submitted
from tests.support.fakes import FakePainter
from tests.support.photographs import CAMERA, photograph
from worker.jobs.runner import run

SIZE = ("--size", 64, "--steps", 3)


@pytest.fixture
def painter() -> FakePainter:
    return FakePainter()


@pytest.fixture
def holiday(tmp_path, monkeypatch):
    """A photograph with metadata, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "holiday.jpg"
    path.write_bytes(photograph(width=64, height=48))
    return path


def test_a_tiff_of_sixteen_bits_with_metadata_is_written(atelier, holiday, context, tmp_path) -> None:
    out = tmp_path / "painted.tif"
    with painting(context):
        done = atelier("submit", holiday, holiday, *SIZE, "--depth", 16, "--keep-metadata", "-o", out)
    assert done.exit_code == 0, done.output
    assert tifffile.imread(out).dtype == np.uint16
    assert CAMERA.encode() in out.read_bytes()


def test_without_o_the_file_is_named_after_photograph_and_painting_and_replaces_none(
    atelier, holiday, photo, context, tmp_path
) -> None:
    with painting(context):
        for _ in range(2):
            done = atelier("submit", holiday, photo, *SIZE)
            assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.glob("holiday*")) == [
        "holiday-photo-2.png",
        "holiday-photo.png",
        "holiday.jpg",
    ]


def test_a_result_is_named_after_its_photograph(atelier, holiday, context, tmp_path) -> None:
    job_id = submitted(atelier, holiday, *map(str, SIZE))
    run([job_id], context)
    (tmp_path / "holiday.png").write_bytes(b"mine")
    done = atelier("result", job_id)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "holiday.png").read_bytes() == b"mine"
    assert format_of(tmp_path / "holiday-2.png") == "PNG"


def test_a_folder_is_painted_in_sixteen_bits(atelier, holiday, context, tmp_path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(holiday.read_bytes())
    arguments = ("batch", folder, "--style", holiday, "-o", tmp_path / "out", "--format", "tiff", "--depth", 16)
    with painting(context):
        done = atelier(*arguments, "--keep-metadata", *SIZE)
    assert done.exit_code == 0, done.output
    assert tifffile.imread(tmp_path / "out" / "a.tiff").dtype == np.uint16
    assert CAMERA.encode() in (tmp_path / "out" / "a.tiff").read_bytes()


def test_the_same_picture_is_painted_again_with_what_was_asked_of_it(atelier, holiday, context, tmp_path) -> None:
    job_id = submitted(atelier, holiday, *map(str, SIZE), "--depth", "16", "--keep-metadata")
    run([job_id], context)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(atelier("manifest", job_id).stdout)
    with painting(context):
        done = atelier("rerun", manifest, "-o", tmp_path / "again.png")
    assert "the same, byte for byte" in done.stderr, done.output
