"""Files of VGG19 weights: reads Keras' two HDF5 layouts, reads and writes our own cache.

Keras' legacy `.h5` has `block1_conv1/block1_conv1_W_1:0`; a `.weights.h5` has `layers/conv2d/vars/0` with the layer's
name as an attribute of `vars`. All that is relied on is that a group names the layer and holds one 4-dimensional
kernel and one bias.

Threat: the file is hostile. An array is read only if its declared shape and dtype are VGG19's, links and external
storage are refused, so no other file is opened, and nothing is unpickled.

Invariant: a file under its final name is complete, because it is written under another one and renamed.
"""

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

#: Deeper nesting and more members than any layout of Keras has.
_MAX_DEPTH, _MAX_ITEMS = 8, 10_000
#: Largest HDF5 chunk, as a multiple of its array.
_MAX_CHUNK = 4
#: A hexadecimal SHA-256 at four bytes per character; all else in our cache is float32.
_MAX_ITEM_BYTES = 4 * 64


def read_hdf5(path: Path, name: str) -> Network:
    """Read a Keras file of either layout; raise `WeightsUnavailable` if it is missing, damaged or not VGG19's."""
    import h5py

    if not path.is_file():
        raise WeightsUnavailable(f"There is no weights file {path}; the names are {', '.join(WEIGHTS_NAMES)}.")
    groups: dict[str, dict[int, NDArray[Any]]] = {}
    try:
        with h5py.File(path, "r") as file:
            for where, item in _datasets(file):
                _collect(groups, where, item)
        kernels = {layer: Kernel(parts[4], parts[1]) for layer, parts in groups.items() if {4, 1} <= {*parts}}
        return Network.of(name, kernels)
    except WeightsUnavailable as error:
        raise WeightsUnavailable(f"{path} cannot be used: {error}") from None
    except Exception as error:  # HDF5 raises many kinds of errors for damage
        raise WeightsUnavailable(f"{path} is damaged or not an HDF5 file: {error}") from None


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield the datasets of a file with their paths, without following links or nesting deeper than Keras does."""
    import h5py

    waiting, seen = [("", file)], 0
    while waiting:
        where, group = waiting.pop()
        for name in group:
            seen += 1
            if seen > _MAX_ITEMS:
                raise WeightsUnavailable(f"It has more than {_MAX_ITEMS} members, so it is not VGG19's.")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item, path = group[name], f"{where}/{name}"
            if isinstance(item, h5py.Dataset):
                yield path, item
            elif isinstance(item, h5py.Group) and path.count("/") < _MAX_DEPTH:
                waiting.append((path, item))


def _collect(groups: dict[str, dict[int, NDArray[Any]]], where: str, item: Any) -> None:
    """Read the dataset `item` into `groups`, by layer and number of dimensions, if it belongs to a layer."""
    shape = item.shape
    if shape is None:  # an empty dataset
        return
    labels = (item.parent.attrs.get("name"), *where.split("/"))
    layer = next((label for label in labels if isinstance(label, str) and label in LAYERS), None)
    if layer is None or len(shape) not in (1, 4):
        return
    _check_array(layer, shape, item.dtype)
    if item.external or item.is_virtual:
        raise WeightsUnavailable(f"The weights of {layer} are stored in another file.")
    if item.chunks and np.prod(item.chunks, dtype=float) > _MAX_CHUNK * item.size:
        raise WeightsUnavailable(f"The weights of {layer} are stored in chunks larger than they are.")
    groups.setdefault(layer, {})[len(shape)] = np.asarray(item)


def _check_array(layer: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise `WeightsUnavailable` unless an array of this shape and dtype can be a kernel or bias of `layer`."""
    expected = kernel_shapes()[layer]
    if tuple(shape) not in (expected, expected[-1:]):
        raise WeightsUnavailable(f"The weights of {layer} have shape {tuple(shape)}; VGG19's is {expected}.")
    if dtype.kind != "f":
        raise WeightsUnavailable(f"The weights of {layer} are not floating-point numbers.")


def read_npz(path: Path, name: str) -> Network:
    """Read a file of `write_npz`; raise `WeightsUnavailable` if it is damaged or its hash is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            kernels = {
                layer: Kernel(*(_array(archive, f"{layer}/{part}", own) for part, own in _parts(shape)))
                for layer, shape in kernel_shapes().items()
            }
            expected = str(_array(archive, "sha256", ()))
    except Exception as error:  # a damaged archive or header may raise anything
        raise WeightsUnavailable(f"{path} is damaged: {error}") from None
    network = Network.of(name, kernels)
    if network.sha256 != expected:
        raise WeightsUnavailable(f"{path} is damaged: its numbers do not match its hash.")
    return network


def _parts(shape: tuple[int, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the names and shapes of a layer's arrays, in the order of `Kernel`."""
    return ("weights", shape), ("bias", shape[-1:])


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read an array, or a text, of exactly this `shape`; NumPy itself would allocate whatever a header declares."""
    with archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        declared, _, dtype = np.lib.format.read_array_header_1_0(file)
        if declared != shape or dtype.kind not in "fU" or dtype.itemsize > _MAX_ITEM_BYTES:
            raise ValueError(f"{name} is {dtype} of shape {declared}")
        return np.frombuffer(file.read(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape)


def write_npz(path: Path, network: Network) -> None:
    """Write `network` to `path`, atomically."""
    arrays = {f"{layer}/{part}": getattr(k, part) for layer, k in network.kernels.items() for part in k._fields}
    with replacing(path) as file:
        np.savez(file, sha256=np.array(network.sha256), **arrays)
