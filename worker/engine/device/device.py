"""What the engine runs on, for provenance and for `atelier doctor`.

Invariant: `prepare` runs before the first tensor is made; TensorFlow ignores device settings after that.
"""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from worker.engine.device import memory


def prepare(memory_limit_bytes: int = 0) -> None:
    """Let TensorFlow take memory as needed, and no more than there is: others may share the machine."""
    memory.bound(memory_limit_bytes)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def describe() -> dict[str, Any]:
    """Name the device that paints and the versions that decide its numbers."""
    gpus = tf.config.list_physical_devices("GPU")
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else _cpu_name()
    return {
        "kind": "gpu" if gpus else "cpu",
        "name": name,
        "count": len(gpus) or 1,
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }


def _cpu_name() -> str:
    """Read the processor's name where the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


#: What Linux calls the instructions that multiply bfloat16.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}


#: NVIDIA's first generation that does, Ampere.
_GPU_COMPUTE_CAPABILITY = (8, 0)


def resolved(precision: str) -> str:
    """Turn `auto` into the fastest type that this device multiplies by itself; emulated bfloat16 is slower."""
    if precision != "auto":
        return precision
    return "bfloat16" if _has_bfloat16() else "float32"


@lru_cache(maxsize=1)
def _has_bfloat16() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return bool(details.get("compute_capability", (0, 0)) >= _GPU_COMPUTE_CAPABILITY)
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return not _CPU_FLAGS.isdisjoint(flags.split())
