"""The device's setup: what `prepare` decides for the whole process."""

import subprocess
import sys

_TELLS = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
from worker.engine.device import hardware
before = tf.config.experimental.tensor_float_32_execution_enabled()
hardware.prepare()
print(before, tf.config.experimental.tensor_float_32_execution_enabled())
"""


def test_float32_is_float32_and_not_tensorflows_own_rounding_of_it() -> None:
    """Without `prepare` TensorFlow rounds what a GPU multiplies to 10 bits of mantissa, and tells nobody."""
    done = subprocess.run([sys.executable, "-c", _TELLS], capture_output=True, text=True, timeout=400, check=True)

    assert done.stdout.split() == ["True", "False"]
