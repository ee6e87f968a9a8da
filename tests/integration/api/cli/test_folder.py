"""`atelier batch` against a whole stack with the null engine, as somebody at a terminal meets it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from api.client import Client
from api.local.stack import Stack
from shared.imaging import codec
from shared.settings import Settings
from tests.support.factories import picture
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[Stack]:
    settings = Settings.load(home=tmp_path_factory.mktemp("home"), engine="null", port=0, null_step_s=0.01)
    with Stack(settings) as made:
        yield made


@pytest.fixture
def folder(tmp_path) -> Path:
    """Nine pictures in two folders, and a file that only looks like one."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    for seed in range(9):
        place = root / ("sub" if seed % 3 == 0 else ".") / f"{seed}.png"
        place.write_bytes(codec.encode(picture(seed=seed), format="png"))
    (root / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "style.png").write_bytes(codec.encode(picture(seed=99), format="png"))
    return root


def command(stack: Stack, folder: Path, *more: str) -> list[str]:
    style, out = folder.parent / "style.png", folder.parent / "out"
    asked = ["--style", str(style), "-o", str(out), "--preset", "fast", "--size", "32", "--url", stack.url]
    return [str(Path(sys.executable).with_name("atelier")), "batch", str(folder), *asked, *more]


def start(stack: Stack, folder: Path, *more: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(stack, folder, *more), env=os.environ | {"ATELIER_KEY": stack.key}, **pipes)


def run(stack: Stack, folder: Path, *more: str) -> tuple[int, str, str]:
    process = start(stack, folder, *more)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def results(folder: Path) -> set[str]:
    out = folder.parent / "out"
    return {path.relative_to(out).as_posix() for path in out.rglob("*.png")}


ALL = {"1.png", "2.png", "4.png", "5.png", "7.png", "8.png", "sub/0.png", "sub/3.png", "sub/6.png"}


def test_every_good_picture_comes_out_and_a_bad_one_is_told(stack, folder) -> None:
    code, out, _ = run(stack, folder)
    assert (code, results(folder)) == (3, ALL)
    assert "bad.jpg" in out
    assert "unsupported_image" in out
    for name in ALL:
        Image.open(folder.parent / "out" / name).verify()


def test_a_second_call_does_only_what_is_missing(stack, folder) -> None:
    (folder / "bad.jpg").unlink()
    assert run(stack, folder)[0] == 0
    batch = json.loads((folder.parent / "out" / ".atelier-batch.json").read_text())["batch"]
    assert "All 9 pictures are already in" in run(stack, folder)[2]
    (folder.parent / "out" / "1.png").unlink()
    (folder / "new.png").write_bytes(codec.encode(picture(seed=50), format="png"))
    code, out, _ = run(stack, folder, "--json")
    expected = {"batch": batch, "pictures": 10, "failures": [], "left_out": [], "unreadable_kinds": {}}
    assert (code, json.loads(out)) == (0, expected)
    assert results(folder) == {*ALL, "new.png"}
    with Client(stack.url, stack.key) as client:
        assert client.batch(batch).counts.total == 10


def test_other_pictures_of_the_same_names_want_another_folder(stack, folder) -> None:
    (folder / "bad.jpg").unlink()
    assert run(stack, folder)[0] == 0
    other = folder.parent / "other"
    other.mkdir()
    (other / "1.png").write_bytes(codec.encode(picture(seed=70), format="png"))
    code, _, err = run(stack, other)
    assert (code, "the results of other pictures" in err, "pictures:" in err) == (2, True, True)


def test_a_file_that_the_command_has_not_written_is_no_result(stack, folder) -> None:
    (folder / "bad.jpg").unlink()
    assert run(stack, folder)[0] == 0
    (folder / "new.png").write_bytes(codec.encode(picture(seed=71), format="png"))
    mine = folder.parent / "out" / "new.png"
    mine.write_bytes(b"mine")
    code, _, err = run(stack, folder)
    assert (code, "out/new.png" in err, mine.read_bytes()) == (2, True, b"mine")


def test_a_picture_that_has_changed_gets_no_result_of_the_old_one(stack, folder) -> None:
    (folder / "bad.jpg").unlink()
    assert run(stack, folder)[0] == 0
    (folder / "1.png").write_bytes(codec.encode(picture(seed=72), format="png"))
    (folder.parent / "out" / "1.png").unlink()
    code, out, _ = run(stack, folder, "--json")
    assert (code, [each["code"] for each in json.loads(out)["failures"]]) == (3, ["changed"])
    assert results(folder) == ALL - {"1.png"}
    assert run(stack, folder, "--new")[0] == 0
    assert results(folder) == ALL


def test_other_settings_want_another_folder_or_a_word(stack, folder) -> None:
    (folder / "bad.jpg").unlink()
    assert run(stack, folder)[0] == 0
    code, _, err = run(stack, folder, "--param", "style_weight=5")
    assert (code, "other settings" in err) == (2, True)
    assert run(stack, folder, "--param", "style_weight=5", "--new")[0] == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_whatever_ends_it_the_same_command_goes_on(stack, folder, number, code) -> None:
    (folder / "bad.jpg").unlink()
    slow = ("--param", f"steps={300 + number}")  # nobody has painted this before
    with Client(stack.url, stack.key) as client:
        client.pause_queue()  # so that the command is still waiting when it is ended
        process = start(stack, folder, *slow)
        state = folder.parent / "out" / ".atelier-batch.json"
        wait_until(state.exists, "the batch is open", timeout_s=60)
        batch = json.loads(state.read_text())["batch"]
        wait_until(lambda: client.batch(batch).counts.total >= 1, "items are added", timeout_s=60)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert process.returncode == code
        assert f"Batch {batch}: " in err, "it is named at once"
        assert number != signal.SIGINT or "keeps running" in err
        client.resume_queue()
        assert run(stack, folder, *slow)[0] == 0
        counts = client.batch(batch).counts
    assert results(folder) == ALL
    assert (counts.total, counts.succeeded) == (9, 9)


def test_two_pictures_for_one_file_are_refused_before_anything_starts(stack, folder) -> None:
    (folder / "1.webp").write_bytes(b"")
    (folder / "SUB").mkdir()
    code, _, err = run(stack, folder)
    assert (code, "1.png and 1.webp" in err) == (2, True)
    assert not (folder.parent / "out").exists()
