"""Damaged and hostile files of weights are refused with an error, in bounded memory."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from shared.errors import WeightsUnavailable
from shared.painting.vgg19 import kernel_shapes
from tests.unit.worker.engine.vgg.legacy_file import write_legacy
from worker.engine.vgg import weight_files
from worker.engine.vgg.network import Network

#: The first layer's kernel in the published layout.
FIRST = "block1_conv1/block1_conv1_W_1:0"
SHAPE = kernel_shapes()["block1_conv1"]


def _instead(make: Callable[[h5py.File, Path], Any]) -> Callable[[Path], None]:
    """Replace the first kernel by something else."""

    def spoil(path: Path) -> None:
        with h5py.File(path, "a") as file:
            del file[FIRST]
            make(file, path)

    return spoil


def _elsewhere(file: h5py.File, path: Path) -> None:
    """Store the first kernel in another file, whose contents a reader would reveal."""
    secret = path.with_name("secret")
    secret.write_bytes(b"\0" * (4 * int(np.prod(SHAPE))))
    file.create_dataset(FIRST, SHAPE, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def _virtual(file: h5py.File, path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["x"] = np.zeros(SHAPE, np.float32)
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[...] = h5py.VirtualSource(str(path.with_name("other.h5")), "x", SHAPE)
    file.create_virtual_dataset(FIRST, layout)


def _linked(file: h5py.File, path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["x"] = np.zeros(SHAPE, np.float32)
    file[FIRST] = h5py.ExternalLink(str(path.with_name("other.h5")), "x")


def _flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(0, 4000, 7):  # its head, where groups and types are
        data[place] ^= 0x5A
    path.write_bytes(data)


HDF5: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "no HDF5": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n half a header"),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut in its head": lambda path: os.truncate(path, 600),
    "bits flipped in its head": _flipped,
    "a kernel in another file": _instead(_elsewhere),
    "a kernel out of other data sets": _instead(_virtual),
    "a kernel behind a link to another file": _instead(_linked),
    "a kernel larger than any memory": _instead(
        lambda file, _: file.create_dataset(FIRST, (2**20,) * 4, "f4", chunks=(1, 1, 1, 64))
    ),
    "a bias larger than any memory": _instead(lambda file, _: file.create_dataset(FIRST, (2**50,), "f4", chunks=(64,))),
    "a kernel in pieces larger than memory": _instead(
        lambda file, _: file.create_dataset(
            FIRST, SHAPE, "f4", maxshape=(None,) * 4, chunks=(3, 3, 2**12, 2**12), compression="gzip"
        )
    ),
    "groups without end": _instead(lambda file, _: [file.create_group(f"more/{number}") for number in range(10_001)]),
    "a group within itself": _instead(lambda file, _: file.__setitem__("block1_conv1/again", file["block1_conv1"])),
    "a kernel of whole numbers": _instead(lambda file, _: file.create_dataset(FIRST, SHAPE, "i4")),
    "a kernel of texts": _instead(lambda file, _: file.create_dataset(FIRST, SHAPE, h5py.string_dtype())),
    "a kernel of records": _instead(lambda file, _: file.create_dataset(FIRST, SHAPE, [("a", "f4"), ("b", "f4")])),
    "a kernel of references": _instead(lambda file, _: file.create_dataset(FIRST, SHAPE, h5py.ref_dtype)),
    "a kernel turned round": _instead(lambda file, _: file.create_dataset(FIRST, SHAPE[::-1], "f4")),
    "a group for a kernel": _instead(lambda file, _: file.create_group(FIRST)),
    "a kernel that is not a number": _instead(
        lambda file, _: file.create_dataset(FIRST, data=np.full(SHAPE, np.nan, "f4"))
    ),
    "a kernel that is endless": _instead(lambda file, _: file.create_dataset(FIRST, data=np.full(SHAPE, np.inf, "f8"))),
    "numbers beyond float32": _instead(lambda file, _: file.create_dataset(FIRST, data=np.full(SHAPE, 1e300, "f8"))),
    "a layer named by no text": _instead(lambda file, _: file["block1_conv1"].attrs.create("name", 7)),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    return write_legacy(tmp_path_factory.mktemp("whole") / "vgg19.h5", dict(network.kernels))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("kind", HDF5)
def test_a_hostile_hdf5_file_is_refused(kind: str, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.h5"
    path.write_bytes(whole.read_bytes())
    HDF5[kind](path)

    with pytest.raises(WeightsUnavailable) as refused:
        weight_files.read_hdf5(path, "file")

    assert len(str(refused.value)) > 20


def _npy(value: Any, *, header: bytes | None = None) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return header if header is not None else file.getvalue()


def _claiming(shape: str) -> bytes:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Mark:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


ARCHIVES: dict[str, Callable[[Path], bytes]] = {
    "objects that call": lambda marked: _npy(np.array(Mark(marked), object)),
    "a pickle for an array": lambda marked: pickle.dumps(Mark(marked)),
    "a header that claims more than any memory": lambda _: _claiming(f"({2**40}, {2**20})"),
    "a header that calls": lambda marked: _claiming(f"(__import__('os').mkdir({str(marked)!r}),)"),
    "a header without end": lambda _: b"\x93NUMPY\x01\x00\xff\xff",
    "texts as long as memory": lambda _: _claiming("()").replace(b"<f4", b"<U999999999"),
    "another shape": lambda _: _npy(np.zeros((3, 3), np.float32)),
    "values missing": lambda _: _npy(np.zeros(SHAPE, np.float32))[:-9],
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_hostile_cache_is_refused_and_runs_nothing(kind: str, network: Network, tmp_path: Path) -> None:
    path, marked = tmp_path / "patch-1.npz", tmp_path / "marked"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("block1_conv1/weights.npy", ARCHIVES[kind](marked))

    with pytest.raises(WeightsUnavailable, match="damaged"):
        weight_files.read_npz(path, "patch")

    assert not marked.exists()


def test_a_cache_with_changed_numbers_is_refused(network: Network, tmp_path: Path) -> None:
    weight_files.write_npz(tmp_path / "good.npz", network)
    assert weight_files.read_npz(tmp_path / "good.npz", "patch").sha256 == network.sha256
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        for name in good.namelist():
            changed = _npy(np.zeros(SHAPE, np.float32)) if name == "block1_conv1/weights.npy" else good.read(name)
            bad.writestr(name, changed)

    with pytest.raises(WeightsUnavailable, match="hash"):
        weight_files.read_npz(tmp_path / "bad.npz", "patch")
