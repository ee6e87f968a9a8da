"""In which type the convolutions are computed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import tensorflow as tf

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
