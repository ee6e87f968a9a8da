"""Files of VGG19 weights: Keras' two layouts to read, our own cache to read and write.

Keras' legacy `.h5` keeps `block1_conv1/block1_conv1_W_1:0`; a `.weights.h5` keeps `layers/conv2d/vars/0` with the
layer's name as an attribute of `vars`. Both keep one 4-dimensional kernel and one bias in a group that names the
layer, and that is all that is relied on.

A file may be anybody's, so nothing is read before its shape and type are VGG19's: what a header claims is not
believed, no other file is followed to, and nothing in it is run.

Invariant: a file under its final name is whole, because it is written beside it and then renamed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import WeightsUnavailable
from shared.painting.params import WEIGHTS_NAMES
from shared.painting.vgg19 import LAYERS, kernel_shapes
from shared.storage.atomic_files import replacing
from worker.engine.vgg.network import Kernel, Network

#: More groups within each other, and more members of all of them, than any layout of Keras has.
_MOST_DEPTH, _MOST_ITEMS = 8, 10_000
#: How many times as large as an array the pieces may be in which it is packed.
_MOST_CHUNK = 4
#: A hash in hexadecimal, four bytes a letter; all else in our cache is float32.
_MOST_ITEM_BYTES = 4 * 64


def read_hdf5(path: Path, name: str) -> Network:
    """Read a Keras file of either layout as the network `name`."""
    import h5py

    if not path.is_file():
        raise WeightsUnavailable(f"There is no weights file {path}; known names are {', '.join(WEIGHTS_NAMES)}.")
    groups: dict[str, dict[int, NDArray[Any]]] = {}
    try:
        with h5py.File(path, "r") as file:
            for where, item in _data_sets(file):
                _collect(groups, where, item)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(f"{path} cannot be used: {error}") from None
    except Exception as error:  # HDF5 answers damage with errors of many kinds; whatever it is, the file is refused
        raise WeightsUnavailable(f"{path} is damaged or not an HDF5 file: {error}") from None
    kernels = {layer: Kernel(parts[4], parts[1]) for layer, parts in groups.items() if {4, 1} <= {*parts}}
    try:
        return Network.of(name, kernels)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(f"{path} cannot be used: {error}") from None


def _data_sets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield the data sets of a file with their paths, through no link and no deeper than any layout of Keras."""
    import h5py

    waiting, seen = [("", file)], 0
    while waiting:
        where, group = waiting.pop()
        for name in group:
            seen += 1
            if seen > _MOST_ITEMS:
                raise WeightsUnavailable(f"It has more than {_MOST_ITEMS} members; it is not VGG19's.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item, path = group[name], f"{where}/{name}"
            if isinstance(item, h5py.Dataset):
                yield path, item
            elif isinstance(item, h5py.Group) and path.count("/") < _MOST_DEPTH:
                waiting.append((path, item))


def _collect(groups: dict[str, dict[int, NDArray[Any]]], where: str, item: Any) -> None:
    """Keep the data set `item` under its layer and its number of dimensions if it is an array of a layer."""
    shape = item.shape
    if shape is None:  # of a data set that holds nothing
        return
    labels = (item.parent.attrs.get("name"), *where.split("/"))
    layer = next((label for label in labels if isinstance(label, str) and label in LAYERS), None)
    if layer is None or len(shape) not in (1, 4):
        return
    _ensure_kernel(layer, shape, item.dtype)
    if item.external or item.is_virtual:
        raise WeightsUnavailable(f"The weights of {layer} lie in another file.")
    if item.chunks and np.prod(item.chunks, dtype=float) > _MOST_CHUNK * item.size:
        raise WeightsUnavailable(f"The weights of {layer} come in pieces larger than they are.")
    groups.setdefault(layer, {})[len(shape)] = np.asarray(item)


def _ensure_kernel(layer: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> None:
    """Raise `WeightsUnavailable` unless an array of this shape and type can be the kernel or the bias of `layer`."""
    wanted = kernel_shapes()[layer]
    if tuple(shape) not in (wanted, wanted[-1:]):
        raise WeightsUnavailable(f"The weights of {layer} have shape {tuple(shape)}; VGG19's is {wanted}.")
    if kind.kind != "f":
        raise WeightsUnavailable(f"The weights of {layer} are no floating-point numbers.")


def read_npz(path: Path, name: str) -> Network:
    """Read what `write_npz` wrote, as the network `name`; the hash inside must be that of the numbers."""
    try:
        with zipfile.ZipFile(path) as archive:
            kernels = {
                layer: Kernel(*(_array(archive, f"{layer}/{part}", own) for part, own in _parts(shape)))
                for layer, shape in kernel_shapes().items()
            }
            expected = str(_array(archive, "sha256", ()))
    except Exception as error:  # a damaged archive or header may raise anything; whatever it is, the file is refused
        raise WeightsUnavailable(f"{path} is damaged: {error}") from None
    network = Network.of(name, kernels)
    if network.sha256 != expected:
        raise WeightsUnavailable(f"{path} is damaged: its numbers do not have the hash written beside them.")
    return network


def _parts(shape: tuple[int, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Name the arrays of a layer, with the shape of each, in the order of `Kernel`."""
    return ("weights", shape), ("bias", shape[-1:])


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read an array of numbers, or a text, if its header has the `shape`; NumPy would first make room for any shape."""
    with archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        claimed, _, kind = np.lib.format.read_array_header_1_0(file)
        if claimed != shape or kind.kind not in "fU" or kind.itemsize > _MOST_ITEM_BYTES:
            raise ValueError(f"{name} is {kind} of shape {claimed}")
        return np.frombuffer(file.read(int(np.prod(shape)) * kind.itemsize), kind).reshape(shape)


def write_npz(path: Path, network: Network) -> None:
    """Write `network` so that `path` is never half there."""
    arrays = {f"{layer}/{part}": getattr(k, part) for layer, k in network.kernels.items() for part in k._fields}
    with replacing(path) as file:
        np.savez(file, sha256=np.array(network.sha256), **arrays)
