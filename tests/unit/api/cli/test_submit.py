"""`atelier submit --dry-run` and what goes with a submission, against a server that answers from a script."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from tests.support.scripted_server import as_json, serving

ESTIMATE = {
    "seconds": 125.0,
    "peak_bytes": 1_340_000_000,
    "tile_size": 512,
    "scales": [{"width": 96, "height": 64}, {"width": 384, "height": 256}],
}
DRY_RUN = {"preset": "fast", "params": {"size": 384}, "estimate": ESTIMATE}


def image(name: str) -> dict[str, object]:
    return {"id": f"sha256:{name}", "width": 2, "height": 1}


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the folder where the command runs; each holds its own name."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "sky", "ground", "upper", "start"):
        Path(name).write_text(name)


def submit(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["submit", "--url", url, *arguments])


def dry_run(*arguments: str, **changes: object) -> Result:
    answers = [as_json(image("photo")), as_json(image("sky")), as_json({**DRY_RUN, **changes})]
    with serving(*answers) as server:
        return submit(server.url, "photo", "sky", "--dry-run", *arguments)


@pytest.mark.usefixtures("pictures")
def test_a_dry_run_prints_time_memory_and_scales() -> None:
    result = dry_run("-o", "new/a.png")
    assert result.exit_code == 0, result.output
    assert [line.strip().split(None, 1) for line in result.stdout.splitlines()] == [
        ["time", "about 2 min 05 s"],
        ["memory", "1.3 GB at most"],
        ["scales", "96×64, 384×256 px"],
        ["tiles", "512 px"],
    ]
    assert not Path("new").exists()


@pytest.mark.usefixtures("pictures")
def test_a_dry_run_tells_programs_everything() -> None:
    assert json.loads(dry_run("--json").stdout) == DRY_RUN


@pytest.mark.usefixtures("pictures")
def test_a_dry_run_without_a_worker_says_that_it_cannot_tell() -> None:
    result = dry_run(estimate=None)
    assert result.exit_code == 0
    assert "no worker" in result.stdout


@pytest.mark.usefixtures("pictures")
def test_masks_are_those_of_the_styles_in_their_order() -> None:
    answers = [as_json(image(number)) for number in "12345"]
    with serving(*answers, as_json({"id": "j", "state": "queued"}, 202)) as server:
        options = ("--mask", "upper", "--init-image", "start", "--init", "noise", "--no-wait")
        result = submit(server.url, "photo", "sky", "ground", *options)
    assert result.exit_code == 0, result.output
    uploaded = {asked.body.decode(): f"sha256:{number}" for number, asked in enumerate(server.asked[:-1], start=1)}
    request = json.loads(server.asked[-1].body)
    assert [style["image"] for style in request["styles"]] == [uploaded["sky"], uploaded["ground"]]
    assert [style.get("mask") for style in request["styles"]] == [uploaded["upper"], None]
    assert (request["init_image"], request["params"]) == (uploaded["start"], {"init": "noise"})


@pytest.mark.usefixtures("pictures")
def test_more_masks_than_styles_are_a_mistake_in_the_command() -> None:
    with serving() as server:
        result = submit(server.url, "photo", "sky", "--mask", "upper", "--mask", "upper", "--no-wait")
    assert (result.exit_code, server.asked) == (2, [])
    assert "more masks (2) than styles (1)" in result.stderr


@pytest.mark.usefixtures("pictures")
def test_a_painting_starts_from_a_job_or_from_a_file_but_not_from_both() -> None:
    answers = [as_json(image(number)) for number in "12"]
    with serving(*answers, as_json({"id": "j", "state": "queued"}, 202)) as server:
        assert submit(server.url, "photo", "sky", "--init-job", "other", "--no-wait").exit_code == 0
        both = submit(server.url, "photo", "sky", "--init-job", "other", "--init-image", "start", "--no-wait")
    assert json.loads(server.asked[-1].body)["init_job"] == "other"
    assert (both.exit_code, "starts from one picture" in both.stderr) == (2, True)
