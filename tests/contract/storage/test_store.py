"""One contract, kept by every store and by the fake; then what only a folder can get wrong."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.errors import Misconfigured, NotFound, StorageFull, StorageUnavailable
from shared.storage.atomic_files import flush_file_system
from shared.storage.store import ImageStore, LocalImageStore, attempt_key, image_key, open_store
from tests.support.fakes import MemoryImageStore

FAILING = [StorageFull, StorageUnavailable]
BAD_KEYS = ["", "/a", "a/", "a//b", "..", "a/../b", "../a", "A", "a b", "a\n", "a\0", "a\\b", ".tmp-a", "a/.b", "ä"]


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    return LocalImageStore(tmp_path / "not" / "there" / "yet") if request.param == "local" else MemoryImageStore()


def test_what_was_put_comes_back(store) -> None:
    store.put("images/ab/abc", b"\x00bytes")
    assert store.get("images/ab/abc") == b"\x00bytes"
    assert store.exists("images/ab/abc")
    assert store.size("images/ab/abc") == 6
    with pytest.raises(NotFound):
        store.size("images/ab/abd")


def test_empty_bytes_are_bytes(store) -> None:
    store.put("a", b"")
    assert store.exists("a")
    assert store.get("a") == b""


def test_a_second_put_replaces_the_first(store) -> None:
    store.put("a/b.png", b"a longer one")
    store.put("a/b.png", b"new")
    assert store.get("a/b.png") == b"new"


def test_what_is_not_there_is_not_found(store) -> None:
    store.put("a/b", b"")
    for key in ("c", "a/c", "a", "a/b/c"):
        assert not store.exists(key)
        with pytest.raises(NotFound):
            store.get(key)


def test_deleting_twice_is_no_error(store) -> None:
    store.put("a/b", b"")
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/was")
    assert not store.exists("a/b")


def test_listing_names_the_keys_of_a_prefix_in_order(store) -> None:
    for key in ("jobs/2/x", "jobs/1/b.png", "jobs/1/a.png", "jobs/10/c", "images/ab/c"):
        store.put(key, b"")
    assert list(store.list("jobs/1/")) == ["jobs/1/a.png", "jobs/1/b.png"]
    assert list(store.list("jobs/1")) == ["jobs/1/a.png", "jobs/1/b.png", "jobs/10/c"]
    assert list(store.list("")) == sorted(["jobs/2/x", "jobs/1/b.png", "jobs/1/a.png", "jobs/10/c", "images/ab/c"])
    assert list(store.list("nothing/")) == []


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_that_is_not_ours_is_refused(store, key) -> None:
    for act in (store.get, store.exists, store.delete, lambda key: store.put(key, b"")):
        with pytest.raises(ValueError, match="not a storage key"):
            act(key)


def test_only_keys_of_that_age_are_old(store) -> None:
    store.put("a/b", b"")
    store.put("c", b"")
    assert sorted(store.old(0)) == ["a/b", "c"]
    assert list(store.old(60)) == []
    store.delete("c")
    assert list(store.old(0)) == ["a/b"]


def test_writers_and_deleters_side_by_side_never_fail(store) -> None:
    troubles: list[Exception] = []

    def churn(name: str) -> None:
        try:
            for _ in range(100):
                store.put(f"jobs/x/{name}", b"bytes")
                store.delete(f"jobs/x/{name}")
        except StorageUnavailable as error:
            troubles.append(error)

    threads = [threading.Thread(target=churn, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert troubles == []


def test_a_check_leaves_nothing_behind(store) -> None:
    store.check()
    assert list(store.list("")) == []


def test_a_reader_never_sees_a_half_written_key(store) -> None:
    pictures = [bytes([n]) * 300_000 for n in range(2)]
    store.put("k", pictures[0])
    writer = threading.Thread(target=lambda: [store.put("k", pictures[n % 2]) for n in range(60)])
    writer.start()
    while writer.is_alive():
        assert store.get("k") in pictures
    writer.join()


def test_a_write_that_fails_leaves_the_old_bytes_and_no_other_file(tmp_path, monkeypatch) -> None:
    store = LocalImageStore(tmp_path)
    store.put("k", b"old")

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StorageUnavailable):
        store.put("k", b"new")
    assert store.get("k") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_of_many_files_whose_flush_fails_none_gets_its_name(tmp_path, monkeypatch) -> None:
    store = LocalImageStore(tmp_path)
    files = {f"k{number}": b"new" for number in range(30)}
    store.put("k7", b"old")

    def broken(_folder: Path) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shared.storage.store.flush_file_system", broken)
    with pytest.raises(StorageUnavailable):
        store.put_all(files)
    assert store.get("k7") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["k7"]


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("together", [True, False])
def test_files_are_flushed_before_they_get_their_names(tmp_path, monkeypatch, count, together) -> None:
    named_at_flush: list[int] = []

    def note(*_: object) -> bool:
        named_at_flush.append(sum(1 for path in tmp_path.rglob("*.bin")))
        return together

    monkeypatch.setattr("shared.storage.store.flush_file_system", note)
    monkeypatch.setattr(os, "fsync", note)
    LocalImageStore(tmp_path).put_all({f"jobs/{number}/1/whole.bin": b"bytes" for number in range(count)})
    assert named_at_flush[0] == 0
    assert named_at_flush[-1] == count


def test_a_file_system_is_flushed(tmp_path) -> None:
    assert flush_file_system(tmp_path) == sys.platform.startswith("linux")
    with pytest.raises(OSError, match="No such file"):
        flush_file_system(tmp_path / "none")


def test_a_killed_writers_leftover_is_not_a_key(tmp_path) -> None:
    store = LocalImageStore(tmp_path)
    (tmp_path / ".tmp-0123").write_bytes(b"half")
    assert list(store.list("")) == []
    assert list(store.old(0)) == []


def test_what_killed_writers_left_and_empty_folders_go_once_they_are_old(tmp_path) -> None:
    store = LocalImageStore(tmp_path)
    store.put("jobs/a/1/whole.png", b"whole")
    store.put("jobs/b/1/gone.png", b"gone")
    store.delete("jobs/b/1/gone.png")
    (tmp_path / "jobs" / "a" / ".tmp-0123").write_bytes(b"half")
    assert store.discard_unfinished(60) == 0
    assert store.discard_unfinished(0) == 1
    assert store.discard_unfinished(0) == 0
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"jobs", "jobs/a", "jobs/a/1", "jobs/a/1/whole.png"}


_OVER_THE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from shared.errors import StorageFull
from shared.storage.store import LocalImageStore
store = LocalImageStore(Path(sys.argv[1]))
store.put("k", b"old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.put("k", bytes(200_000))
except StorageFull as error:
    print(error.code, store.get("k"), [path.name for path in Path(sys.argv[1]).iterdir()])
"""


def test_a_file_larger_than_the_system_allows_means_storage_full(tmp_path) -> None:
    command = [sys.executable, "-c", _OVER_THE_LIMIT, tmp_path]
    run = subprocess.run(command, capture_output=True, check=False, text=True, timeout=300)
    assert run.stdout.strip() == "storage_full b'old' ['k']", run.stderr


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of 256 KiB; it takes root to mount one."""
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_means_storage_full_and_the_old_bytes_stay(small_disk) -> None:
    store = LocalImageStore(small_disk)
    store.put("k", b"old")
    with pytest.raises(StorageFull) as raised:
        store.put("k", bytes(1_000_000))
    assert raised.value.retryable
    assert store.get("k") == b"old"
    assert [path.name for path in small_disk.iterdir()] == ["k"]
    store.put("k", bytes(100_000))


@pytest.mark.parametrize("act", [lambda s: s.put("k", b""), lambda s: s.check()])
def test_a_folder_that_cannot_be_made_means_storage_unavailable(tmp_path, act) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        act(LocalImageStore(tmp_path / "file" / "storage"))


def test_what_cannot_be_read_means_storage_unavailable(tmp_path, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(StorageUnavailable):
        LocalImageStore(tmp_path).get("k")


@pytest.mark.parametrize("pattern", ["{}", "file://{}", "file://localhost{}"])
def test_a_folder_and_a_file_address_open_the_same_store(tmp_path, pattern) -> None:
    LocalImageStore(tmp_path / "a b").put("k", b"bytes")
    url = pattern.format(tmp_path / ("a b" if pattern == "{}" else "a%20b"))
    assert open_store(url).get("k") == b"bytes"


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "https://example.com/x", "file://elsewhere/folder"])
def test_an_address_that_cannot_be_opened_says_what_to_give_instead(url) -> None:
    with pytest.raises(Misconfigured, match=r"ATELIER_STORAGE_URL: .*file:///path"):
        open_store(url)


def test_keys_spread_over_folders_and_keep_attempts_apart() -> None:
    digest = "ab" + "0" * 62
    assert image_key(f"sha256:{digest}") == f"images/ab/{digest}"
    assert attempt_key("0192-uuid", 2, "result.png") == "jobs/0192-uuid/2/result.png"
