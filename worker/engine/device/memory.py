"""How much memory painting uses and may use: the GPU's where there is one, else this process's.

Limits: the peak of a process is measured on Linux only; elsewhere it is 0, for unknown.
"""

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import tensorflow as tf
from tensorflow.python.client import device_lib

from worker.engine.device import process_memory

#: Fraction of the free memory that painting may use; the rest is for the system and for errors of prediction.
_USABLE_FRACTION = 0.85
_GPU = "GPU:0"
#: TensorFlow's variable for the most bytes that its tensors may take on a CPU.
_CPU_LIMIT = "TF_MKL_ALLOC_MAX_BYTES"
#: What is assumed where the system does not tell.
_DEFAULT_BYTES = 2**33


def reset_peak() -> None:
    """Measure the peak from now on."""
    if _on_gpu():
        tf.config.experimental.reset_memory_stats(_GPU)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the most that was held since `reset_peak`."""
    return int(tf.config.experimental.get_memory_info(_GPU)["peak"]) if _on_gpu() else process_memory.peak_bytes()


def held_bytes() -> int:
    """Return what is held now."""
    return (
        int(tf.config.experimental.get_memory_info(_GPU)["current"]) if _on_gpu() else process_memory.resident_bytes()
    )


def limit_bytes() -> int:
    """Return how much this process may hold, including what it holds now."""
    if _on_gpu():
        return int(_gpu_bytes() * _USABLE_FRACTION)
    return held_bytes() + int(_free_bytes() * _USABLE_FRACTION)


def limit_tensorflow(max_bytes: int) -> None:
    """Have TensorFlow raise an error beyond `max_bytes`, by default beyond what the machine has.

    On a CPU only, and only before the first tensor. Without it the system would kill the process.
    """
    limit = max_bytes or int(_total_bytes() * _USABLE_FRACTION)
    os.environ.setdefault(_CPU_LIMIT, str(max(limit - process_memory.resident_bytes(), 2**28)))


def _on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


@lru_cache(maxsize=1)
def _gpu_bytes() -> int:
    """Return how much of the GPU's memory TensorFlow may use."""
    limits = (device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")
    return int(next(limits, 0))


def _total_bytes() -> int:
    """Return the memory of the machine, or of the container around this process."""
    total = process_memory.field(Path("/proc/meminfo"), "MemTotal") or _DEFAULT_BYTES
    return min(total, _container("memory.max") or total)


def _free_bytes() -> int:
    """Return what the machine, and the container around this process, have left."""
    free = process_memory.field(Path("/proc/meminfo"), "MemAvailable") or _DEFAULT_BYTES
    limit, used = _container("memory.max"), _container("memory.current")
    return free if limit is None or used is None else min(free, limit - used)


def _container(name: str) -> int | None:
    """Return a number of the container around this process; None for no limit, or no container."""
    try:
        return int(Path("/sys/fs/cgroup", name).read_text())
    except (OSError, ValueError):  # `max` is no number
        return None
