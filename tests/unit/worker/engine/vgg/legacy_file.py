"""Writes weights as Keras published them first."""

from pathlib import Path

import h5py

from worker.engine.vgg.network import Kernel


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
