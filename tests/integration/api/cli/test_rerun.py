"""`atelier rerun`: the null engine paints, the real API keeps, and the same bytes come out or the reason is told."""

import json
from pathlib import Path

import pytest
from sqlalchemy import delete

from api.client import Client
from shared.db.models import Image
from shared.imaging import codec
from tests.integration.api.cli.commands import painting
from tests.support.factories import picture
from worker.jobs.runner import run


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Photo, two paintings, a mask and a beginning, each another picture."""
    made = []
    for seed, name in enumerate(("photo", "sky", "ground", "mask", "start")):
        made.append(tmp_path / f"{name}.png")
        made[-1].write_bytes(codec.encode(picture(seed=seed), format="png"))
    return made


@pytest.fixture
def manifest(atelier, url, context, files, tmp_path, key) -> Path:
    """The manifest of a painted job."""
    photo, sky, ground, mask, start = files
    pictures = (photo, sky, ground, "--mask", mask, "--init-image", start)
    result = atelier("submit", *pictures, "--size", 32, "--steps", 3, "--no-wait")
    assert result.exit_code == 0, result.output
    run([result.stdout.strip()], context)
    path = tmp_path / "manifest.json"
    with Client(url, key) as client:
        path.write_text(json.dumps(client.manifest(result.stdout.strip())))
    return path


def test_the_same_picture_comes_out_again(atelier, url, context, manifest, tmp_path, key) -> None:
    before = json.loads(manifest.read_text())
    with painting(context):
        result = atelier("rerun", manifest, "-o", tmp_path / "again.png", "--json")
    assert result.exit_code == 0, result.output
    with Client(url, key) as client:
        now = client.manifest(json.loads(result.stdout)["id"])
    assert now["job"] != before["job"]
    asked_for = ("preset", "params", "content", "styles", "init")
    assert {name: now[name] for name in asked_for} == {name: before[name] for name in asked_for}
    assert f"the same, byte for byte: sha256 {before['result']['sha256']}." in result.stderr
    assert codec.decode((tmp_path / "again.png").read_bytes(), max_px=10**6).rgb.shape == (16, 24, 3)


def test_another_picture_is_told_with_what_was_different(atelier, context, manifest, monkeypatch) -> None:
    monkeypatch.setattr("worker.jobs.null_painter._LONG_SIDE_PX", 8)
    before = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**before, "atelier": "0.0.1"}))
    with painting(context):
        result = atelier("rerun", manifest)
    assert result.exit_code == 0, result.output
    assert f"differs: sha256 {before['result']['sha256']} before, " in result.stderr
    assert f"atelier: 0.0.1, then {before['atelier']}" in result.stderr


def test_pictures_that_are_gone_are_named_and_nothing_is_submitted(atelier, database, manifest) -> None:
    told = json.loads(manifest.read_text())
    sky, mask = told["styles"][0]["image"], told["styles"][0]["mask"]
    with database.writing() as session:
        session.execute(delete(Image).where(Image.id.in_([sky, mask])))
    result = atelier("rerun", manifest)
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "Error: The server no longer has 2 of the 5 pictures:",
        f"  {sky}",
        f"  {mask}",
    ]
    assert len(json.loads(atelier("list", "--json").stdout)) == 1


def test_a_rerun_need_not_be_waited_for(atelier, manifest, tmp_path) -> None:
    result = atelier("rerun", manifest, "--no-wait")
    assert json.loads(atelier("show", result.stdout.strip(), "--json").stdout)["state"] == "queued"
    assert atelier("rerun", manifest, "--no-wait", "-o", tmp_path / "a.png").exit_code == 2


def test_a_file_that_is_no_manifest_is_said(atelier, tmp_path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    result = atelier("rerun", tmp_path / "notes.json")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: This is not a manifest: preset: ")
