"""The `atelier` command against the real API over HTTP, with the null engine painting in a thread."""

import json
from datetime import datetime

import pytest
from click.testing import CliRunner

from api.cli import main
from api.client import Client
from shared.db import workers
from shared.errors import Diverged
from tests.integration.api.cli.commands import format_of, painting, submitted
from tests.support.claims import claim_job
from tests.support.factories import add_job
from tests.support.scripted_server import closed_url
from worker.jobs.null_painter import NullPainter
from worker.jobs.runner import run


def test_submit_shows_the_painting_and_writes_the_picture(atelier, photo, context, tmp_path) -> None:
    out = tmp_path / "new" / "painted.jpg"
    with painting(context):
        result = atelier("submit", photo, photo, photo, "-o", out, "--size", "32", "--param", "steps=6")
    assert result.exit_code == 0, result.output
    assert format_of(out) == "JPEG"
    assert result.stdout == ""
    assert "painting 6/6" in result.stderr
    assert "ms a step" in result.stderr
    assert result.stderr.endswith(f"succeeded\nWrote {out}.\n")


def test_submit_can_tell_programs_everything(atelier, photo, context, tmp_path) -> None:
    with painting(context):
        result = atelier("submit", photo, photo, "-o", tmp_path / "a.png", "--label", "mine", "--steps", 5, "--json")
    job = json.loads(result.stdout)
    assert (job["state"], job["label"], job["params"]["steps"]) == ("succeeded", "mine", 5)


def test_every_parameter_reaches_the_job(atelier, photo, url, key) -> None:
    options = ("--preset", "classic", "--style-layers", "block1_conv1=0.5", "--param", "final_learning_rate=null")
    with Client(url, key) as client:
        job = client.job(submitted(atelier, photo, *options, "--antialias", "true", "--pooling", "average"))
    assert job.preset == "classic"
    assert job.params["style_layers"] == {"block1_conv1": 0.5}
    assert (job.params["antialias"], job.params["pooling"], job.params["final_learning_rate"]) == (
        True,
        "average",
        None,
    )


def test_a_job_is_listed_shown_canceled_and_watched(atelier, photo) -> None:
    job_id = submitted(atelier, photo, "--label", "[red]mine")
    listed = atelier("list", "--state", "queued", "--state", "running")
    *listing, age, unit, label = listed.stdout.splitlines()[1].split()
    assert (listing, unit, label) == ([job_id, "queued"], "s", "[red]mine")
    assert age.isdecimal()
    assert json.loads(atelier("list", "--json", "--label", "[red]mine").stdout)[0]["id"] == job_id
    assert "number 1" in atelier("show", job_id).stdout
    assert atelier("cancel", job_id).stdout == f"Job {job_id} is canceled.\n"
    watched = atelier("watch", job_id)
    assert (watched.exit_code, watched.stderr) == (3, f"Error: Job {job_id} was canceled.\n")
    assert json.loads(atelier("show", job_id, "--json").stdout)["state"] == "canceled"


def test_an_empty_list_says_so_on_stderr_only(atelier) -> None:
    result = atelier("list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No jobs.\n")


def test_a_failed_job_says_why_and_exits_3(atelier, photo, context, tmp_path, monkeypatch) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise Diverged

    monkeypatch.setattr(NullPainter, "paint", diverge)
    with painting(context):
        result = atelier("submit", photo, photo, "-o", tmp_path / "a.png")
    assert result.exit_code == 3
    why = "The optimization diverged: a value is infinite or not a number (diverged)."
    assert result.stderr.splitlines()[-1].endswith(f"has failed: {why}")
    assert not (tmp_path / "a.png").exists()


def test_ctrl_c_leaves_the_job_and_says_how_to_come_back(atelier, photo, tmp_path, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "wait", interrupt)
    out = tmp_path / "a picture.png"
    result = atelier("submit", photo, photo, "-o", out)
    (job,) = json.loads(atelier("list", "--json").stdout)
    assert result.exit_code == 130
    assert f"Come back with `atelier watch {job['id']} -o '{out}'`." in result.stderr
    assert job["state"] == "queued"


def test_the_picture_of_an_ended_job_can_still_be_fetched(atelier, photo, context, tmp_path) -> None:
    run([submitted(atelier, photo, "--size", "32", "--steps", "3")], context)
    (job,) = json.loads(atelier("list", "--json").stdout)
    assert atelier("watch", job["id"], "-o", tmp_path / "late.webp").exit_code == 0
    assert format_of(tmp_path / "late.webp") == "WEBP"
    assert "weights" in atelier("show", job["id"]).stdout


def test_a_bad_picture_is_named(atelier, photo, tmp_path) -> None:
    notes = tmp_path / "notes.jpg"
    notes.write_text("no picture")
    result = atelier("submit", photo, notes, "-o", tmp_path / "a.png")
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {notes}: The file is not a JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF or BMP image.\n",
    )


def test_an_output_that_cannot_be_written_is_found_before_anything_is_submitted(atelier, photo, tmp_path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "a.png", tmp_path / "a.gif"):
        result = atelier("submit", photo, photo, "-o", out)
        assert result.exit_code == 1
        assert str(out) in result.stderr
    assert atelier("list").stderr == "No jobs.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "a.png", "--steps", "0"], "greater than or equal to 1"),
        (["-o", "a.png", "--param", "strokes=1"], "no parameter 'strokes'"),
        (["-o", "a.png", "--preset", "cubist"], "classic"),
        (["-o", "a.png", "--no-wait"], "drop it or -o"),
        (["-o", "a.png", "--start-by", "tomorrow"], "2030-01-31T12:00"),
        (["-o", "a.png", "--start-by", "0001-01-01T00:00+23:00"], "2030-01-31T12:00"),
        (["-o", "a.png", "--time-limit", "0"], "not in the range above 0"),
    ],
)
def test_a_command_line_that_cannot_be_used_exits_2(atelier, photo, arguments, said) -> None:
    result = atelier("submit", photo, photo, *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_deadline_and_a_limit_reach_the_job(atelier, photo, url, key) -> None:
    options = ("--start-by", "2030-01-31T12:00:00+02:00", "--time-limit", "90")
    with Client(url, key) as client:
        job = client.job(submitted(atelier, photo, *options)).raw()
    assert (job["start_by"], job["time_limit_s"]) == ("2030-01-31T10:00:00.000Z", 90)
    assert "2030-01-31T10:00:00.000Z" in atelier("show", job["id"]).stdout


def test_a_deadline_without_a_zone_is_in_this_machines(atelier, photo, url, key) -> None:
    with Client(url, key) as client:
        job = client.job(submitted(atelier, photo, "--start-by", "2030-01-31T12:00"))
    assert datetime.fromisoformat(job.start_by) == datetime(2030, 1, 31, 12).astimezone()


def test_workers_are_listed_and_instructed(atelier, database) -> None:
    assert atelier("workers").stderr == "No workers.\n"
    job_id = add_job(database)
    with database.writing() as session:
        workers.record_heartbeat(
            session, "host-1", {"weights": {"name": "patch", "sha256": "f00d"}, "device": {"kind": "CPU"}}
        )
        assert claim_job(session, job_id, worker="host-1", weights={}, lease_s=20)
    assert atelier("workers").stdout.splitlines()[1].split()[:5] == ["host-1", "working", job_id, "patch", "f00d"]
    assert "working, will drain" in atelier("workers", "drain", "host-1").stdout
    assert json.loads(atelier("workers", "--json").stdout)[0]["wish"] == "drain"
    assert json.loads(atelier("workers", "resume", "host-1", "--json").stdout)[0]["wish"] == "work"


def test_an_unknown_worker_exits_1_with_the_servers_words(atelier) -> None:
    result = atelier("workers", "drain", "nobody")
    assert (result.exit_code, result.stderr) == (1, "Error: There is no worker nobody.\n")


@pytest.mark.parametrize(
    ("command", "said"), [("workers drain", "which worker"), ("workers stop w1", "'resume'"), ("queue stop", "'pause'")]
)
def test_an_instruction_that_cannot_be_used_exits_2(atelier, command, said) -> None:
    result = atelier(*command.split())
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_queue_is_shown_paused_and_resumed(atelier, photo) -> None:
    job_id = submitted(atelier, photo)
    assert "waiting for a worker, number 1 in line" in atelier("show", job_id).stdout
    assert "since" in atelier("queue", "pause").stdout
    assert "the queue is paused, number 1 in line" in atelier("show", job_id).stdout
    assert json.loads(atelier("queue", "resume", "--json").stdout)["paused_at"] is None
    shown = atelier("queue").stdout
    assert shown.split()[:2] == ["queued", "1,"]
    assert "paused" not in shown


def test_an_unknown_job_exits_1_with_the_servers_words(atelier) -> None:
    result = atelier("watch", "nonsense")
    assert (result.exit_code, result.stderr) == (1, "Error: There is no job nonsense.\n")


def test_no_server_exits_4_and_says_the_mend(atelier) -> None:
    result = atelier("list", "--url", closed_url())
    assert result.exit_code == 4
    assert "atelier up" in result.stderr


def test_the_address_and_the_key_that_a_running_stack_wrote_are_found(url, key, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path))
    (tmp_path / "address").write_text(url + "\n")
    (tmp_path / "operator.key").write_text(key + "\n")
    assert CliRunner().invoke(main, ["list"]).exit_code == 0


def test_keys_are_made_listed_and_revoked(atelier) -> None:
    made = json.loads(atelier("keys", "create", "ann", "--max-waiting", 3, "--json").stdout)
    assert (made["owner"], made["role"], made["max_waiting"]) == ("ann", "client", 3)
    assert made["id"] in atelier("keys", "list").stdout
    assert atelier("keys", "revoke", made["id"]).exit_code == 0
    listed = json.loads(atelier("keys", "list", "--json").stdout)
    assert [key["revoked_at"] is None for key in listed] == [True, False]
    assert atelier("keys", "revoke", "nobody").exit_code == 1
