"""The processor that paints: its setup, its description for provenance, and the precision it is fastest in.

Invariant: `prepare` runs before the first tensor is made; TensorFlow ignores device settings after that.
"""

import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from worker.engine.device import memory

#: Linux's names of the instructions that multiply bfloat16.
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
#: NVIDIA's first generation that multiplies bfloat16, Ampere.
_MIN_COMPUTE_CAPABILITY = (8, 0)


def prepare(memory_limit_bytes: int = 0) -> None:
    """Let TensorFlow allocate memory as needed, up to the limit; 0 sets the limit by the machine's memory.

    Products of float32 are computed in float32. By default TensorFlow rounds their factors to TF32 on a GPU, which has
    10 bits of mantissa: `classic` would not be the published recipe number for number, and losses not float32.
    """
    # features in bfloat16 would lose nothing by TF32, but the gradient of their Gram matrices would; what exactness
    # costs there is the mode `bfloat16-no-tf32` of `make bench-gpu`
    tf.config.experimental.enable_tensor_float_32_execution(False)
    memory.limit_tensorflow(memory_limit_bytes)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


def describe() -> dict[str, Any]:
    """Return the device and the library versions that decide its numbers."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    else:
        name = _cpuinfo("model name") or platform.processor() or platform.machine()
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


def resolve_precision(precision: str) -> str:
    """Resolve `auto` to bfloat16 where the device multiplies it natively; emulated, it is slower than float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if _has_bfloat16() else "float32"


@lru_cache(maxsize=1)
def _has_bfloat16() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return bool(details.get("compute_capability", (0, 0)) >= _MIN_COMPUTE_CAPABILITY)
    return not _CPU_FLAGS.isdisjoint(_cpuinfo("flags").split())


def _cpuinfo(field: str) -> str:
    """Return a field of the first processor in Linux's cpuinfo, or an empty text."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
