"""Moments kept from one job to the next: what is read is what was computed, and no file is needed."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.concurrency import meet
from tests.unit.worker.engine.small_runs import changed, run
from worker.engine.compute import targets
from worker.engine.compute.moment_cache import MomentCache, MomentFiles, StyleMoments
from worker.engine.objective.moments import Moments
from worker.engine.types import Picture, Style
from worker.engine.vgg.network import Network

KEY = ((48, 64), True, "f00d")


def moments(seed: int = 0, channels: int = 64) -> StyleMoments:
    rng = np.random.default_rng(seed)
    return {
        name: Moments(rng.normal(size=channels).astype(np.float32), rng.normal(size=(channels,) * 2).astype(np.float32))
        for name in ("block1_conv1", "pixels")
    }


def same(left: StyleMoments | None, right: StyleMoments) -> bool:
    return left is not None and all(
        left[name][part].dtype == np.float32 and left[name][part].tobytes() == right[name][part].tobytes()
        for name in right
        for part in range(2)
    )


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.moments"))


def test_the_next_process_reads_what_this_one_computed_bit_for_bit(tmp_path: Path) -> None:
    MomentFiles(tmp_path, "here").save("sha256:a/b", KEY, moments())

    later = MomentFiles(tmp_path, "here")

    assert same(later.load("sha256:a/b", KEY), moments())
    assert later.styles() == ["sha256:a/b"]


@pytest.mark.parametrize(
    ("style", "key", "made_by"), [("b", KEY, "here"), ("a", ((48, 65), True, "f00d"), "here"), ("a", KEY, "there")]
)
def test_another_style_key_or_maker_finds_nothing(tmp_path: Path, style: str, key: object, made_by: str) -> None:
    MomentFiles(tmp_path, "here").save("a", KEY, moments())

    assert MomentFiles(tmp_path, made_by).load(style, key) is None


def test_a_changed_formula_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MomentFiles(tmp_path, "here").save("a", KEY, moments())
    monkeypatch.setattr("worker.engine.compute.moment_cache._code_digest", lambda: "other code")

    assert MomentFiles(tmp_path, "here").load("a", KEY) is None


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: b"", lambda data: b"\x93NUMPY" * 99],
    ids=["cut short", "empty", "another file"],
)
def test_a_damaged_or_foreign_file_is_computed_again_and_replaced(tmp_path: Path, damage) -> None:
    cache = MomentCache()
    cache.files = MomentFiles(tmp_path, "here")
    cache.get("a", KEY, moments)
    (path,) = files_of(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    fresh = MomentCache()
    fresh.files = MomentFiles(tmp_path, "here")

    assert same(fresh.get("a", KEY, moments), moments())
    assert same(fresh.files.load("a", KEY), moments())


def test_the_file_of_one_style_never_passes_for_that_of_another(tmp_path: Path) -> None:
    files = MomentFiles(tmp_path, "here")
    files.save("a", KEY, moments())
    (of_a,) = files_of(tmp_path)
    files.save("b", KEY, moments(1))
    (of_b,) = set(files_of(tmp_path)) - {of_a}
    of_a.replace(of_b)

    assert files.load("b", KEY) is None


def test_a_single_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    files = MomentFiles(tmp_path, "here")
    files.save("a", KEY, moments(channels=3))
    (path,) = files_of(tmp_path)
    whole = path.read_bytes()

    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert files.load("a", KEY) is None, place


def test_what_was_not_used_for_longest_makes_room_whoever_wrote_it(tmp_path: Path) -> None:
    size = _size_of_a_file(tmp_path / "elsewhere")
    here, there = (MomentFiles(tmp_path / "both", name, max_bytes=3 * size) for name in ("here", "there"))
    for age, (files, style) in enumerate([(there, "old"), (here, "read"), (here, "newer"), (here, "newest")]):
        files.save(style, KEY, moments())
        for path in files_of(tmp_path / "both"):
            if path.name.startswith(style):
                os.utime(path, (age + 1, age + 1))
        if style == "newer":
            assert here.load("read", KEY) is not None

    assert there.styles() == []
    assert here.styles() == ["read", "newest", "newer"]
    assert len(files_of(tmp_path)) == 4


def _size_of_a_file(folder: Path) -> int:
    MomentFiles(folder, "here").save("a", KEY, moments())
    return files_of(folder)[0].stat().st_size


def test_files_that_a_killed_process_left_unfinished_go(tmp_path: Path) -> None:
    files = MomentFiles(tmp_path, "here")
    files.save("a", KEY, moments())
    left, being_written = (files_of(tmp_path)[0].with_name(f".tmp-{name}") for name in ("left", "new"))
    left.touch()
    os.utime(left, (1, 1))
    being_written.touch()

    files.save("b", KEY, moments())

    assert (left.exists(), being_written.exists()) == (False, True)


def test_workers_that_share_a_folder_read_whole_files_while_others_write_and_delete(tmp_path: Path) -> None:
    size = _size_of_a_file(tmp_path / "elsewhere")
    right: list[bool] = []

    def work(number: int) -> None:
        cache = MomentCache(max_bytes=0)
        cache.files = MomentFiles(tmp_path / "shared", "here", max_bytes=2 * size)
        for step in range(40):
            expected = partial(moments, (number + step) % 4)
            right.append(same(cache.get(str(expected.args), KEY, expected), expected()))

    meet(*(partial(work, number) for number in range(4)))

    assert right == [True] * 160
    assert len(files_of(tmp_path / "shared")) <= 3  # one is over the limit until its writer has made room


@pytest.mark.parametrize("folder", ["file/below", "file"])
def test_a_folder_that_cannot_be_written_costs_no_job(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    cache = MomentCache()
    cache.files = MomentFiles(tmp_path / folder, "here")

    assert same(cache.get("a", KEY, moments), moments())
    assert cache.styles == ["a"]


def test_the_styles_at_hand_are_those_in_memory_then_those_in_files(tmp_path: Path) -> None:
    files = MomentFiles(tmp_path, "here")
    files.save("earlier", KEY, moments())
    cache = MomentCache()
    cache.files = files
    for style in ("one", "two", "one"):
        cache.get(style, KEY, moments)

    assert cache.styles == ["one", "two", "earlier"]
    assert cache.held_bytes == 2 * 2 * 4 * (64 + 64 * 64)


def test_a_style_measured_by_another_process_is_painted_alike_and_not_measured_again(
    tmp_path: Path, content: Picture, style: Picture, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def painted() -> Picture:
        cache = MomentCache()
        cache.files = MomentFiles(tmp_path, "here")
        monkeypatch.setattr(targets, "moment_cache", cache)
        return run(content, [Style(style, key="bench")], changed(steps=3), network)[-1].image()

    first = painted()
    monkeypatch.setattr(targets.StyleSet, "_compute", lambda *_: pytest.fail("the style is measured again"))

    assert np.array_equal(painted(), first)
