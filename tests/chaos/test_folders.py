"""A folder as people have it is painted once, whoever is killed: nothing is overwritten and every exception is named.

Long: `make chaos ARGS="-k folders"`, 10,000 entries and 20 kills.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from shared.ids import image_id
from shared.imaging.filenames import STATE_FILE
from shared.texts import printable
from tests.chaos.odd_folder import OddFolder, entries_of, make
from tests.chaos.rig import Rig
from tests.chaos.scale import scaled
from tests.support.waiting import wait_until

pytestmark = pytest.mark.chaos

ENTRIES = scaled(200, 10_000)
KILLS = scaled(4, 20)


def test_a_folder_as_people_have_it_is_painted_once_whoever_is_killed(tmp_path: Path) -> None:
    folder = make(tmp_path / "photos", tmp_path / "out", ENTRIES)
    style = tmp_path / "style.png"
    style.write_bytes((folder.root / ("x" * 251 + ".png")).read_bytes())
    before, mine = entries_of(folder.root), (folder.out / "below").read_bytes()
    with Rig(null_step_s=0.0, lease_s=3.0) as rig, rig.client() as client:
        for number in range(KILLS):  # the first as soon as there is a batch
            kill_at(rig, folder, style, share=number / (KILLS + 1), victim=number)
        code, told = run_until_done(rig, folder, style)
        batch = client.batch(told["batch"])
        items = {job.id: job for job in client.batch_items(batch.id)}
        written = {result.job_id: result.key for result in client.batch_results(batch.id)}
        assert (batch.counts.total, batch.counts.succeeded) == (len(folder.results), len(folder.results))
        assert sorted(written.values()) == sorted(job.key for job in items.values()), "each ended once"
        contents = sorted(image_id((folder.root / path).read_bytes()) for path in folder.results)
        assert sorted(job.content for job in items.values()) == contents, "each content is there once"
        assert sum(1 for _ in client.jobs(states=["succeeded"])) == len(items), "each is painted once"
        by_content = {job.content: job.id for job in items.values()}
        for path in folder.results:
            job_id = by_content[image_id((folder.root / path).read_bytes())]
            assert (folder.out / folder.results[path]).read_bytes() == client.result(job_id), printable(path)
    assert code == 3
    assert {each["key"]: each["code"] for each in told["failures"]} == folder.failures
    assert all(each["message"] for each in told["failures"])
    assert {each["path"]: each["what"] for each in told["left_out"]} == folder.left_out
    assert told["unreadable_kinds"] == dict(folder.kinds)
    assert files(folder.out) == {*folder.results.values(), "below"}
    for name in folder.results.values():
        with Image.open(folder.out / name) as opened:
            opened.verify()
    assert (folder.out / "below").read_bytes() == mine
    assert entries_of(folder.root) == before, "nothing of the folder has changed"


def start(rig: Rig, folder: OddFolder, style: Path) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).with_name("atelier")), "batch", str(folder.root), "-o", str(folder.out)]
    options = ["--style", str(style), "--preset", "fast", "--size", "32", "--json", "--url", rig.urls[0]]
    env = {**os.environ, "ATELIER_KEY": rig.key}
    return subprocess.Popen([*command, *options], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def kill_at(rig: Rig, folder: OddFolder, style: Path, *, share: float, victim: int) -> None:
    """Kill the command, and by turns a process of the server, once a batch and a share of the results are there."""
    rig.wait_ready()
    process = start(rig, folder, style)

    def is_far() -> bool:
        is_begun = (folder.out / STATE_FILE).exists()
        return process.poll() is not None or (is_begun and len(files(folder.out)) >= share * len(folder.results))

    wait_until(is_far, "more results are written", timeout_s=scaled(300, 1800))
    assert process.poll() in (None, 3), "it goes on, unless it has just come to its end"
    names = [name for name in rig.processes if name != "redis"]
    rig.processes[names[victim % len(names)]].kill()
    process.send_signal(signal.SIGINT if victim % 2 else signal.SIGKILL)
    process.communicate(timeout=60)


def run_until_done(rig: Rig, folder: OddFolder, style: Path) -> tuple[int, dict]:
    """Run the command until it reaches the server and waits for all; the API may just have been killed."""
    for _ in range(10):
        rig.wait_ready()
        process = start(rig, folder, style)
        out, _ = process.communicate(timeout=scaled(600, 3600))
        if out:
            return process.returncode, json.loads(out)
    pytest.fail("the command never came to its end")


def files(folder: Path) -> set[str]:
    """Return the names of the files below a folder, without what a killed command was writing."""
    found = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    return {path.relative_to(folder).as_posix() for path in found if not path.name.startswith(".atelier-")}
