"""How strongly a painting shows, from the command: in one file, saved with a job, refused where nothing is written."""

import json

import numpy as np
import pytest

from shared.imaging import codec
from tests.integration.api.cli.commands import painting, submitted
from tests.support.fakes import NegativePainter
from worker.jobs.runner import run


@pytest.fixture
def painter() -> NegativePainter:
    return NegativePainter()


@pytest.fixture
def painted(atelier, photo, context) -> str:
    job_id = submitted(atelier, photo, "--size", "24", "--steps", "6")
    run([job_id], context)
    return job_id


def rgb_of(path) -> np.ndarray:
    return codec.decode(path.read_bytes(), max_px=10**6).rgb * 255


def test_a_result_is_written_at_the_strength_asked_for_or_saved(atelier, painted, photo, tmp_path) -> None:
    def written(*options: object) -> bytes:
        out = tmp_path / "a.png"
        result = atelier("result", painted, "-o", out, *options)
        assert result.exit_code == 0, result.output
        return out.read_bytes()

    as_painted = written()
    assert written("--strength", 1) == as_painted
    half = written("--strength", 0.5)
    assert half != as_painted
    written("--strength", 0)
    assert np.abs(rgb_of(tmp_path / "a.png") - rgb_of(photo)).max() <= 2
    saved = atelier("strength", painted, 0.5)
    assert (saved.exit_code, saved.stdout) == (0, f"Job {painted} now has strength 0.5.\n")
    assert written() == half
    assert "strength 0.5" in atelier("show", painted).stdout
    assert json.loads(atelier("strength", painted, 1, "--json").stdout)["result"]["strength"] == 1
    assert written() == as_painted
    assert "strength" not in atelier("show", painted).stdout


@pytest.mark.parametrize("command", ["submit", "retry", "watch", "rerun"])
def test_every_command_that_writes_a_picture_takes_a_strength(
    atelier, painted, photo, context, tmp_path, command
) -> None:
    out, manifest = tmp_path / "a.png", tmp_path / "manifest.json"
    manifest.write_text(atelier("manifest", painted).stdout)
    arguments = {
        "submit": (photo, photo, "--size", 24, "--steps", 6),
        "rerun": (manifest,),
    }.get(command, (painted,))
    with painting(context):
        result = atelier(command, *arguments, "-o", out, "--strength", 0)
    assert result.exit_code == 0, result.output
    assert np.abs(rgb_of(out) - rgb_of(photo)).max() <= 2


def test_a_strength_is_refused_without_a_file_and_out_of_bounds(atelier, painted, photo, tmp_path) -> None:
    for arguments in (("watch", painted), ("retry", painted), ("submit", photo, photo, "--no-wait")):
        refused = atelier(*arguments, "--strength", 0.5)
        assert (refused.exit_code, "add -o FILE" in refused.stderr) == (2, True), arguments
    for value in ("-0.1", "1.1", "much"):
        assert atelier("result", painted, "-o", tmp_path / "a.png", "--strength", value).exit_code == 2
        assert atelier("strength", painted, "--", value).exit_code == 2
    for arguments in (("result", painted, "-o", tmp_path / "a.png", "--strength", "nan"), ("strength", painted, "nan")):
        assert atelier(*arguments).exit_code in (1, 2)
    assert not (tmp_path / "a.png").exists()


def test_a_job_that_has_not_ended_has_no_strength_yet(atelier, photo) -> None:
    refused = atelier("strength", submitted(atelier, photo), 0.5)
    assert (refused.exit_code, "no result before it ends" in refused.stderr) == (1, True)


def test_a_folder_is_written_at_one_strength(atelier, photo, context, tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos" / "a.png")
    photo, out = tmp_path / "photos" / "a.png", tmp_path / "out"
    arguments = ("batch", photo.parent, "--style", photo, "-o", out, "--preset", "fast", "--size", 24)
    with painting(context):
        result = atelier(*arguments, "--strength", 0)
    assert result.exit_code == 0, result.output
    assert np.abs(rgb_of(out / "a.png") - rgb_of(photo)).max() <= 2
    other = atelier(*arguments, "--strength", 0.5)
    assert (other.exit_code, "made with other settings" in other.stderr) == (2, True)
    assert "already in" in atelier(*arguments, "--strength", 0).stderr
    with painting(context):
        assert atelier(*arguments, "--new").exit_code == 0
    assert np.abs(rgb_of(out / "a.png") - rgb_of(photo)).max() > 50


@pytest.mark.parametrize("value", ["nan", "-nan", "1.01", "-0.01", "inf", "half"])
def test_no_strength_out_of_range_is_sent(atelier, painted, tmp_path, value) -> None:
    kept = ("result", painted, "-o", tmp_path / "a.png", "--strength", value)
    for command in (("strength", "--", painted, value), kept):
        result = atelier(*command)
        assert result.exit_code == 2, result.output
        assert value.removeprefix("-") in result.output
