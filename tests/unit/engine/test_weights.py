import hashlib
import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from shared.errors import WeightsUnavailable
from shared.vgg19 import LAYERS
from tests.unit.engine.conftest import random_kernels
from tests.unit.engine.plain_loop import keras_vgg19
from worker.engine import patch, weight_files, weights
from worker.engine.network import Kernel, Network


def write_legacy(path: Path, kernels: dict[str, Kernel]) -> Path:
    """Write the layout of the published file: a group per layer, names in attributes, pooling layers empty."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *kernels, "block5_pool")]
        file.create_group("input_1").attrs["weight_names"] = []
        for layer, kernel in kernels.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}_W_1:0".encode(), f"{layer}_b_1:0".encode()]
            group[f"{layer}_W_1:0"], group[f"{layer}_b_1:0"] = kernel
    return path


@pytest.fixture(scope="session")
def legacy_file(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    return write_legacy(tmp_path_factory.mktemp("weights") / "legacy.h5", dict(network.kernels))


@pytest.fixture
def nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Keras' cache and without internet."""
    monkeypatch.setattr(weights, "_KERAS_CACHE", tmp_path / "keras")
    monkeypatch.setattr(weights, "IMAGENET_URL", "http://127.0.0.1:9/none.h5")


def test_the_published_layout_is_read_whole(legacy_file: Path, tmp_path: Path, network: Network) -> None:
    loaded = weights.load(str(legacy_file), tmp_path)

    assert loaded.name == "file"
    assert loaded.sha256 == network.sha256
    np.testing.assert_array_equal(loaded.kernels["block4_conv3"].weights, network.kernels["block4_conv3"].weights)


def test_what_keras_saves_is_read_whole(tmp_path: Path, network: Network) -> None:
    model = keras_vgg19(network)
    model.save_weights(tmp_path / "vgg19.weights.h5")

    assert weights.load(str(tmp_path / "vgg19.weights.h5"), tmp_path).sha256 == network.sha256


def test_the_published_file_is_known_by_its_hash(
    legacy_file: Path, tmp_path: Path, network: Network, nothing_cached: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "IMAGENET_MD5", hashlib.md5(legacy_file.read_bytes()).hexdigest())
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / weights.IMAGENET_FILE).write_bytes(legacy_file.read_bytes())

    for name in ("imagenet", "auto"):
        loaded = weights.load(name, tmp_path / "cache")
        assert (loaded.name, loaded.sha256) == ("imagenet", network.sha256)


def test_a_cached_file_of_another_hash_is_not_used(
    legacy_file: Path, tmp_path: Path, nothing_cached: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / weights.IMAGENET_FILE).write_bytes(legacy_file.read_bytes())

    with pytest.raises(WeightsUnavailable):
        weights.load("imagenet", tmp_path)

    assert "weights_damaged" in caplog.text


def test_auto_falls_back_to_patch_and_says_so(
    tmp_path: Path,
    network: Network,
    nothing_cached: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(patch, "build", lambda: Network.of("patch", network.kernels))

    with caplog.at_level(logging.WARNING):
        loaded = weights.load("auto", tmp_path)

    assert loaded.name == "patch"
    assert "weights_fallback" in caplog.text


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n half a header"])
def test_a_damaged_file_is_unavailable_with_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.h5").write_bytes(content)

    with pytest.raises(WeightsUnavailable, match=r"bad\.h5"):
        weights.load(str(tmp_path / "bad.h5"), tmp_path)


def test_a_truncated_file_is_unavailable(legacy_file: Path, tmp_path: Path) -> None:
    (tmp_path / "half.h5").write_bytes(legacy_file.read_bytes()[: legacy_file.stat().st_size // 2])

    with pytest.raises(WeightsUnavailable, match="damaged"):
        weights.load(str(tmp_path / "half.h5"), tmp_path)


def test_a_missing_file_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="auto, imagenet"):
        weights.load("imagenett", tmp_path)


def test_another_networks_file_is_unavailable(tmp_path: Path) -> None:
    kernels = random_kernels()
    kernels["block3_conv4"] = Kernel(np.zeros((3, 3, 256, 128), np.float32), np.zeros(128, np.float32))

    with pytest.raises(WeightsUnavailable, match="block3_conv4"):
        weights.load(str(write_legacy(tmp_path / "other.h5", kernels)), tmp_path)


def test_a_file_without_some_layer_is_unavailable(tmp_path: Path) -> None:
    kernels = {layer: kernel for layer, kernel in random_kernels().items() if layer != LAYERS[-1]}

    with pytest.raises(WeightsUnavailable, match=LAYERS[-1]):
        weights.load(str(write_legacy(tmp_path / "part.h5", kernels)), tmp_path)


def test_numbers_that_are_not_finite_are_unavailable(network: Network) -> None:
    kernels = dict(network.kernels)
    kernels["block1_conv1"] = Kernel(np.full((3, 3, 3, 64), np.nan, np.float32), np.zeros(64, np.float32))

    with pytest.raises(WeightsUnavailable, match="finite"):
        Network.of("file", kernels)


def test_a_damaged_cache_of_patch_weights_is_learned_again(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = []
    monkeypatch.setattr(patch, "build", lambda: builds.append(1) or Network.of("patch", network.kernels))
    first = weights.load("patch", tmp_path)
    assert weights.load("patch", tmp_path).sha256 == first.sha256
    assert len(builds) == 1

    cache = next(tmp_path.glob("patch-*.npz"))
    cache.write_bytes(cache.read_bytes()[:1000])

    assert weights.load("patch", tmp_path).sha256 == first.sha256
    assert len(builds) == 2


def test_a_failed_write_leaves_neither_file_nor_scraps(tmp_path: Path) -> None:
    def write_half() -> None:
        with weight_files.replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()

    assert list(tmp_path.iterdir()) == []
