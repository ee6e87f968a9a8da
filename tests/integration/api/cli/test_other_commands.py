"""The commands that make one or two calls each, against the real API: pictures, outputs, again, away, webhooks."""

import csv
import io
import json

import pytest

from shared.db.jobs import sweeps
from tests.integration.api.cli.commands import Atelier, format_of, submitted
from tests.support.factories import add_key
from tests.support.scripted_server import as_json, serving
from worker.jobs.runner import run


@pytest.fixture
def painted(atelier, photo, context) -> str:
    """A job that has succeeded, with a timelapse."""
    job_id = submitted(atelier, photo, "--size", "32", "--steps", "6", "--timelapse", "3")
    run([job_id], context)
    return job_id


def test_what_a_job_left_is_written_to_files(atelier, painted, tmp_path) -> None:
    for command, name, kind in (
        ("result", "a.jpg", "JPEG"),
        ("timelapse", "a.webp", "WEBP"),
        ("preview", "b.jpg", "JPEG"),
    ):
        written = atelier(command, painted, "-o", tmp_path / name)
        assert (written.exit_code, written.stderr) == (0, f"Wrote {tmp_path / name}.\n")
        assert format_of(tmp_path / name) == kind


def test_a_frame_goes_to_what_reads_it(atelier, painted) -> None:
    assert atelier("preview", painted).stdout_bytes.startswith(b"\xff\xd8")


def test_losses_are_a_table_for_people_and_columns_for_programs(atelier, painted) -> None:
    rows = list(csv.DictReader(io.StringIO(atelier("losses", painted).stdout)))
    columns = json.loads(atelier("losses", painted, "--json").stdout)
    assert [float(row["total"]) for row in rows] == columns["total"]
    assert len(rows) == 6


def test_events_are_a_line_each(atelier, painted) -> None:
    lines = atelier("events", painted).stdout.splitlines()
    events = [json.loads(line) for line in atelier("events", painted, "--json").stdout.splitlines()]
    assert len(lines) == len(events)
    assert (events[-1]["name"], events[-1]["data"]["state"]) == ("end", "succeeded")
    assert lines[-1].split()[-2:] == ["end", "succeeded"]
    assert any("step    6/6" in line for line in lines)


def test_a_manifest_is_json(atelier, painted) -> None:
    assert json.loads(atelier("manifest", painted).stdout)["job"] == painted


def test_a_job_is_tried_again_and_both_are_deleted(atelier, painted, context) -> None:
    again = atelier("retry", painted).stdout.strip()
    assert json.loads(atelier("show", again, "--json").stdout)["retry_of"] == painted
    refused = atelier("delete", painted, again)
    assert (refused.exit_code, again in refused.stderr) == (1, True)
    run([again], context)
    assert json.loads(atelier("delete", again, "--json").stdout) == [again]
    gone = atelier("delete", painted)
    assert (gone.exit_code, gone.stderr) == (1, f"Error: There is no job {painted}.\n")


def test_a_job_under_an_id_of_ones_own_is_made_once(atelier, photo) -> None:
    own = "01a20a0c-02dc-7ef8-936d-f36fd4238900"
    assert [submitted(atelier, photo, "--id", own) for _ in range(2)] == [own, own]
    other = atelier("submit", photo, photo, "--no-wait", "--id", own, "--steps", "7")
    assert (other.exit_code, own in other.stderr) == (1, True)
    both = atelier("submit", photo, photo, "--no-wait", "--id", own, "--idempotency-key", "k")
    assert both.exit_code == 2


def test_the_same_key_is_the_same_job(atelier, photo) -> None:
    first, second = (submitted(atelier, photo, "--idempotency-key", "k") for _ in range(2))
    assert first == second


def test_no_picture_where_the_job_left_none_exits_3(atelier, photo, tmp_path) -> None:
    job_id = submitted(atelier, photo)
    assert atelier("result", job_id, "-o", tmp_path / "a.png").exit_code == 1
    atelier("cancel", job_id)
    assert atelier("result", job_id, "-o", tmp_path / "a.png").exit_code == 3
    assert not (tmp_path / "a.png").exists()


def test_a_job_that_expired_exits_3_and_says_so(atelier, photo, database, tmp_path) -> None:
    job_id = submitted(atelier, photo, "--start-by", "2020-01-31T12:00")
    with database.writing() as session:
        assert sweeps.expire(session) == [job_id]
    for command in ("watch", "result"):
        ended = atelier(command, job_id, "-o", tmp_path / "a.png")
        assert (ended.exit_code, "has expired" in ended.stderr) == (3, True)


def test_a_picture_is_uploaded_shown_and_fetched(atelier, photo, tmp_path) -> None:
    image_id = atelier("image", "upload", photo).stdout.strip()
    assert json.loads(atelier("image", "show", image_id, "--json").stdout)["format"] == "png"
    assert atelier("image", "show", image_id).stdout.splitlines()[1].split()[0] == "size"
    assert atelier("image", "fetch", image_id, "-o", tmp_path / "back").exit_code == 0
    assert (tmp_path / "back").read_bytes() == photo.read_bytes()


def test_files_that_are_no_pictures_are_named(atelier, tmp_path) -> None:
    (tmp_path / "empty.png").touch()
    result = atelier("image", "upload", tmp_path / "empty.png")
    assert (result.exit_code, str(tmp_path / "empty.png") in result.stderr) == (1, True)


@pytest.mark.parametrize(("command", "name"), [("timelapse", "a.mp4"), ("preview", "a.png")])
def test_an_ending_that_is_not_what_is_written_exits_2(atelier, painted, tmp_path, command, name) -> None:
    assert atelier(command, painted, "-o", tmp_path / name).exit_code == 2


def test_webhooks_are_looked_after(atelier) -> None:
    before = atelier("webhooks", "secret").stdout
    rotated = atelier("webhooks", "rotate")
    assert rotated.stdout != before
    assert "also signed with the previous secret" in rotated.stderr
    assert atelier("webhooks", "deliveries").stderr == "No deliveries.\n"
    assert "public addresses" in atelier("webhooks", "test", "https://127.0.0.1/").stderr
    assert atelier("webhooks", "redeliver", "nothing").exit_code == 1


def test_deliveries_are_listed_shown_and_made_again(atelier) -> None:
    delivery = {"id": "d", "state": "failed", "event": "webhook.test", "url": "https://a.example/", "attempts": 1}
    tries = {**delivery, "log": [{"at": "2030-01-31T12:00:00.000Z", "status": None, "error": "refused", "ms": 3}]}
    with serving(as_json({"deliveries": [delivery]}), as_json(tries), as_json(delivery, 202)) as server:
        listed = atelier("webhooks", "deliveries", "--url", server.url).stdout.splitlines()[1].split()
        shown = atelier("webhooks", "show", "d", "--url", server.url).stdout
        assert atelier("webhooks", "redeliver", "d", "--url", server.url).stdout == "d\n"
    assert listed == ["d", "failed", "webhook.test", "1", "https://a.example/"]
    assert "refused  3 ms" in shown


def test_a_wrong_key_and_one_that_may_not_say_what_helps(atelier, photo, database, monkeypatch) -> None:
    monkeypatch.setenv("ATELIER_KEY", "wrong")
    wrong = atelier("list")
    assert (wrong.exit_code, "ATELIER_KEY" in wrong.stderr) == (1, True)
    monkeypatch.setenv("ATELIER_KEY", add_key(database, "viewer", "vi"))
    assert "role viewer" in atelier("submit", photo, photo, "--no-wait").stderr
    assert atelier("list").exit_code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(atelier: Atelier, shell: str) -> None:
    result = atelier("completion", shell)
    assert result.exit_code == 0
    assert "_ATELIER_COMPLETE" in result.stdout


def test_figures_and_contract_are_printed_as_they_are(atelier) -> None:
    with serving(as_json({"openapi": "3.1.0"})) as server:
        assert json.loads(atelier("openapi", "--url", server.url).stdout) == {"openapi": "3.1.0"}
    with serving(as_json(1)) as server:
        assert atelier("metrics", "--url", server.url).stdout == "1"


def test_a_preview_where_there_is_no_terminal_says_nothing(atelier, painted) -> None:
    watched = atelier("watch", painted, "--preview")
    assert (watched.exit_code, watched.output) == (0, "")


def test_a_list_begins_after_a_moment(atelier, photo) -> None:
    job_id = submitted(atelier, photo)
    assert job_id in atelier("list", "--created-after", "2020-01-01").stdout
    assert atelier("list", "--created-after", "2300-01-31T12:00+02:00").stderr == "No jobs.\n"
    assert atelier("list", "--created-after", "0001-01-02").exit_code == 0
