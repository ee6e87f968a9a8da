"""What the engine runs on, for provenance and for `atelier doctor`.

Invariant: `prepare` runs before the first tensor is made; TensorFlow ignores device settings after that.
"""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from worker.engine import memory


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
