"""Files of VGG19 weights: Keras' two layouts to read, our own cache to read and write.

Keras' legacy `.h5` keeps `block1_conv1/block1_conv1_W_1:0`; a `.weights.h5` keeps `layers/conv2d/vars/0` with the
layer's name as an attribute of `vars`. Both keep one 4-dimensional kernel and one bias in a group that names the
layer, and that is all that is relied on.

Invariant: a file under its final name is whole, because it is written beside it and then renamed.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import WeightsUnavailable
from shared.vgg19 import LAYERS
from worker.engine.network import Kernel, Network


def read_hdf5(path: Path, name: str) -> Network:
    """Read a Keras file of either layout as the network `name`."""
    import h5py

    if not path.is_file():
        raise WeightsUnavailable(f"There is no weights file {path}; known names are auto, imagenet and patch.")
    try:
        with h5py.File(path, "r") as file:
            groups: dict[str, dict[int, NDArray[Any]]] = {}
            file.visititems(lambda where, item: _collect(groups, where, item))
    except OSError as error:
        raise WeightsUnavailable(f"{path} is damaged or not an HDF5 file: {error}") from None
    return Network.of(
        name, {layer: Kernel(parts[4], parts[1]) for layer, parts in groups.items() if {4, 1} <= {*parts}}
    )


def _collect(groups: dict[str, dict[int, NDArray[Any]]], where: str, item: Any) -> None:
    """Keep `item` under its layer and its number of dimensions if it is an array of a layer."""
    if getattr(item, "shape", None) is None:
        return
    labels = (item.parent.attrs.get("name"), *where.split("/"))
    layer = next((label for label in labels if label in LAYERS), None)
    if layer:
        groups.setdefault(layer, {})[len(item.shape)] = np.asarray(item)


def read_npz(path: Path, name: str) -> Network:
    """Read what `write_npz` wrote, as the network `name`; the hash inside must be that of the numbers."""
    try:
        # opened here, because NumPy leaves the file open when it is not an archive
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            network = Network.of(name, {k: Kernel(file[f"{k}/weights"], file[f"{k}/bias"]) for k in LAYERS})
            expected = str(file["sha256"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsUnavailable(f"{path} is damaged: {error}") from None
    if network.sha256 != expected:
        raise WeightsUnavailable(f"{path} is damaged: its numbers do not have the hash written beside them.")
    return network


def write_npz(path: Path, network: Network) -> None:
    """Write `network` so that `path` is never half there."""
    arrays = {f"{layer}/{part}": getattr(k, part) for layer, k in network.kernels.items() for part in k._fields}
    with replacing(path) as file:
        np.savez(file, sha256=np.array(network.sha256), **arrays)


def md5(path: Path) -> str:
    """Hash the bytes of `path` as Keras publishes it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
