"""How much memory painting may take and has taken: the GPU's where there is one, else this process's.

Limits: peaks of a process are measured on Linux; elsewhere they are 0, which says that nothing is known.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import tensorflow as tf
from tensorflow.python.client import device_lib

#: The share of what is free that painting may take; the rest is for the system, and for what is not foreseen.
_SHARE = 0.85
_GPU = "GPU:0"
#: Where TensorFlow reads the most bytes that its tensors on a CPU may take.
_CPU_BOUND = "TF_MKL_ALLOC_MAX_BYTES"


def reset_peak() -> None:
    """Measure the peak from now on."""
    if _on_gpu():
        tf.config.experimental.reset_memory_stats(_GPU)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    """Tell the most that was held since `reset_peak`."""
    return int(tf.config.experimental.get_memory_info(_GPU)["peak"]) if _on_gpu() else _status("VmHWM")


def held_bytes() -> int:
    """Tell what is held now."""
    return int(tf.config.experimental.get_memory_info(_GPU)["current"]) if _on_gpu() else _status("VmRSS")


def limit_bytes() -> int:
    """Tell how much painting may hold, what it holds now included."""
    if _on_gpu():
        return int(_gpu_bytes() * _SHARE)
    return held_bytes() + int(_free_bytes() * _SHARE)


def bound(limit_bytes: int) -> None:
    """Have TensorFlow's memory run out at `limit_bytes`, or where the machine's does if that is 0.

    On a CPU only, and only before the first tensor: then painting too much ends in an error that can be met, instead
    of in a killed process.
    """
    most = limit_bytes or int(_total_bytes() * _SHARE)
    os.environ.setdefault(_CPU_BOUND, str(max(most - _status("VmRSS"), 2**28)))


def _on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


@lru_cache(maxsize=1)
def _gpu_bytes() -> int:
    """Tell how much TensorFlow may take of the GPU."""
    found = (device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")
    return int(next(found, 0))


def _total_bytes() -> int:
    """Tell what the machine has, or the container around this process."""
    total = _field(Path("/proc/meminfo"), "MemTotal") or 2**33
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return total


def _free_bytes() -> int:
    """Tell what the system, and the container around this process, have left."""
    free = _field(Path("/proc/meminfo"), "MemAvailable") or 2**33
    try:
        most = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return free
    return free if most == "max" else min(free, int(most) - used)


def _status(name: str) -> int:
    return _field(Path("/proc/self/status"), name)


def _field(path: Path, name: str) -> int:
    """Read one of the kernel's lines of the form `Name:  123 kB`, in bytes; 0 if there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)
